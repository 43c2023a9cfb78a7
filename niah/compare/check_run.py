"""A run against another run: paired, from the stored scores of both; or unpaired, number against number.

Paired, each cell's difference of mAP is resampled over the clips of both (`niah.compare.differences`). The
hypothesis of each cell is "no difference in expected mAP"; its p-value is corrected by Holm for all cells of the
gate, so that the chance that a run of an unchanged model fails at all is at most 5 %. A cell fails when the corrected
p-value is below 0.05 and the measured difference is larger than the tolerance: both, because on many clips a
difference of no practical size is beyond chance, and on few clips a large one may not be.

Only mAP is tested: a share of the 10 s score follows from two of these.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np

from niah.compare.check_result import CheckResult, CheckRow
from niah.compare.differences import PairedScores, difference, one_sided_p, paired_scores
from niah.compare.same_clips import refuse_other_runs, seeds_note
from niah.compare.same_haystacks import other_contents, rename_alike
from niah.compare.stored_run import Cells, StoredRun, System, cell_name, system_names
from niah.errors import NiahError
from niah.metrics.average_precision import average_precision, mean_average_precision
from niah.metrics.multiple_testing import adjusted
from niah.records.naming import Point
from niah.system.plurals import plural

HOW_PAIRED = (
    "Paired over the clips: a cell is off when its difference is larger than the tolerance and p, corrected for "
    "all cells by Holm, is below 0.05 ({sides})."
)
HOW_UNPAIRED = "Unpaired: a cell is off when its difference is larger than the tolerance; chance is not tested."


@dataclass(frozen=True)
class Gate:
    """The settings of a gate.

    Attributes:
        tolerance: mAP that may differ whatever the significance.
        one_sided: only a loss fails, and only a loss is tested.
        allow_missing: a cell of the reference that the run lacks is skipped.
        unpaired: compare the numbers in cells.csv, without scores.
    """

    tolerance: float = 0.005
    one_sided: bool = False
    allow_missing: bool = False
    unpaired: bool = False


def check_run(
    run: StoredRun, reference: StoredRun, gate: Gate, models: Sequence[str] = ()
) -> CheckResult:
    """Compare every scored cell of `reference` with its counterpart in `run`.

    Args:
        run: the run under test.
        reference: the run with the expected scores.
        gate: tolerance and tests.
        models: NAME or NAME@SHA256 of the systems of `run` to compare; none for all.

    Returns:
        One row a comparison, and the verdict.

    Raises:
        NiahError: other clips, protocol, level, labels or haystack content; scores or run.json are missing and the gate
            is not unpaired; the reference has several checkpoints of a model and none is the run's.
    """
    if not gate.unpaired:
        for each in (run, reference):
            _refuse_bare(each)
    refuse_other_runs(run, reference)
    rename_alike(run, reference)
    systems, others = run.systems(models), reference.systems()
    if models:
        names = {system.model for system in systems}
        others = {system: cells for system, cells in others.items() if system.model in names}
    pairs, notes = _pairs(list(systems), list(others))
    _refuse_other_haystacks(run, reference, others.values())
    labels = system_names(systems)
    rows: list[CheckRow] = []
    for system, other in pairs:
        label = labels[system]
        rows += _rows(run, systems[system], reference, others[other], gate, label)
    compared = {other for _, other in pairs}
    for other, cells in others.items():
        if other not in compared:
            rows += [_missing(point, other.short_name, gate) for point in _scored(cells)]
    if unscored := sum(p["mAP"] is None for cells in others.values() for p in cells.values()):
        has = "has" if unscored == 1 else "have"
        notes.append(f"{plural(unscored, 'cell')} of the reference {has} no mAP: not compared.")
    if seeds := seeds_note(run, reference):
        notes.append(seeds)
    if gate.unpaired:
        notes += [_unknown(each) for each in (run, reference) if each.directory is None]
        return CheckResult(tuple(rows), tuple(notes), HOW_UNPAIRED)
    sides = "one-sided, a loss" if gate.one_sided else "two-sided"
    return CheckResult(corrected(rows), tuple(notes), HOW_PAIRED.format(sides=sides))


def compared_row(scores: PairedScores, gate: Gate, cell: str) -> CheckRow:
    """Compare the scores of one cell; `p_corrected` is filled in later (`corrected`).

    Args:
        scores: of the run (a) and of the reference (b).
        gate: tolerance and tests.
        cell: its name.

    Returns:
        The row.
    """
    if np.array_equal(scores.a, scores.b):
        own = mean_average_precision(average_precision(scores.targets, scores.a, scores.excluded))
        row = CheckRow(cell, "mAP", own, own, gate.tolerance, p=1.0)
    else:
        a, b = scores.maps()
        delta = difference(a, b)
        lo, hi = delta.interval()
        p = one_sided_p(delta) if gate.one_sided else delta.p_value()
        if isnan(p):
            raise NiahError(
                f"{cell}: a difference on clips of one recording cannot be tested: take clips of several, or "
                "--unpaired to compare the numbers alone"
            )
        row = CheckRow(cell, "mAP", a.estimate, b.estimate, gate.tolerance, lo=lo, hi=hi, p=p)
    return replace(row, one_sided=gate.one_sided)


def corrected(rows: Sequence[CheckRow]) -> tuple[CheckRow, ...]:
    """Return the rows with their p-values corrected by Holm for the number of rows."""
    p = adjusted([row.p for row in rows], "holm")
    return tuple(replace(row, p_corrected=float(value)) for row, value in zip(rows, p, strict=True))


def _refuse_bare(run: StoredRun) -> None:
    if run.directory is None:
        raise NiahError(
            run.lost
            or f"{run.path} has no run.json beside it: its clips, level and seed are unknown, and it has no scores "
            "to pair; give the run's directory, or --unpaired to compare the numbers alone"
        )


def _refuse_other_haystacks(run: StoredRun, reference: StoredRun, wanted: Iterable[Cells]) -> None:
    used = {point["haystack"] for cells in wanted for point in cells.values()}
    if reasons := [text for name, text in other_contents(run, reference).items() if name in used]:
        raise NiahError(
            f"{reasons[0]}: the scenes are other ones, and their scores cannot be compared"
        )


def _pairs(
    ours: list[System], theirs: list[System]
) -> tuple[list[tuple[System, System]], list[str]]:
    """Match each system of the run with the reference's of the same weights, else with its only one of that model."""
    pairs, notes = [], []
    for system in ours:
        alike = [each for each in theirs if each.model == system.model]
        same_dtype = [each for each in alike if each.dtype == system.dtype]
        same = [each for each in same_dtype if each == system]
        if len(same or same_dtype) > 1:
            names = ", ".join(each.short_name for each in same_dtype)
            raise NiahError(
                f"the reference has several checkpoints of {system.model} ({names}) and none is the run's "
                f"({system.short_name}): give a reference with one"
            )
        if not same_dtype:
            others = " and ".join(each.dtype for each in alike)
            reason = f"it is of {others} there" if alike else "it is not in the reference"
            notes.append(f"{system.short_name}, {system.dtype}, is not compared: {reason}.")
            continue
        (other,) = same or same_dtype
        if not same:
            here, there = (each.checkpoint_sha256[:8] or "not stated" for each in (system, other))
            notes.append(f"{system.model} has other weights ({here} here, {there} there).")
        pairs.append((system, other))
    return pairs, notes


