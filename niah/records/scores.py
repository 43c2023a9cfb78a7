"""A cell's scores on disk: one parquet file a cell, one line a clip.

id          the clip's name
labels      what is in it: names, of which those among the classes are scored
scores      float16, one per class; the classes' names are in the file's own metadata, so it is read alone
distractors the labels of what else was put in its scene; a column only where anything was
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.system import atomic

if TYPE_CHECKING:
    import pyarrow as pa

_CLASSES = "niah.classes"


@dataclass(frozen=True)
class ClipScores:
    """One cell's scores: `ids` (n,), `labels` one tuple a clip, `classes` (c,), `scores` (n, c).

    `distractors`: one tuple a clip, the labels of what else was put in its scene; () where nothing was.
    """

    ids: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    scores: NDArray[np.float16]
    distractors: tuple[tuple[str, ...], ...] = ()

    @property
    def targets(self) -> NDArray[np.bool_]:
        """Which clip has which class, (n, c) bool. Labels outside `classes` are not scored."""
        return self._flags(self.labels)

    @property
    def judged(self) -> NDArray[np.float16]:
        """The scores to take metrics of: those of a distractor's labels in its own scene are -1, below all others.

        They are true there, yet not what was hidden. As the lowest negatives they change no average precision.
        """
        also = self._flags(self.distractors) & ~self.targets
        return np.where(also, np.float16(-1), self.scores) if also.any() else self.scores

    def _flags(self, labels: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
        column = {label: index for index, label in enumerate(self.classes)}
        flags = np.zeros(self.scores.shape, dtype=np.bool_)
        for row, names in enumerate(labels):
            flags[row, [column[name] for name in names if name in column]] = True
        return flags


def write(file: Path, scored: ClipScores) -> None:
    """Store `scored`, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(np.ascontiguousarray(scored.scores).ravel())
    columns = {
        "id": pa.array(list(scored.ids), pa.string()),
        "labels": _lists(scored.labels),
        "scores": pa.FixedSizeListArray.from_arrays(flat, len(scored.classes)),
    }
    if scored.distractors:
        columns["distractors"] = _lists(scored.distractors)
    classes = {_CLASSES: json.dumps([*scored.classes])}
    with atomic.atomic_write(file) as stream:
        pq.write_table(
            pa.table(columns).replace_schema_metadata(classes), stream, compression="zstd"
        )


def read(file: Path) -> ClipScores:
    """What `write` stored. Raises `NiahError` when it is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():
        raise NiahError(f"{file} is missing: run the same command again")
    try:
        table = pq.read_table(file)
        classes = tuple(json.loads(table.schema.metadata[_CLASSES.encode()]))
        flat = table.column("scores").combine_chunks().flatten()
        scores = flat.to_numpy(zero_copy_only=False).reshape(len(table), len(classes))
        others = _tuples(table, "distractors") if "distractors" in table.column_names else ()
        ids = tuple(table.column("id").to_pylist())
        return ClipScores(ids, _tuples(table, "labels"), classes, scores, others)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise NiahError(f"{file} is damaged: delete it and run again ({error})") from error


def count(file: Path) -> int | None:
    """How many clips `file` has by its footer, which is written last; None when it is missing or torn."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(file).num_rows)
    except (pa.ArrowException, OSError):
        return None


def sha256(file: Path) -> str | None:
    """SHA-256 of `file`, None when there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _lists(names: Sequence[Sequence[str]]) -> "pa.Array":
    import pyarrow as pa

    return pa.array([list(each) for each in names], pa.list_(pa.string()))


def _tuples(table: "pa.Table", column: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names) for names in table.column(column).to_pylist())
