"""Verification of a run directory: what is whole, damaged, foreign, of other versions; metrics computed again.

Nothing is written. Damage is a finding, not an error: the same `niah run` makes damaged cells again.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from niah.errors import NiahError
from niah.records import diagnosis_files, stored_row, workers
from niah.records.claims import GIVEN_UP, WORKING, read_attempts
from niah.records.row_files import read_row, row_files
from niah.records.run_directory import RunDirectory
from niah.records.run_json import lost_run_json
from niah.records.run_parts import DIAGNOSES, FILES, FOLDERS, MEASURED, lacks_rows
from niah.records.schema import METRIC_COLUMNS, OPTIONAL_METRICS, Row, is_cell
from niah.records.summarise import recomputed
from niah.system import spreadsheet
from niah.system.atomic import is_leftover
from niah.system.plurals import plural
from niah.system.unreadable import UnreadableError
from niah.version import __version__

METRICS = (*METRIC_COLUMNS, *OPTIONAL_METRICS)
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # metrics of two machines differ by rounding alone


@dataclass
class Verdict:
    """Sentences on a run's parts, by what they say; `whole` counts cells that are as they were written."""

    whole: int = 0
    failed: int = 0  # rows that say why there are no scores
    damaged: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    recomputed: int = 0

    @property
    def is_good(self) -> bool:
        """Return whether every stored cell is whole and has the metrics of its scores."""
        return not (self.damaged or self.metrics)


def verify(directory: Path | str) -> Verdict:
    """Read every part of a run directory and compute its metrics again.

    Args:
        directory: of a run.

    Raises:
        NiahError: it is no run directory, or a published table without rows.
    """
    run = RunDirectory(directory)
    if lacks_rows(run.path):
        raise NiahError(
            f"{run.path} is a published table without rows and scores: nothing to verify"
        )
    verdict = Verdict()
    if reason := lost_run_json(run.path):
        verdict.damaged.append(reason)
    alive = {worker.name for worker in workers.list_workers(run.path) if worker.is_alive}
    rows = list(_checked_rows(run, verdict))
    _check_clips(run, rows, verdict)
    _check_diagnoses(run, verdict)
    _foreign_files(run, {str(row["cell"]) for row in rows}, verdict, is_at_work=bool(alive))
    _unfinished(run, alive, verdict)
    _versions(rows, verdict)
    if not verdict.damaged:
        _check_metrics(run, verdict, is_at_work=bool(alive))
        if not alive:  # which write it again and again
            _check_table(run, verdict)
    return verdict


def _checked_rows(run: RunDirectory, verdict: Verdict) -> Iterator[Row]:
    identity = run.run_json().get("identity", {})
    for file in row_files(run.path / "cells"):
        try:
            row, _ = read_row(file)
        except UnreadableError:
            raise
        except NiahError as error:
            verdict.damaged.append(str(error))
            continue
        for name in ("protocol", "needles", "seed"):
            if name in identity and row[name] != identity[name]:
                verdict.foreign.append(
                    f"cells/{file.name}: of another run, its {name} is {row[name]}, not {identity[name]}"
                )
                break
        if row["status"] != "ok":
            verdict.failed += 1
        elif reason := run.scores_problem(row):
            verdict.damaged.append(reason)
        else:
            verdict.whole += 1
        yield row


def _check_clips(run: RunDirectory, rows: list[Row], verdict: Verdict) -> None:
    """Check that each cell's scores can be read and that all are of the same clips, in the same order."""
    ids: tuple[str, ...] = ()
    for row in rows:
        cell = str(row["cell"])
        if row["status"] != "ok" or run.scores_problem(row):
            continue
        try:
            stored = run.read_scores(cell)
        except NiahError as error:
            verdict.damaged.append(str(error))
            verdict.whole -= 1
            continue
        ids = ids or stored.ids
        if stored.ids != ids or len(ids) != row["n_clips"]:
            verdict.damaged.append(
                f"{run.path / 'scores' / cell}.parquet is of other clips than the run"
            )
            verdict.whole -= 1


