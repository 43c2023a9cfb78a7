"""Calibration in long scenes: is the rank of scores kept while their scale is lost, or are both lost?

mAP depends only on the order of the clips, but applications use thresholds. The change of scale in a longer scene is
what a refit there (`niah.metrics.calibration`) gains over the scale fixed at 10 s (the refit of the 10 s cell):

    lost = 1 - NLL(refit here) / NLL(refit at 10 s, used here), 0 where the 10 s scale is still the best one

Each cell's measures are stored in the run's `calibration.csv` (`niah.records.measured_cells`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from niah.diagnosis.controls.overlap import MOST_CURVES, left_out
from niah.metrics.average_precision import Targets
from niah.metrics.calibration import Calibration, calibration_of_logits
from niah.records.measured_cells import MeasuredCells, OfScores
from niah.records.naming import NO_HAYSTACK, Point, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.records.score_files import ScoreFiles
from niah.records.scores import ClipScores, Logits, Mask
from niah.system.side_processes import shared_out
from niah.tables.curves import LengthCurve, at_one_position, length_curves, relative_share
from niah.tables.drop import scene_columns, scene_texts
from niah.tables.table import CHANCE, Table

if TYPE_CHECKING:
    import pandas as pd

    from niah.records.run_directory import RunDirectory

RANK_KEPT = 0.85  # share of the 10 s mAP, as in L85
SCALE_LOST = 0.1  # share of the NLL
CSV_FILE, VERSION = "calibration.csv", 2  # of the formulas
CAPTION = (
    "Calibration: expected calibration error and negative log likelihood (nats) over all clips and "
    "classes as the scores are; slope of their logistic refit (1: right, below: too sure); lost: "
    "share of the likelihood that a refit here gains over the one at 10 s. Rank is kept with 85 % of "
    "the 10 s mAP, scale while less than 10 % is lost."
)
Verdict = Literal["kept", "scale lost", "rank lost", "both lost"]


@dataclass(frozen=True)
class StoredCalibration(Calibration, OfScores):
    """A row of `calibration.csv`: the calibration of one cell, at the scale of its 10 s cell."""


def verdict(relative: float, here: Calibration) -> Verdict:
    """Judge rank and scale.

    Args:
        relative: share of the 10 s mAP.
        here: calibration, with the scale fixed at 10 s.
    """
    scale_lost = here.lost > SCALE_LOST
    if relative < RANK_KEPT:
        return "both lost" if scale_lost else "rank lost"
    return "scale lost" if scale_lost else "kept"


def calibration_table(run: "RunDirectory", cells: "pd.DataFrame") -> Table | None:
    """Tabulate the calibration of each cell with stored scores and a 10 s base.

    Args:
        run: the scores.
        cells: of the run.

    Returns:
        None if there is no such cell beyond 10 s.
    """
    curves = at_one_position(length_curves(cells), MOST_CURVES)
    columns = scene_columns(curves)
    stored = MeasuredCells(run, StoredCalibration, CSV_FILE, VERSION)
    _measure(stored, curves)
    shown: set[str] = set()  # a model's curves share the needle alone: one row
    rows = []
    for curve in curves:
        if curve.base is None:
            continue
        base = _of_cell(stored, curve.base)
        longer = [
            (length, point["relative"], _of_cell(stored, point, base))
            for length, point in _compared(curve)
            if base is not None
        ]
        known = [(length, relative, here) for length, relative, here in longer if here is not None]
        if base is None or not known:
            continue
        if base.cell not in shown:
            shown.add(base.cell)
            needle = replace(curve, haystack=NO_HAYSTACK, snr_db=None, position=None)
            ten = length_name(BASE_LENGTH_S)
            rows.append((*scene_texts(needle, columns), ten, *_texts(base), ""))
        for length, relative, here in known:
            at_chance = (curve.chance_share or 0.0) >= RANK_KEPT  # random scores keep as much
            judgement = CHANCE if at_chance else verdict(relative, here)
            rows.append(
                (*scene_texts(curve, columns), length_name(length), *_texts(here), judgement)
            )
    stored.write()
    header = (*columns, "length", "ECE", "NLL", "slope", "lost", "rank and scale")
    return Table(f"{CAPTION}{left_out(cells)}", header, tuple(rows)) if rows else None


def _compared(curve: LengthCurve) -> list[tuple[float, Point]]:
    """Return the (length, cell) pairs of a curve that are compared with its 10 s cell."""
    known = [(s, p) for s, p in curve.scored() if relative_share(p) is not None]
    return [(length, point) for length, point in known if point is not curve.base]


def _measure(stored: MeasuredCells[StoredCalibration], curves: Iterable[LengthCurve]) -> None:
    """Compute what no row is stored of, in several processes where it takes long."""
    unknown: list[tuple[Point, Point]] = []
    for curve in curves:
        if curve.base is not None:
            beside = (stored.fingerprint(curve.base, ()),)
            unknown += [
                (curve.base, point)
                for _, point in _compared(curve)
                if not stored.is_stored(stored.fingerprint(point, beside))
            ]
    for rows in shared_out(_measured, stored.run.score_files(), unknown, "calibration"):
        stored.take(rows)


def _measured(
    files: ScoreFiles, pairs: Sequence[tuple[Point, Point]]
) -> Iterator[tuple[StoredCalibration | None, ...]]:
    """Compute the calibrations of pairs of a 10 s cell and another, model by model."""
    stored = MeasuredCells(files, StoredCalibration, CSV_FILE, VERSION)
    for base, point in pairs:
        of_base = _of_cell(stored, base)
        yield of_base, None if of_base is None else _of_cell(stored, point, of_base)


def _of_cell(
    stored: MeasuredCells[StoredCalibration], point: Point, base: StoredCalibration | None = None
) -> StoredCalibration | None:
    """Return the calibration of a cell, at the scale of its base; of a base itself without one."""

    def measures() -> dict[str, float]:
        clips = stored.run.read_scores(point["cell"])
        fixed = None if base is None else base.scale
        if base is not None and clips.excluded.any():  # of the labels that count here, as for mAP
            alone = stored.run.read_scores(base.cell)
            fixed = calibration_of_logits(*_counted(alone, clips.excluded)).scale
        return vars(calibration_of_logits(*_counted(clips, clips.excluded), fixed))

    return stored.of(point, () if base is None else (base.scored_from,), measures)


def _counted(clips: ClipScores, excluded: Mask) -> tuple[Targets, Logits]:
    """Return the targets and logits that count, (clips, classes) or in one row."""
    if not excluded.any():
        return clips.targets, clips.logits
    return clips.targets[~excluded][None], clips.logits[~excluded][None]


def _texts(of: Calibration) -> tuple[str, ...]:
    return f"{of.ece:.4f}", f"{of.nll:.4f}", f"{of.scale[0]:.2f}", f"{100 * of.lost:.0f} %"
