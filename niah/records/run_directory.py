"""A run on disk: written cell by cell, whole or not at all, and readable without torch.

    run.json                the options of the run, by which code, where (`niah.records.run_json`)
    cells/<cell>.json       one row each, the source of truth (`niah.records.row_files`)
    cells.csv               the same rows as one table (`CELL_COLUMNS`), rebuilt again and again
    scores/<cell>.parquet   per clip: id, labels, logits (`niah.records.score_files`)

Any number of processes may write to it at once (`niah.records.workers`, `niah.records.claims`). Each writes the scores
and rows of the cells that it claimed; cells.csv and run.json are written by one at a time, from all of these.

A cell's scores are written before its row: the row is the promise that the cell is done. A cell's name is the hash of
all that determines it, so resuming and amending are one thing: run the cells that are missing. A row carries the
SHA-256 of its scores, and its file that of the row: an edited or damaged part is not believed, and the same `niah run`
makes it again. Rows of earlier versions have neither and are read as they are.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from niah.errors import NiahError
from niah.records import cell_table
from niah.records.claims import Claims
from niah.records.identity import identity_differences, publishable_identity
from niah.records.lost_rows import lost_rows
from niah.records.participant import Participant
from niah.records.row_files import DamagedRowError, read_row, row_files, write_row
from niah.records.run_json import SCHEMA_VERSION, merged_run_json, read_run_json
from niah.records.run_parts import RUN_FILES, lacks_rows, refuse_foreign, refuse_links
from niah.records.schema import Row, check_cell, validate_row
from niah.records.score_files import ScoreFiles
from niah.records.workers import FOLDER as WORKERS
from niah.records.workers import Membership, Worker
from niah.system import atomic, spreadsheet

if TYPE_CHECKING:
    import pandas as pd

_REST = 50.0  # times the duration of a rebuild of cells.csv that pass before the next


class RunDirectory(ScoreFiles):
    """A run's folder: `RunDirectory(path)` reads one, `create_or_open` and `join` take part in writing it."""

    def __init__(self, path: Path | str) -> None:
        """Open an existing run.

        Raises:
            NiahError: `path` is none, or of a newer schema, or a part of it is a link (`niah.records.run_parts`).
        """
        super().__init__(Path(path))
        self.warnings: list[str] = []  # for the user, about what opening it for writing removed
        self._participant: Participant | None = None
        self._amended: dict[str, Any] = {}  # what this process adds to run.json
        self._is_unpublished = (
            False  # rows or keys of run.json that are in this process's files alone
        )
        self._last_stored: dict[str, Any] = {}  # run.json as last read: it may be deleted meanwhile
        self._next_table = 0.0  # time of the next rebuild of cells.csv
        refuse_links(self.path)
        if not any((self.path / name).is_file() for name in RUN_FILES):
            raise NiahError(
                f"{self.path} is not a run directory: it has no run.json or cells.csv"
                + _runs_inside(self.path)
            )
        self.run_json()

    @classmethod
    def create_or_open(
        cls, path: Path | str, identity: Mapping[str, object], clips: int | None = None
    ) -> Self:
        """Start a run in `path`, or take up the one there, until `close`; other processes may do the same meanwhile.

        Args:
            path: The run's folder.
            identity: What all cells of a run share (protocol, needles, ids_sha256, seed ..).
            clips: Number of clips, for the message when the run there has others.

        Raises:
            NiahError: the folder holds something else, a run of another identity (says what differs) or of a newer
                schema; it cannot be written to.
        """
        path = Path(path)
        refuse_foreign(path)
        refuse_links(path)
        with atomic.one_line_os_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            (path / "cells").mkdir(exist_ok=True)
            (path / "scores").mkdir(exist_ok=True)
        if not (path / "run.json").exists():
            stored = publishable_identity(identity)
            new = {"schema_version": SCHEMA_VERSION, "identity": stored}
            atomic.create_json(path / "run.json", new)
        run = cls(path)
        run.check_identity(identity, clips)
        return run.join(mend=True)

    def join(self, *, mend: bool = False) -> Self:
        """Take part in writing this run, until `close`.

        Args:
            mend: remove damaged rows, so that their cells are run again, and bring run.json to the present schema.

        Raises:
            NiahError: the folder cannot be written to.
        """
        self._participant = Participant(self.path)
        self.warnings += lost_rows(self.path)
        if mend:
            try:
                self._remove_damaged_rows()
                self._migrate()
                self.publish(wait=True)
            except BaseException:
                self._leave()
                raise
        return self

    @property
    def me(self) -> Membership | None:
        """Return this process's membership of the run; None for one that only reads."""
        return None if self._participant is None else self._participant.me

    @property
    def claims(self) -> Claims | None:
        """Return this process's claims; None for one that only reads."""
        return None if self._participant is None else self._participant.claims

    def others(self) -> list[Worker]:
        """Return the other processes that are writing to this run."""
        return [] if self._participant is None else self._participant.others()

    @contextmanager
    def coordinating(self, *, wait: bool = True) -> Iterator[bool]:
        """Be the one process that writes cells.csv and run.json, for a while.

        Args:
            wait: wait while another one is; else yield False then.
        """
        if self._participant is None:
            yield True
            return
        with self._participant.coordinating(wait=wait) as mine:
            yield mine

    def publish(self, *, wait: bool = False) -> None:
        """Bring run.json and cells.csv up to date from the files of all processes.

        Args:
            wait: wait while another process does so; else leave it to that one, and to the next call.
        """
        if not wait and time.monotonic() < self._next_table:
            return
        with self.coordinating(wait=wait) as mine:
            if mine:
                begin = time.monotonic()
                self._is_unpublished = False
                self._merge_amendments()
                self.write_cells_csv()
                self._next_table = time.monotonic() + _REST * (time.monotonic() - begin)

    def _merge_amendments(self) -> None:
        """Add to run.json what each process has to add."""
        stored = content = self._stored_run_json()
        for file in sorted((self.path / WORKERS).glob("*.amendment"), key=_changed_s):
            with suppress(NiahError):  # removed meanwhile, or torn by a power cut
                content = merged_run_json(content, atomic.read_json(file))
        if content != stored or (content and not (self.path / "run.json").exists()):
            atomic.write_json(self.path / "run.json", content)

    def check_identity(
        self,
        identity: Mapping[str, object],
        clips: int | None = None,
        names: Collection[str] | None = None,
    ) -> None:
        """Check that this is the run of `identity`.

        Args:
            identity: What all cells of the run share.
            clips: Number of clips, for the message.
            names: The parts to look at; None for all.

        Raises:
            NiahError: it is another run; the message says what differs.
        """
        content = self.run_json()
        stored_clips = content.get("needles", {}).get("clips", "?")
        stored = content["identity"]
        if names is not None:
            stored = {name: value for name, value in stored.items() if name in names}
        differences = identity_differences(stored, identity, stored_clips, clips)
        if differences:
            raise NiahError(
                f"{self.path} holds another run ({'; '.join(differences)}): give another folder"
            )

    def _migrate(self) -> None:
        """Bring run.json to the present schema: from 1 to 2 only the number changes."""
        if self._stored_run_json()["schema_version"] != SCHEMA_VERSION:
            with self.coordinating():
                content = {**self._stored_run_json(), "schema_version": SCHEMA_VERSION}
                atomic.write_json(self.path / "run.json", content)

    def _remove_damaged_rows(self) -> None:
        """Remove rows that are damaged, so that their cells are run again."""
        for file in self._row_files():
            try:
                read_row(file)
            except DamagedRowError as error:
                self.warnings.append(f"{error}; it was removed")
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the run to other processes. One that dies is noticed by them (`niah.records.workers`)."""
        if self._participant is None:
            return
        try:
            if self._is_unpublished:
                self.publish(wait=True)
        finally:
            self._leave()

    def _leave(self) -> None:
        participant, self._participant = self._participant, None
        if participant is not None:
            participant.leave(self._merge_amendments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run_json(self) -> dict[str, Any]:
        """Return the checked content of run.json; empty for a published run that has cells.csv alone.

        Raises:
            NiahError: it is no run's, of a schema that is not read, or has a value of a wrong type.
        """
        stored = self._stored_run_json()
        return merged_run_json(stored, self._amended) if self._amended else stored

    def _stored_run_json(self) -> dict[str, Any]:
        file = self.path / "run.json"
        if file.exists():
            self._last_stored = read_run_json(file)
        return self._last_stored

    def write_run_json(self, content: Mapping[str, object]) -> None:
        """Replace keys of run.json; `models` is merged by name, `schema_version` and `identity` stay.

        Absolute paths are cut: a run is made to be published. While another process writes run.json, it takes up what
        this one adds, or the next does.
        """
        me = self.me
        if me is None:
            atomic.write_json(self.path / "run.json", merged_run_json(self.run_json(), content))
            return
        self._amended = merged_run_json({**self._amended, **_NO_IDENTITY}, content)
        for name in _NO_IDENTITY:
            del self._amended[name]
        atomic.write_json(me.folder / f"{me.name}.amendment", self._amended)
        with self.coordinating(wait=False) as mine:
            if mine:
                self._merge_amendments()
            else:
                self._is_unpublished = True

    def write_rows(
        self,
        rows: Iterable[tuple[Mapping[str, object], str | None]],
        instead_of: Mapping[str, Row] | None = None,
    ) -> None:
        """Store rows, replacing earlier ones of the same cells, and rebuild cells.csv.

        Args:
            rows: Each with the fingerprint of the scores that its metrics are of, None where it has none yet: metric
                columns may be None, `summarise` fills them in. An ok row without the checksum of its scores gets it.
            instead_of: Rows by cell that the new ones were made from: one that another process has replaced stays.
        """
        for row, scored_from in rows:
            if instead_of is not None and self._row_of(str(row["cell"])) != instead_of.get(
                str(row["cell"])
            ):
                continue
            plain = validate_row(row)
            cell = str(plain["cell"])
            if plain["status"] == "ok" and "scores_sha256" not in plain:
                plain = validate_row({**plain, "scores_sha256": self.scores_sha256(cell)})
            write_row(self.path / "cells" / f"{cell}.json", plain, scored_from)
        self._is_unpublished = True
        is_coordinator = self._participant is not None and self._participant.is_coordinator
        self.publish(wait=is_coordinator)

    def _row_of(self, cell: str) -> Row | None:
        try:
            return read_row(self.path / "cells" / f"{cell}.json")[0]
        except NiahError:
            return None

    def is_stored(self, cell: str) -> bool:
        """Return whether a cell has a row: an ok one with its scores, or one that says why there are none."""
        row = self._row_of(check_cell(cell))
        if row is None:
            return False
        return row["status"] != "ok" or self.has_scores(cell, int(row["n_clips"] or 0))

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
        return row_files(self.path / "cells")

    def cells(self) -> "pd.DataFrame":
        """Return the table of all cells, in the order of cells.csv (see `niah.records.cell_table.table`)."""
        published = (self.path / "cells.csv").is_file()  # the table, with or without its parts
        if published and self._participant is None and lacks_rows(self.path):
            return cell_table.read_csv(self.path / "cells.csv")
        return cell_table.table(row for row, _ in self.rows())

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


_NO_IDENTITY: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "identity": {}}


def _runs_inside(folder: Path) -> str:
    """Return the names of a folder's runs, for a message on the folder; "" without any."""
    with suppress(OSError):
        runs = sorted(
            each.name
            for each in folder.iterdir()
            if any((each / name).is_file() for name in RUN_FILES)
        )
        if runs:
            more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
            return f"; in it are the runs {', '.join(runs[:3])}{more}: name one"
    return ""


def _changed_s(file: Path) -> float:
    with suppress(OSError):
        return file.stat().st_mtime
    return 0.0