def _check_diagnoses(run: RunDirectory, verdict: Verdict) -> None:
    for folder in DIAGNOSES:
        for file in diagnosis_files.files(run.path, folder):
            try:
                diagnosis_files.read(file)
            except NiahError as error:
                verdict.damaged.append(str(error))
    for name in MEASURED:
        if reason := stored_row.edited(run.path / name):
            verdict.damaged.append(f"{reason}: `niah report` computes it again from the scores")


def _foreign_files(
    run: RunDirectory, cells: set[str], verdict: Verdict, *, is_at_work: bool
) -> None:
    left = "being written" if is_at_work else "left by a writer that was stopped"
    rowless = "of a process at work" if is_at_work else "a stopped writer's"
    known = set(run.run_json().get("variants", {})) | cells
    for folder, suffix in (("cells", ".json"), ("scores", ".parquet")):
        for file in sorted((run.path / folder).glob("*")):
            name = f"{folder}/{file.name}"
            if is_leftover(file.name):
                verdict.unfinished.append(f"{name}: {left}")
            elif file.suffix != suffix or not is_cell(file.stem):
                verdict.foreign.append(f"{name}: no part of a run")
            elif file.stem not in known and folder == "scores":
                verdict.unfinished.append(f"{name}: scores without a row ({rowless})")
    for file in sorted(run.path.iterdir()):
        if file.name not in (*FILES, *FOLDERS) and not is_leftover(file.name):
            verdict.foreign.append(f"{file.name}: no part of a run")


def _unfinished(run: RunDirectory, alive: Collection[str], verdict: Verdict) -> None:
    for unit, attempts in read_attempts(run.path).items():
        last = attempts[-1]
        if last.state == GIVEN_UP:
            verdict.unfinished.append(f"{last.title or unit}: given up, its processes died")
        elif last.state == WORKING:
            state = "at work" if last.worker in alive else "stopped"
            verdict.unfinished.append(f"{last.title or unit}: {last.where}, {state}")
    if slices := len(list((run.path / "parts").glob("*.npz"))):
        verdict.unfinished.append(f"{slices} slices of cells that are not complete yet")


def _versions(rows: list[Row], verdict: Verdict) -> None:
    counts = Counter(str(row["niah_version"] or "unknown") for row in rows)
    for version, count in sorted(counts.items()):
        if version != __version__:
            verdict.versions.append(f"{count} cells by niah {version} (this is {__version__})")
    if old := sum(row["status"] == "ok" and "scores_sha256" not in row for row in rows):
        verdict.versions.append(
            f"{old} cells of a version without checksums: damage goes unnoticed"
        )


def _check_metrics(run: RunDirectory, verdict: Verdict, *, is_at_work: bool) -> None:
    later = 0
    for row, is_current, values in recomputed(run):
        is_empty = is_current is None and all(row.get(name) is None for name in METRICS)
        if is_empty or (is_at_work and not is_current):  # a run computes them at its end
            later += 1
            continue
        verdict.recomputed += 1
        for name in METRICS:
            stored, now = row.get(name), values.get(name)
            if not _equal(stored, now):
                verdict.metrics.append(
                    f"{row['cell']} ({row['model']}, {row['haystack']}, {row['length_s']:g} s): {name} is {stored}, "
                    f"its scores give {now}"
                )
    if later:
        verdict.unfinished.append(
            f"metrics of {plural(later, 'cell')} are not computed yet: the run does so at its end, or `niah report`"
        )


def _equal(stored: object, now: float | None) -> bool:
    missing = now is None or not math.isfinite(now)
    if stored is None or missing:
        return stored is None and missing
    assert isinstance(stored, int | float)
    assert now is not None
    return math.isclose(stored, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _check_table(run: RunDirectory, verdict: Verdict) -> None:
    file = run.path / "cells.csv"
    content = file.read_bytes() if file.is_file() else b""
    if content != spreadsheet.frame_text(run.cells()).encode():
        verdict.unfinished.append(
            "cells.csv is not the table of the rows: `niah report` writes it again"
        )
