"""A run on disk: written cell by cell, whole or not at all, and readable without torch.

    run.json                the options of the run, by which code, where; schema_version; identity
    cells/<cell>.json       one row each, the source of truth
    cells.csv               the same rows as one table (`CELL_COLUMNS`), rebuilt after each
    scores/<cell>.parquet   per clip: id, labels, logits (`niah.records.scores`)

A cell's scores are written before its row: the row is the promise that the cell is done. A cell's
name is the hash of all that determines it, so resuming and amending are one thing: do the cells
that are not there. A row has the SHA-256 of its scores, and its file that of the row: what was edited or damaged since
is not believed, and is made again by the same `niah run`. Rows of earlier versions have neither and are read as they
are.

One process writes at a time, by a lock on `.lock` that the system frees when the process dies (`filelock`; flock on
Unix). On a network file system that lock holds between machines where the server supports it (NFS 4 does; NFS 2 and 3
need lockd); on one without locks a run is refused: write to a local folder and copy it.

Schema 2 added the optional columns of `schema` and the distractors' labels. A run of schema 1 has nothing in
them, so it is read as it is; opened for writing, it becomes one of schema 2, which an older niah refuses.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.records import run_parts
from niah.records import schema as cells
from niah.records import scores as clip_scores
from niah.records.run_json import checked_run_json
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
        self.warnings: list[str] = []  # for the user, about what opening it for writing removed
        self._lock: BaseFileLock | None = None
        run_parts.refuse_links(self.path)
        if not any((self.path / name).is_file() for name in ("run.json", "cells.csv")):
            raise NiahError(f"{self.path} is not a run directory: it has no run.json or cells.csv")
        self.run_json()

    @classmethod
    def create_or_open(
        cls, path: Path | str, identity: Mapping[str, object], clips: int | None = None
    ) -> Self:
        """Start a run in `path`, or take up the one there; one writer at a time, until `close`.

        Args:
            path: The run's folder.
            identity: What all cells of a run share (protocol, needles, ids_sha256, seed ..).
            clips: How many clips it has, for the message when they are others.

        Raises:
            NiahError: the folder holds something else, a run of another identity (says what differs) or of a newer
                schema; another process is writing to it; its file system has no locks.
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
            run._remove_damaged_rows()
            run.write_cells_csv()
        except BaseException:
            lock.release()
            raise
        run._lock = lock
        return run

    def check_identity(self, identity: Mapping[str, object], clips: int | None = None) -> None:
        """Check that this is the run of `identity`, of as many `clips`.

        Runs from before there was a hash of the clips' content are taken by their clips' ids.

        Raises:
            NiahError: it is another run; the message has what differs.
        """
        requested = _published(identity)
        stored = _published(self.run_json()["identity"])  # older runs have whole paths
        differs = [
            f"{name} is {_short(stored.get(name))} there, {_short(requested.get(name))} now"
            for name in sorted({*stored, *requested} - {"ids_sha256", "content_sha256"})
            if stored.get(name) != requested.get(name)
        ]
        if stored.get("ids_sha256") != requested.get("ids_sha256"):
            there = self.run_json().get("needles", {}).get("clips", "?")
            other = "other clips, or other labels of them" if there == clips else "other clips"
            differs.append(f"{other}: {there} there, {'?' if clips is None else clips} now")
        elif stored.get("content_sha256", requested.get("content_sha256")) != requested.get(
            "content_sha256"
        ):
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

    def _remove_damaged_rows(self) -> None:
        """Remove rows that are damaged, so that their cells are run again."""
        for file in self._row_files():
            try:
                _read_row(file)
            except _DamagedRowError as error:
                self.warnings.append(f"{error}; it was removed")
                file.unlink()

    def close(self) -> None:
        """Let another process write. The operating system does the same when this one dies."""
        if self._lock is not None:
            self._lock.release()
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
        """Return the content of run.json, checked; empty for a published run that has cells.csv alone.

        Raises:
            NiahError: it is no run's, of a schema that is not read, or has something of a wrong type in it.
        """
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
        return checked_run_json(content, file)

    def write_run_json(self, content: Mapping[str, object]) -> None:
        """Replace the given keys of run.json; `models` is merged by name, as amending a run needs.

        `schema_version` and `identity` stay as they are. Absolute paths are cut
        (`niah.system.folders`): a run is made to be published.
        """
        old, new = self.run_json(), _plain(content)
        fixed = {name: old[name] for name in ("schema_version", "identity")}
        models = {**old.get("models", {}), **new.get("models", {})}
        merged = {**fixed, **old, **new, "models": models, **fixed}
        atomic.write_json(self.path / "run.json", _publishable(merged))

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
        """Read one cell's scores.

        Raises:
            NiahError: they are missing, damaged, or not those that the cell's row is of.
        """
        if reason := self._changed(cell, self._expected(cell)):
            raise NiahError(f"{reason}: run the same command again, which makes it again")
        return clip_scores.read(self._scores_file(cell))

    def has_scores(self, cell: str, clips: int | None = None) -> bool:
        """Return whether the cell's scores are there, are those that its row is of, and of `clips` clips."""
        if self._changed(cell, self._expected(cell)):
            return False
        count = clip_scores.count(self._scores_file(cell))
        return count is not None and clips in (None, count)

    def scores_problem(self, row: Row) -> str | None:
        """Return the reason why the scores of an ok row cannot be believed; None when they can."""
        cell, file = str(row["cell"]), self._scores_file(str(row["cell"]))
        if not file.is_file():
            return f"{file} is missing"
        expected = row.get("scores_sha256")
        if reason := self._changed(cell, None if expected is None else str(expected)):
            return reason
        if expected is None and clip_scores.count(file) is None:
            return f"{file} is damaged"
        return None

    def saturation(self, cell: str) -> float:
        """Return the share of the cell's scores that were stored as exactly 0 or 1 (`niah.records.scores`)."""
        return clip_scores.saturation(self._scores_file(cell))

    def _changed(self, cell: str, expected: str | None) -> str | None:
        """The reason why a score file is not the one with this checksum; None where it is, or there is none."""
        stored = None if expected is None else self.scores_sha256(cell)
        if stored is None or stored == expected:
            return None
        return f"{self._scores_file(cell)} is damaged or was changed (its SHA-256 is not the row's)"

    def _expected(self, cell: str) -> str | None:
        """The checksum that the cell's row has of its scores."""
        file = self.path / "cells" / f"{check_cell(cell)}.json"
        expected = _read_row(file)[0].get("scores_sha256") if file.is_file() else None
        return None if expected is None else str(expected)

    def scores_sha256(self, cell: str) -> str | None:
        """Return the SHA-256 of the cell's score file, None when there is none."""
        return clip_scores.sha256(self._scores_file(cell))

    def _scores_file(self, cell: str) -> Path:
        return self.path / "scores" / f"{check_cell(cell)}.parquet"

    def write_rows(self, rows: Iterable[tuple[Mapping[str, object], str | None]]) -> None:
        """Store rows, replacing earlier ones of the same cells, and rebuild cells.csv.

        Args:
            rows: Each with the fingerprint of the scores that its metrics are of, None where it has none yet: metric
                columns may be None, `summarise` fills them in. An ok row without the checksum of its scores gets it.
        """
        for row, scored_from in rows:
            plain = validate_row(row)
            cell = str(plain["cell"])
            if plain["status"] == "ok" and "scores_sha256" not in plain:
                plain = validate_row({**plain, "scores_sha256": self.scores_sha256(cell)})
            content: dict[str, object] = {"row": plain, "scored_from": scored_from}
            content["sha256"] = _checksum(content)
            atomic.write_json(self.path / "cells" / f"{cell}.json", content)
        self.write_cells_csv()

    def write_cells_csv(self) -> None:
        """Rebuild cells.csv from the rows (a kill may have come between a row and the table)."""
        with atomic.atomic_write(self.path / "cells.csv") as file:
            file.write(spreadsheet.frame_text(self.cells()).encode())

    def rows(self) -> list[tuple[Row, str | None]]:
        """Return every stored (row, fingerprint of the scores that its metrics are of), sorted by cell.

        Raises:
            NiahError: a row that was edited or damaged; names its file.
        """
        return [_read_row(file) for file in self._row_files()]

    def _row_files(self) -> list[Path]:
        return sorted((self.path / "cells").glob("*.json"))

    def cells(self) -> "pd.DataFrame":
        """Return the table of all cells, in the order of cells.csv (see `niah.records.schema.table`)."""
        if not (self.path / "cells").is_dir():  # a published run: the table without its parts
            return cells.read_csv(self.path / "cells.csv")
        return cells.table(row for row, _ in self.rows())

    def completed(self) -> set[str]:
        """Return the cells that need not be run again: out of memory, or ok with the scores that were written."""
        return {
            str(row["cell"])
            for row, _ in self.rows()
            if row["status"] == "oom"
            or (
                row["status"] == "ok"
                and self.has_scores(str(row["cell"]), int(row["n_clips"] or 0))
            )
        }


