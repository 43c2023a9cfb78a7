"""A run on disk: written cell by cell, whole or not at all, and readable without torch.

    run.json                the options of the run, by which code, where (`niah.records.run_json`)
    cells/<cell>.json       one row each, the source of truth (`niah.records.row_files`)
    cells.csv               the same rows as one table (`CELL_COLUMNS`), rebuilt after each
    scores/<cell>.parquet   per clip: id, labels, logits (`niah.records.scores`)

A cell's scores are written before its row: the row is the promise that the cell is done. A cell's name is the hash of
all that determines it, so resuming and amending are one thing: run the cells that are missing. A row carries the
SHA-256 of its scores, and its file that of the row: an edited or damaged part is not believed, and the same `niah run`
makes it again. Rows of earlier versions have neither and are read as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from filelock import BaseFileLock
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.records import schema
from niah.records import scores as clip_scores
from niah.records.identity import identity_differences, publishable_identity
from niah.records.lock import acquire_lock
from niah.records.row_files import DamagedRowError, read_row, write_row
from niah.records.run_json import SCHEMA_VERSION, merged_run_json, read_run_json
from niah.records.run_parts import refuse_foreign, refuse_links
from niah.records.schema import Row, check_cell, validate_row
from niah.records.scores import ClipScores
from niah.system import atomic, spreadsheet

if TYPE_CHECKING:
    import pandas as pd


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
        refuse_links(self.path)
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
            clips: Number of clips, for the message when the run there has others.

        Raises:
            NiahError: the folder holds something else, a run of another identity (says what differs) or of a newer
                schema; another process is writing to it; its file system has no locks.
        """
        path = Path(path)
        refuse_foreign(path)
        refuse_links(path)
        with atomic.one_line_os_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        lock = acquire_lock(path)
        try:
            refuse_foreign(path)  # again: another process may have come first
            with atomic.one_line_os_errors(path):
                atomic.remove_leftovers(path)
                (path / "cells").mkdir(exist_ok=True)
                (path / "scores").mkdir(exist_ok=True)
            if not (path / "run.json").exists():
                stored = publishable_identity(identity)
                new = {"schema_version": SCHEMA_VERSION, "identity": stored}
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
        """Check that this is the run of `identity`.

        Args:
            identity: What all cells of the run share.
            clips: Number of clips, for the message.

        Raises:
            NiahError: it is another run; the message says what differs.
        """
        content = self.run_json()
        stored_clips = content.get("needles", {}).get("clips", "?")
        differences = identity_differences(content["identity"], identity, stored_clips, clips)
        if differences:
            raise NiahError(
                f"{self.path} holds another run ({'; '.join(differences)}): give another folder"
            )

    def _migrate(self) -> None:
        """Bring run.json to the present schema: from 1 to 2 only the number changes."""
        content = self.run_json()
        if content["schema_version"] != SCHEMA_VERSION:
            atomic.write_json(self.path / "run.json", {**content, "schema_version": SCHEMA_VERSION})

    def _remove_damaged_rows(self) -> None:
        """Remove rows that are damaged, so that their cells are run again."""
        for file in self._row_files():
            try:
                read_row(file)
            except DamagedRowError as error:
                self.warnings.append(f"{error}; it was removed")
                file.unlink()

    def close(self) -> None:
        """Let another process write. The operating system does the same when this one dies."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run_json(self) -> dict[str, Any]:
        """Return the checked content of run.json; empty for a published run that has cells.csv alone.

        Raises:
            NiahError: it is no run's, of a schema that is not read, or has a value of a wrong type.
        """
        file = self.path / "run.json"
        return read_run_json(file) if file.exists() else {}

    def write_run_json(self, content: Mapping[str, object]) -> None:
        """Replace keys of run.json; `models` is merged by name, `schema_version` and `identity` stay.

        Absolute paths are cut: a run is made to be published.
        """
        atomic.write_json(self.path / "run.json", merged_run_json(self.run_json(), content))

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
            NiahError: they are missing, damaged, or not those that the cell's row was computed from.
        """
        if reason := self._changed(cell, self._expected(cell)):
            raise NiahError(f"{reason}: run the same command again, which makes it again")
        return clip_scores.read(self._scores_file(cell))

    def has_scores(self, cell: str, clips: int | None = None) -> bool:
        """Return whether the cell has the scores that its row was computed from.

        Args:
            cell: key of the cell.
            clips: number of clips that they must have; None for any.
        """
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
        expected = read_row(file)[0].get("scores_sha256") if file.is_file() else None
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
            write_row(self.path / "cells" / f"{cell}.json", plain, scored_from)
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
        return [read_row(file) for file in self._row_files()]

    def _row_files(self) -> list[Path]:
        return sorted((self.path / "cells").glob("*.json"))

    def cells(self) -> "pd.DataFrame":
        """Return the table of all cells, in the order of cells.csv (see `niah.records.schema.table`)."""
        if not (self.path / "cells").is_dir():  # a published run: the table without its parts
            return schema.read_csv(self.path / "cells.csv")
        return schema.table(row for row, _ in self.rows())

    def completed(self) -> set[str]:
        """Return the cells that need not be run again: ok, with the scores that were written."""
        return {
            str(row["cell"])
            for row, _ in self.rows()
            if row["status"] == "ok" and self.has_scores(str(row["cell"]), int(row["n_clips"] or 0))
        }

    def out_of_memory(self) -> set[str]:
        """Return the cells that ran out of memory: another job's pressure passes, so a run tries them again."""
        return {str(row["cell"]) for row, _ in self.rows() if row["status"] == "oom"}
