"""A cell's scores on disk: one parquet file a cell, one line a clip.

id          the clip's name
labels      what is in it: names, of which those among the classes are scored
logits      one per class, float16 or float32; the file's metadata has the classes' names and the dtype
distractors the labels of the other clips in its scene; a column only where there are any
group       the recording that the clip is cut from; a column only where it is known

Logits are stored, not their sigmoids: float16 rounds a sigmoid to 1 above a logit of about 8, and clips that are tied
there lose their order. float16 logits are taken where they change the mAP by at most `HALF_ERROR`, else float32.

Files written before have a column `scores` of float16 sigmoids instead (or of float16 logits, where `niah causes` wrote
them). Their logits are ln p - ln(1 - p), in which 0 and 1 lie just outside every other float16 number: order and ties
are those of the file.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.metrics.average_precision import average_precision, mean_average_precision
from niah.probabilities import log_odds, sigmoid
from niah.system import atomic
from niah.system.parquet_tables import read_parquet
from niah.system.unreadable import UnreadableError, unreadable

if TYPE_CHECKING:
    import pyarrow as pa

HALF_ERROR = 1e-6  # of mAP: any rising map of logits has one score
HALF_RANGE = 64.0  # where nothing is ranked: below it float16 holds a logit to 1/64
SATURATED = 1e-3  # share of exact 0 and 1 in an old file from which its numbers are doubted
_CLASSES, _DTYPE = "niah.classes", "niah.logits"

Names = tuple[tuple[str, ...], ...]
Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ClipScores:
    """The scores of one cell, a row a clip.

    Attributes:
        ids: Clip names, (n,).
        labels: Labels of each clip, (n,) tuples.
        classes: Names of the scored classes, (c,).
        logits: (n, c) float32.
        distractors: Labels of the other clips in each scene, (n,) tuples; () where there are none.
        groups: The recording of each clip, (n,); a clip whose recording is not known is its own.
        saturated: Share of scores that were stored as exactly 0 or 1; 0 where logits are stored.
    """

    ids: tuple[str, ...]
    labels: Names
    classes: tuple[str, ...]
    logits: Logits
    distractors: Names = ()
    groups: tuple[str, ...] = ()
    saturated: float = 0.0

    def __post_init__(self) -> None:
        known = self.groups or ("",) * len(self.ids)
        groups = tuple(group or id_ for group, id_ in zip(known, self.ids, strict=True))
        object.__setattr__(self, "groups", groups)

    @cached_property
    def probabilities(self) -> Logits:
        """Sigmoids of the logits, (n, c) float32, computed in float64."""
        return sigmoid(self.logits)

    @cached_property
    def targets(self) -> Mask:
        """Which clip has which class, (n, c). Labels outside `classes` are not scored."""
        return self._flags(self.labels)

    @cached_property
    def excluded(self) -> Mask:
        """Entries that no metric counts, (n, c): labels of a distractor that are not the clip's own.

        They are truly in the scene, yet not what was hidden: neither a hit nor a false alarm.
        """
        return self._flags(self.distractors) & ~self.targets

    @property
    def ranked(self) -> Logits:
        """The logits with the excluded entries below all others: there they change no average precision."""
        lowest = np.finfo(np.float32).min
        return np.where(self.excluded, lowest, self.logits) if self.distractors else self.logits

    def _flags(self, labels: Names) -> Mask:
        column = {label: index for index, label in enumerate(self.classes)}
        flags = np.zeros(self.logits.shape, dtype=np.bool_)
        for row, names in enumerate(labels):
            flags[row, [column[name] for name in names if name in column]] = True
        return flags


def refusal(logits: NDArray[Any], dtype: str = "") -> str | None:
    """Return the reason why logits cannot be scored, NaN or infinity among them; None for good ones.

    Args:
        logits: (n, c).
        dtype: that the model computes in, where it is known: float32 has hardly overflowed.
    """
    broken = ~np.isfinite(logits)
    if not broken.any():
        return None
    clips = np.flatnonzero(broken.any(axis=1))
    why = "the model overflowed; try --dtype float32"
    if dtype == "float32":
        why = "its outputs must be finite, as log(p / (1 - p)) is for 0 < p < 1 alone"
    return f"logits of {clips.size} of {len(logits)} clips are NaN or infinite (first: row {clips[0]}): {why}"


def write(file: Path, scored: ClipScores) -> None:
    """Store `scored`, whole or not at all.

    Args:
        file: target.
        scored: logits with the clips' ids and labels.

    Raises:
        NiahError: logits that are NaN or infinite; a full disk.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if reason := refusal(scored.logits):
        raise NiahError(f"{file.stem}: {reason}")
    stored = _narrowed(scored)
    flat = pa.array(np.ascontiguousarray(stored).ravel())
    columns = {
        "id": pa.array(list(scored.ids), pa.string()),
        "labels": _lists(scored.labels),
        "logits": pa.FixedSizeListArray.from_arrays(flat, len(scored.classes)),
    }
    if scored.distractors:
        columns["distractors"] = _lists(scored.distractors)
    if scored.groups != scored.ids:
        columns["group"] = pa.array(list(scored.groups), pa.string())
    about = {_CLASSES: json.dumps([*scored.classes]), _DTYPE: stored.dtype.name}
    with atomic.atomic_write(file) as stream:
        pq.write_table(pa.table(columns).replace_schema_metadata(about), stream, compression="zstd")