def _rows(
    run: StoredRun, cells: Cells, reference: StoredRun, wanted: Cells, gate: Gate, label: str
) -> Iterator[CheckRow]:
    for key, other in wanted.items():
        if other["mAP"] is None:
            continue
        point = cells.get(key)
        if point is None:
            yield _missing(other, label, gate)
            continue
        name = cell_name(point, label)
        if gate.unpaired or point["mAP"] is None:
            measured = nan if point["mAP"] is None else float(point["mAP"])
            numbers = (measured, float(other["mAP"]), gate.tolerance)
            status = str(point["status"])
            yield CheckRow(name, "mAP", *numbers, status, one_sided=gate.one_sided)
        else:
            yield compared_row(_scores(run, point, reference, other), gate, name)


def _scores(run: StoredRun, point: Point, reference: StoredRun, other: Point) -> PairedScores:
    for each, row in ((run, point), (reference, other)):
        if reason := each.scores_problem(row):
            raise NiahError(f"{reason}: run the same command again, which makes it again")
        if not each.has_scores(row):
            raise NiahError(
                f"{each.path} has no stored scores of {cell_name(row)}, so that the difference cannot be paired: "
                "give a run directory with its scores, or --unpaired to compare the numbers alone"
            )
    return paired_scores(run, point, reference, other)


def _missing(point: Point, label: str, gate: Gate) -> CheckRow:
    return CheckRow(
        cell_name(point, label),
        "mAP",
        nan,
        float(point["mAP"]),
        gate.tolerance,
        "missing",
        allow_missing=gate.allow_missing,
    )


def _scored(cells: Cells) -> Iterable[Point]:
    return [point for point in cells.values() if point["mAP"] is not None]


def _unknown(run: StoredRun) -> str:
    return f"{run.path} has no run.json beside it: that its clips, level and seed are the same is not checked."
