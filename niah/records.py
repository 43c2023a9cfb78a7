"""A run on disk: written cell by cell, whole or not at all, and readable without torch.

    run.json                what was asked, by which code, where; schema_version; identity
    cells/<cell>.json       one row each, the source of truth
    cells.csv               the same rows as one table (`CELL_COLUMNS`), rebuilt after each
    scores/<cell>.parquet   per clip: id, labels, scores (float16, one per class); with distractors also theirs

A cell's scores are written before its row: the row is the promise that the cell is done. A cell's
name is the hash of all that determines it, so resuming and amending are one thing: do the cells
that are not there. One process writes at a time (a lock that the system frees when it dies).

Schema 2 added the optional columns of `niah.cells` and the distractors' labels. A run of schema 1 has nothing in
them, so it is read as it is; opened for writing, it becomes one of schema 2, which an older niah refuses.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from niah import atomic, cells
from niah.cells import CELL_COLUMNS, Row, cell_key, validate_row
from niah.errors import NiahError
from niah.summary import summarise

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CELL_COLUMNS",
    "SCHEMA_VERSION",
    "ClipScores",
    "RunDirectory",
    "cell_key",
    "summarise",
    "validate_row",
]

SCHEMA_VERSION = 2
OLDEST_SCHEMA = 1
LOCK = ".lock"


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


class RunDirectory:
    """A run's folder: `RunDirectory(path)` reads one, `create_or_open` locks it for writing."""

    def __init__(self, path: Path | str) -> None:
        """Open an existing run. Raises `NiahError` when `path` is none, or of a newer schema."""
        self.path = Path(path)
        self._lock: IO[str] | None = None
        if not any((self.path / name).is_file() for name in ("run.json", "cells.csv")):
            raise NiahError(f"{self.path} is not a run directory: it has no run.json or cells.csv")
        self.run_json()

    @classmethod
    def create_or_open(cls, path: Path | str, identity: Mapping[str, object]) -> Self:
        """Start a run in `path`, or take up the one there; one writer at a time, until `close`.

        `identity` is what all cells of a run share (protocol, needles, ids_sha256, seed ...).
        Raises `NiahError` when the folder holds something else, a run of another identity (naming
        what differs), a run of a newer schema, or when another process is writing to it.
        """
        path = Path(path)
        _refuse_foreign(path)
        with atomic.telling(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = _lock(path)
        try:
            _refuse_foreign(path)  # again: another process may have come first
            with atomic.telling(path):
                atomic.sweep(path)
                (path / "cells").mkdir(exist_ok=True)
                (path / "scores").mkdir(exist_ok=True)
            if not (path / "run.json").exists():
                new = {"schema_version": SCHEMA_VERSION, "identity": _plain(identity)}
                atomic.write_json(path / "run.json", new)
            run = cls(path)
            run._refuse_other(_plain(identity))
            run._migrate()
            run.write_cells_csv()
        except BaseException:
            lock.close()
            raise
        run._lock = lock
        return run

    def _refuse_other(self, asked: dict[str, Any]) -> None:
        held = self.run_json()["identity"]
        differs = [
            f"{name} is {_short(held.get(name))} there, {_short(asked.get(name))} now"
            for name in sorted({*held, *asked})
            if held.get(name) != asked.get(name)
        ]
        if differs:
            raise NiahError(
                f"{self.path} holds another run ({'; '.join(differs)}): give another folder"
            )

    def _migrate(self) -> None:
        """A run of an older schema becomes one of this: from 1 to 2 only its number changes."""
        content = self.run_json()
        if content["schema_version"] != SCHEMA_VERSION:
            atomic.write_json(self.path / "run.json", {**content, "schema_version": SCHEMA_VERSION})

    def close(self) -> None:
        """Let another process write. The operating system does the same when this one dies."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def run_json(self) -> dict[str, Any]:
        """The content of run.json; empty for a published run that has cells.csv alone."""
        file = self.path / "run.json"
        if not file.exists():
            return {}
        content = atomic.read_json(file)
        version = content.get("schema_version")
        if not isinstance(version, int) or not isinstance(content.get("identity"), dict):
            raise NiahError(f"{file} is not a run's: it has no schema_version and identity")
        if version > SCHEMA_VERSION:
            raise NiahError(
                f"{file} has schema {version}, newer than this niah's {SCHEMA_VERSION}: update niah"
            )
        if version < OLDEST_SCHEMA:
            raise NiahError(
                f"{file} has schema {version}, older than {OLDEST_SCHEMA}, the first that was released: run again "
                "in a new folder"
            )
        return content

    def write_run_json(self, content: Mapping[str, object]) -> None:
        """Replace the given keys of run.json; `models` is merged by name, as amending a run needs.

        `schema_version` and `identity` stay as they are.
        """
        old, new = self.run_json(), _plain(content)
        fixed = {name: old[name] for name in ("schema_version", "identity")}
        models = {**old.get("models", {}), **new.get("models", {})}
        merged = {**fixed, **old, **new, "models": models, **fixed}
        atomic.write_json(self.path / "run.json", merged)

    def write_scores(
        self,
        cell: str,
        ids: Sequence[str],
        labels: Sequence[Sequence[str]],
        scores: NDArray[Any],
        *,
        classes: Sequence[str],
        distractors: Sequence[Sequence[str]] = (),
    ) -> None:
        """Store one cell's scores: `scores` (n, c) as float16, `classes` (c,) naming its columns.

        `distractors`: the labels of what else is in each clip's scene, a column of its own where there is any.

        The class names travel in the file's own metadata, so a run needs nothing else to be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if scores.shape != (len(ids), len(classes)) or len(labels) != len(ids):
            raise NiahError(
                f"scores must be (clips, classes) = ({len(ids)}, {len(classes)}) with one label "
                f"list a clip but are {scores.shape} with {len(labels)}"
            )
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(scores, dtype=np.float16)
        if not np.isfinite(half).all():
            raise NiahError(
                f"scores of cell {cell} are NaN or infinite: the model overflowed; "
                "try --dtype float32"
            )
        flat = pa.array(half.ravel())
        columns = {
            "id": pa.array(list(ids), pa.string()),
            "labels": pa.array([list(names) for names in labels], pa.list_(pa.string())),
            "scores": pa.FixedSizeListArray.from_arrays(flat, len(classes)),
        }
        if distractors:
            lists = [list(names) for names in distractors]
            columns["distractors"] = pa.array(lists, pa.list_(pa.string()))
        table = pa.table(columns).replace_schema_metadata({"niah.classes": json.dumps([*classes])})
        with atomic.writing(self._scores_file(cell)) as file:
            pq.write_table(table, file, compression="zstd")

    def read_scores(self, cell: str) -> ClipScores:
        """One cell's scores as stored. Raises `NiahError` when they are missing or damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self._scores_file(cell)
        if not file.is_file():
            raise NiahError(f"{file} is missing: run the same command again")
        try:
            table = pq.read_table(file)
            classes = tuple(json.loads(table.schema.metadata[b"niah.classes"]))
            flat = table.column("scores").combine_chunks().flatten()
            scores = flat.to_numpy(zero_copy_only=False).reshape(len(table), len(classes))
            labels = tuple(tuple(names) for names in table.column("labels").to_pylist())
            others: tuple[tuple[str, ...], ...] = ()
            if "distractors" in table.column_names:
                others = tuple(tuple(names) for names in table.column("distractors").to_pylist())
            ids = tuple(table.column("id").to_pylist())
            return ClipScores(ids, labels, classes, scores, others)
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise NiahError(f"{file} is damaged: delete it and run again ({error})") from error

    def has_scores(self, cell: str, clips: int | None = None) -> bool:
        """Whether the cell's scores are there, whole by their footer, and of so many clips."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            rows = pq.read_metadata(self._scores_file(cell)).num_rows
        except (pa.ArrowException, OSError):
            return False
        return clips is None or rows == clips

    def scores_sha256(self, cell: str) -> str | None:
        """SHA-256 of the cell's score file, None when there is none."""
        file = self._scores_file(cell)
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None

    def _scores_file(self, cell: str) -> Path:
        return self.path / "scores" / f"{cell}.parquet"

    def write_row(self, row: Mapping[str, object]) -> None:
        """Store one cell's row, replacing an earlier one of the same cell, and rebuild cells.csv.

        Metric columns may be None: `summarise` fills them in from the stored scores.
        """
        self.write_rows([(row, None)])

    def write_rows(self, rows: Iterable[tuple[Mapping[str, object], str | None]]) -> None:
        """Store rows, each with the fingerprint of the scores that its metrics are of (or None)."""
        for row, scored_from in rows:
            plain = validate_row(row)
            content = {"row": plain, "scored_from": scored_from}
            atomic.write_json(self.path / "cells" / f"{plain['cell']}.json", content)
        self.write_cells_csv()

    def write_cells_csv(self) -> None:
        """Rebuild cells.csv from the rows (a kill may have come between a row and the table)."""
        with atomic.writing(self.path / "cells.csv") as file:
            file.write(self.cells().to_csv(index=False, lineterminator="\n").encode())

    def rows(self) -> list[tuple[Row, str | None]]:
        """Every stored (row, fingerprint of the scores its metrics are of), sorted by cell."""
        files = sorted((self.path / "cells").glob("*.json"))
        return [_read_row(file) for file in files]

    def cells(self) -> "pd.DataFrame":
        """The table of all cells, in the order of cells.csv (see `niah.cells.table`)."""
        if not (self.path / "cells").is_dir():  # a published run: the table without its parts
            return cells.read_csv(self.path / "cells.csv")
        return cells.table(row for row, _ in self.rows())

    def completed(self) -> set[str]:
        """Cells that need not be run again: out of memory, or ok with their scores readable."""
        return {
            str(row["cell"])
            for row, _ in self.rows()
            if row["status"] == "oom"
            or (
                row["status"] == "ok"
                and self.has_scores(str(row["cell"]), int(row["n_clips"] or 0))
            )
        }


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise NiahError(f"{path} is a file: give a folder to write the run to")
    if not path.is_dir() or (path / "run.json").is_file():
        return
    ours = {LOCK, "cells", "scores"}  # what a kill before the first run.json can leave
    names = sorted(entry.name for entry in path.iterdir())
    foreign = [name for name in names if name not in ours and not atomic.is_leftover(name)]
    if foreign:
        raise NiahError(
            f"{path} is not empty and not a run (it holds {foreign[0]!r} but no run.json): "
            "give an empty or new folder"
        )


def _lock(path: Path) -> IO[str]:
    """The folder's lock, held while the returned file is open."""
    file = (path / LOCK).open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise NiahError(
            f"another niah run is writing to {path}: wait for it, or give another folder"
        ) from error
    return file


def _read_row(file: Path) -> tuple[Row, str | None]:
    content = atomic.read_json(file)
    try:
        return validate_row(content["row"]), content["scored_from"]
    except (KeyError, TypeError, AttributeError, NiahError) as error:
        raise NiahError(f"{file} is not a cell's row: delete it and run again ({error})") from error


def _plain(content: Mapping[str, object]) -> dict[str, Any]:
    """`content` as JSON gives it back, so that what is asked compares with what was stored."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(content)))
    return plain


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "..."