class _DamagedRowError(NiahError):
    """A row's file that was right once: what is in it now is not what was written."""


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


def _lock(path: Path) -> BaseFileLock:
    """The folder's lock, acquired."""
    lock = FileLock(
        path / LOCK, thread_local=False, preserve_lock_file=True, fallback_to_soft=False
    )
    with atomic.one_line_os_errors(path):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise NiahError(
                f"another niah run is writing to {path}: wait for it, or give another folder"
            ) from error
        except NotImplementedError as error:
            raise NiahError(
                f"the file system of {path} has no locks, so two runs could write there at once: give a local folder"
            ) from error
    return lock


def _read_row(file: Path) -> tuple[Row, str | None]:
    try:
        content = atomic.read_json(file)
    except NiahError as error:
        raise _DamagedRowError(
            f"{error}: run the same command again, which makes it again"
        ) from error
    try:
        if check_cell(content["row"]["cell"]) != file.stem:
            raise NiahError(f"its cell is {content['row']['cell']}, not its file's name")
        if "sha256" in content and content["sha256"] != _checksum(content):
            raise _DamagedRowError(
                f"{file} was edited or damaged (its checksum is not its content's): run the same command again, which "
                "makes it again"
            )
        row = validate_row(content["row"])
        scored_from = content["scored_from"]
        if not isinstance(scored_from, str | None):
            raise NiahError("its scored_from is no text")
        return row, scored_from
    except _DamagedRowError:
        raise
    except (KeyError, TypeError, AttributeError, NiahError) as error:
        raise NiahError(f"{file} is not a cell's row: delete it and run again ({error})") from error


def _checksum(content: Mapping[str, object]) -> str:
    """SHA-256 of a row's file but for the checksum itself, however it is laid out."""
    parts = {name: value for name, value in content.items() if name != "sha256"}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(content: Mapping[str, object]) -> dict[str, Any]:
    """`content` as JSON gives it back, so that a request compares with what was stored."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(content)))
    return plain


def _published(identity: Mapping[str, object]) -> dict[str, Any]:
    published: dict[str, Any] = folders.published(_plain(identity))
    return published


def _publishable(content: Mapping[str, Any]) -> dict[str, Any]:
    """run.json's content without the folders of this machine; names that are looked up stay whole."""
    whole = {name: content[name] for name in LOOKED_UP if name in content}
    return {**folders.published_run(content), **whole}


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "..."
