"""A run on disk: written cell by cell, whole or not at all, and readable without torch.

    run.json                what was asked, by which code, where; schema_version; identity
    cells/<cell>.json       one row each, the source of truth
    cells.csv               the same rows as one table (`CELL_COLUMNS`), rebuilt after each
    scores/<cell>.parquet   per clip: id, labels, logits (`niah.records.scores`)

A cell's scores are written before its row: the row is the promise that the cell is done. A cell's
name is the hash of all that determines it, so resuming and amending are one thing: do the cells
that are not there. One process writes at a time (a lock that the system frees when it dies).

Schema 2 added the optional columns of `schema` and the distractors' labels. A run of schema 1 has nothing in
them, so it is read as it is; opened for writing, it becomes one of schema 2, which an older niah refuses.
"""

import fcntl
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.records import run_parts
from niah.records import schema as cells
from niah.records import scores as clip_scores
from niah.records.schema import Row, check_cell, validate_row
from niah.records.scores import ClipScores
from niah.system import atomic, folders, spreadsheet

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2
OLDEST_SCHEMA = 1
LOCK = ".lock"
LOOKED_UP = ("haystacks", "variants", "presets")  # of run.json: names of labels, variants, presets


class RunDirectory:
    """A run's folder: `RunDirectory(path)` reads one, `create_or_open` locks it for writing."""

    def __init__(self, path: Path | str) -> None:
        """Open an existing run.

        Raises:
            NiahError: `path` is none, or of a newer schema, or a part of it is a link (`niah.records.run_parts`).
        """
        self.path = Path(path)
        self._lock: IO[str] | None = None
        run_parts.refuse_links(self.path)
        if not any((self.path / name).is_file() for name in ("run.json", "cells.csv")):
            raise NiahError(f"{self.path} is not a run directory: it has no run.json or cells.csv")
        self.run_json()

    @classmethod
    def create_or_open(
        cls, path: Path | str, identity: Mapping[str, object], clips: int | None = None
    ) -> Self:
        """Start a run in `path`, or take up the one there; one writer at a time, until `close`.

        `identity` is what all cells of a run share (protocol, needles, ids_sha256, seed ...).
        Raises `NiahError` when the folder holds something else, a run of another identity (naming
        what differs), a run of a newer schema, or when another process is writing to it.
        """
        path = Path(path)
        _refuse_foreign(path)
        run_parts.refuse_links(path)
        with atomic.one_line_os_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = _lock(path)
        try:
            _refuse_foreign(path)  # again: another process may have come first
            with atomic.one_line_os_errors(path):
                atomic.remove_leftovers(path)
                (path / "cells").mkdir(exist_ok=True)
                (path / "scores").mkdir(exist_ok=True)
            if not (path / "run.json").exists():
                new = {"schema_version": SCHEMA_VERSION, "identity": _published(identity)}
                atomic.write_json(path / "run.json", new)
            run = cls(path)
            run.check_identity(identity, clips)
            run._migrate()
            run.write_cells_csv()
        except BaseException:
            lock.close()
            raise
        run._lock = lock
        return run

    def check_identity(self, identity: Mapping[str, object], clips: int | None = None) -> None:
        """Check that this is the run of `identity`, of so many `clips`.

        Runs from before there was a hash of the clips' content are taken by their clips' ids.

        Raises:
            NiahError: it is another run; the message has what differs.
        """
        asked = _published(identity)
        held = _published(self.run_json()["identity"])  # older runs told whole paths
        differs = [
            f"{name} is {_short(held.get(name))} there, {_short(asked.get(name))} now"
            for name in sorted({*held, *asked} - {"ids_sha256", "content_sha256"})
            if held.get(name) != asked.get(name)
        ]
        if held.get("ids_sha256") != asked.get("ids_sha256"):
            there = self.run_json().get("needles", {}).get("clips", "?")
            other = "other clips, or other labels of them" if there == clips else "other clips"
            differs.append(f"{other}: {there} there, {'?' if clips is None else clips} now")
        elif held.get("content_sha256", asked.get("content_sha256")) != asked.get("content_sha256"):
            differs.append("the sound or the labels of its clips have changed since")
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

        `schema_version` and `identity` stay as they are. Absolute paths are cut
        (`niah.system.folders`): a run is made to be published.
        """
        old, new = self.run_json(), _plain(content)
        fixed = {name: old[name] for name in ("schema_version", "identity")}
        models = {**old.get("models", {}), **new.get("models", {})}
        merged = {**fixed, **old, **new, "models": models, **fixed}
        atomic.write_json(self.path / "run.json", _told(merged))

    def write_scores(
        self,
        cell: str,
        ids: Sequence[str],
        labels: Sequence[Sequence[str]],
        logits: NDArray[Any],
        *,
        classes: Sequence[str],
        distractors: Sequence[Sequence[str]] = (),
        groups: Sequence[str] = (),
    ) -> None:
        """Store one cell's scores.

        Args:
            cell: Key of the cell.
            ids: Clip names, (n,).
            labels: Labels of each clip, (n,) lists.
            logits: (n, c), any float dtype.
            classes: Names of the columns of `logits`, (c,).
            distractors: Labels of the other clips in each scene, (n,) lists; empty where there are none.
            groups: Recording that each clip is cut from, (n,), "" where unknown; empty where none is known.

        Raises:
            NiahError: shapes that disagree, NaN or infinite logits, a full disk.
        """
        if logits.shape != (len(ids), len(classes)) or len(labels) != len(ids):
            raise NiahError(
                f"logits must be (clips, classes) = ({len(ids)}, {len(classes)}) with one label "
                f"list a clip but are {logits.shape} with {len(labels)}"
            )
        own, others = (tuple(map(tuple, names)) for names in (labels, distractors))
        with np.errstate(over="ignore"):  # infinite logits are refused when they are written
            single = logits.astype(np.float32)
        scored = ClipScores(tuple(ids), own, tuple(classes), single, others, tuple(groups))
        clip_scores.write(self._scores_file(cell), scored)

    def read_scores(self, cell: str) -> ClipScores:
        """One cell's scores as stored. Raises `NiahError` when they are missing or damaged."""
        return clip_scores.read(self._scores_file(cell))

    def has_scores(self, cell: str, clips: int | None = None) -> bool:
        """Whether the cell's scores are there, whole by their footer, and of so many clips."""
        found = clip_scores.count(self._scores_file(cell))
        return found is not None and clips in (None, found)

    def scores_sha256(self, cell: str) -> str | None:
        """SHA-256 of the cell's score file, None when there is none."""
        return clip_scores.sha256(self._scores_file(cell))

    def _scores_file(self, cell: str) -> Path:
        return self.path / "scores" / f"{check_cell(cell)}.parquet"

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
        with atomic.atomic_write(self.path / "cells.csv") as file:
            file.write(spreadsheet.frame_text(self.cells()).encode())

    def rows(self) -> list[tuple[Row, str | None]]:
        """Every stored (row, fingerprint of the scores its metrics are of), sorted by cell."""
        files = sorted((self.path / "cells").glob("*.json"))
        return [_read_row(file) for file in files]

    def cells(self) -> "pd.DataFrame":
        """The table of all cells, in the order of cells.csv (see `niah.records.schema.table`)."""
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
        row = validate_row(content["row"])
        if row["cell"] != file.stem:
            raise NiahError(f"its cell is {row['cell']}, not its file's name")
        return row, content["scored_from"]
    except (KeyError, TypeError, AttributeError, NiahError) as error:
        raise NiahError(f"{file} is not a cell's row: delete it and run again ({error})") from error


def _plain(content: Mapping[str, object]) -> dict[str, Any]:
    """`content` as JSON gives it back, so that what is asked compares with what was stored."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(content)))
    return plain


def _published(identity: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = folders.published(_plain(identity))
    return found


def _told(content: Mapping[str, Any]) -> dict[str, Any]:
    """run.json's content without the folders of this machine; names that are looked up stay whole."""
    whole = {name: content[name] for name in LOOKED_UP if name in content}
    return {**folders.published_run(content), **whole}


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "..."
