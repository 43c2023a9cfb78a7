"""Status of a run from its directory alone: cells that are stored, processes at work, the pace, the time left."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from niah.errors import NiahError
from niah.records.claims import GIVEN_UP, WORKING, Attempt, read_attempts
from niah.records.row_files import read_row, row_files
from niah.records.run_directory import RunDirectory
from niah.records.run_parts import lacks_rows
from niah.records.schema import Row
from niah.records.workers import Worker, list_workers

_LATE_S = 60.0  # of a worker's last report


@dataclass(frozen=True)
class Status:
    """The state of a run at one moment.

    Attributes:
        stored: number of stored cells by status (ok, oom, error).
        planned_cells: cells of the largest plan of a process at work, else of the last run; None where unknown.
        planned_audio_s: seconds of audio in them, all clips.
        stored_audio_s: seconds of audio in the stored cells.
        workers: processes at work and dead ones, the first that joined first.
        working: claims that are being worked on.
        given_up: titles of cells whose processes died again and again.
        slices: stored slices of cells that are not complete.
    """

    stored: Counter[str]
    planned_cells: int | None
    planned_audio_s: float
    stored_audio_s: float
    workers: tuple[Worker, ...]
    working: tuple[Attempt, ...]
    given_up: tuple[str, ...]
    slices: int

    @property
    def open_cells(self) -> int:
        """Planned cells that are not stored; 0 where the plan is not known."""
        return max(0, (self.planned_cells or 0) - self.stored.total())

    @property
    def clips_per_s(self) -> float:
        """Clips that all living processes score in a second, since each of them began."""
        return sum(_rate(worker, "scored_clips") for worker in self.workers if worker.is_working)

    @property
    def left_s(self) -> float | None:
        """Seconds until the run is complete at the present pace; None where nothing is at work or known.

        What the processes have scored of the cells that they are at counts as done.
        """
        working = [worker for worker in self.workers if worker.is_working]
        rate = sum(_rate(worker, "scored_audio_s") for worker in working)
        if not rate or self.planned_cells is None:
            return None
        begun_s = sum(float(worker.progress.get("open_audio_s", 0.0)) for worker in working)
        return max(0.0, self.planned_audio_s - self.stored_audio_s - begun_s) / rate


def status(directory: Path | str) -> Status:
    """Read the state of a run; nothing is written, and other machines may be at work.

    Args:
        directory: of the run.

    Raises:
        NiahError: it is no run directory.
    """
    run = RunDirectory(directory)
    rows = list(_rows(run))
    workers = tuple(list_workers(run.path))
    planned = [w.progress for w in workers if w.is_working and "planned_cells" in w.progress]
    said = run.run_json().get("planned_cells")  # a stranger may have written it
    last_plan = said if isinstance(said, int) and said > 0 else None
    largest = max(planned, key=lambda progress: int(progress["planned_cells"]), default=None)
    last = [attempts[-1] for attempts in read_attempts(run.path).values()]
    alive = {worker.name for worker in workers if worker.is_alive}
    return Status(
        Counter(str(row["status"]) for row in rows),
        last_plan if largest is None else int(largest["planned_cells"]),
        0.0 if largest is None else float(largest["planned_audio_s"]),
        sum(float(row["length_s"] or 0) * int(row["n_clips"] or 0) for row in rows),
        workers,
        tuple(each for each in last if each.state == WORKING and each.worker in alive),
        tuple(each.title or each.unit for each in last if each.state == GIVEN_UP),
        len(list((run.path / "parts").glob("*.npz"))),
    )


def _rows(run: RunDirectory) -> Iterator[Row]:
    if lacks_rows(run.path):
        for values in run.cells().to_dict("records"):
            yield {str(name): value for name, value in values.items()}
        return
    for file in row_files(run.path / "cells"):
        try:
            yield read_row(file)[0]
        except NiahError:  # being written, or damaged: `niah verify` names it
            continue


def _rate(worker: Worker, quantity: str) -> float:
    """Return a quantity a second since the worker's first model was loaded, by its own clock; 0 before."""
    began_s, reported_s = (worker.progress.get(name) for name in ("began_s", "reported_s"))
    if began_s is None:
        return 0.0
    now = time.time()
    if reported_s is None or now - float(reported_s) > _LATE_S:  # it waits, or a pass is long
        reported_s = now
    seconds = float(reported_s) - float(began_s)
    return float(worker.progress.get(quantity, 0.0)) / max(seconds, 1.0)