def _narrowed(scored: ClipScores) -> NDArray[np.float16] | Logits:
    """The logits as float16 where these rank the clips as well, else as they are."""
    with np.errstate(over="ignore"):
        half = scored.logits.astype(np.float16)
    if not np.isfinite(half).all():
        return scored.logits
    if not scored.targets.any():
        near = float(np.abs(scored.logits).max(initial=0.0)) <= HALF_RANGE
        return half if near else scored.logits
    exact, rounded = (
        mean_average_precision(average_precision(scored.targets, each))
        for each in (scored.logits, half)
    )
    return half if abs(exact - rounded) <= HALF_ERROR else scored.logits


def read(file: Path) -> ClipScores:
    """Read what `write` stored, now or in earlier versions.

    Raises:
        NiahError: a file that is missing or damaged.
    """
    import pyarrow as pa

    if not file.is_file():
        raise NiahError(f"{file} is missing: run the same command again")
    try:
        table = read_parquet(file)
        classes = _classes_of(table)
        _check_columns(table)
        logits, saturated = _logits_of(table, len(classes))
        return ClipScores(
            ids=tuple(table.column("id").to_pylist()),
            labels=_tuples(table, "labels"),
            classes=classes,
            logits=logits,
            distractors=_tuples(table, "distractors"),
            groups=tuple(table.column("group").to_pylist())
            if "group" in table.column_names
            else (),
            saturated=saturated,
        )
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        MemoryError,
        RecursionError,
    ) as error:
        raise _refused(file, error) from error


def _classes_of(table: "pa.Table") -> tuple[str, ...]:
    """Return the names of the classes, which the file's metadata has as a JSON list.

    Raises:
        ValueError: they are no list of different texts.
    """
    names = json.loads((table.schema.metadata or {})[_CLASSES.encode()])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its classes are no list of names")
    if len(set(names)) != len(names):
        raise ValueError("two of its classes have one name")
    "".join(names).encode()  # half a surrogate pair is no text: UnicodeEncodeError
    return tuple(names)


def _check_columns(table: "pa.Table") -> None:
    """Check that ids and recordings are texts, labels lists of texts, and nothing is left out.

    Raises:
        ValueError: a column is of another type, or has no value in some row.
    """
    import pyarrow as pa

    for name in ("id", "labels"):
        if name not in table.column_names:
            raise ValueError(f"it has no column {name}")
    for name in ("id", "group"):
        if name in table.column_names:
            _expect(table, name, pa.types.is_string(table.schema.field(name).type), "texts")
    for name in ("labels", "distractors"):
        if name in table.column_names:
            kind = table.schema.field(name).type
            lists = pa.types.is_list(kind) and pa.types.is_string(kind.value_type)
            _expect(table, name, lists, "lists of texts")
            if table.column(name).combine_chunks().flatten().null_count:
                raise ValueError(f"its column {name} has a label that is none")


def _expect(table: "pa.Table", name: str, is_right: bool, kind: str) -> None:
    if not is_right:
        raise ValueError(f"its column {name} must be {kind} but is {table.schema.field(name).type}")
    if table.column(name).null_count:
        raise ValueError(f"its column {name} has no value in some row")


def _logits_of(table: "pa.Table", classes: int) -> tuple[Logits, float]:
    """Return logits (n, c) and the share of them that is saturated."""
    old = "logits" not in table.column_names
    flat = table.column("scores" if old else "logits").combine_chunks().flatten()
    if not _is_float(flat) or flat.null_count:
        raise ValueError("its scores must be floats, one for each clip and class")
    stored = flat.to_numpy(zero_copy_only=False).reshape(len(table), classes)
    if reason := refusal(stored):
        raise ValueError(reason)
    p = stored.astype(np.float64)
    if not old or p.size == 0 or p.min() < 0 or p.max() > 1:
        return stored.astype(np.float32), 0.0
    saturated = float(np.mean((p == 0) | (p == 1)))
    return log_odds(p).astype(np.float32), saturated


def _is_float(values: "pa.Array") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(values.type))


def count(file: Path) -> int | None:
    """Return the number of clips in `file` by its footer, which is written last; None if it is missing or torn."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with file.open("rb") as stream:
            return int(pq.read_metadata(stream).num_rows)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        if unreadable(file, error):
            raise _refused(file, error) from error
        return None


def saturation(file: Path) -> float:
    """Return the share of exact 0 and 1 among the scores of a file of earlier versions; 0 for one that has logits.

    Raises:
        NiahError: a file that is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with file.open("rb") as stream:
            if "logits" in pq.read_schema(stream).names:
                return 0.0
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _refused(file, error) from error
    return read(file).saturated


def sha256(file: Path) -> str | None:
    """Return the SHA-256 of `file`, None when there is none."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, MemoryError) as error:
        raise _refused(file, error) from error


def _refused(file: Path, error: BaseException) -> NiahError:
    """Make the error of a file that cannot be read: the system does not give it, or damage."""
    if reason := unreadable(file, error):
        return UnreadableError(reason)
    return NiahError(
        f"{file} is damaged: run the same command again, which makes it again ({error})"
    )


def _lists(names: Sequence[Sequence[str]]) -> "pa.Array":
    import pyarrow as pa

    return pa.array([list(each) for each in names], pa.list_(pa.string()))


def _tuples(table: "pa.Table", column: str) -> Names:
    """Read a column of name lists; () where the file has no such column."""
    if column not in table.column_names:
        return ()
    return tuple(tuple(names) for names in table.column(column).to_pylist())
