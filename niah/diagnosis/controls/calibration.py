"""Calibration in long scenes: is the rank of scores kept while their scale is lost, or are both lost?

mAP depends only on the order of the clips, but applications use thresholds. Over all clips and classes
(p the sigmoid score, y whether the label is present, N = clips x classes):

    ECE     sum over 15 equal bins of p of  n_bin / N  |mean y - mean p|     (Guo et al. 2017)
    NLL     -1/N sum of y ln p + (1 - y) ln(1 - p), in nats
    refit   p' = sigmoid(a logit p + b) with the a, b of least NLL (Platt 1999): it changes only the
            scale, not the order of a class's clips

The change of scale in a longer scene is what a refit there gains over the scale fixed at 10 s (the
refit of the 10 s cell): `lost` = 1 - NLL(refit here) / NLL(refit at 10 s, used here), 0 where the
10 s scale is still the best one. Scores in float16 have few distinct values in 0..1, so all sums run
over these values (exact, and milliseconds for 20,000 clips x 527).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from niah.diagnosis.controls.overlap import MOST_CURVES, left_out
from niah.errors import NiahError
from niah.metrics.average_precision import Float64, Scores, Targets, validate
from niah.records.naming import NO_HAYSTACK, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.records.scores import sigmoid
from niah.tables.curves import at_one_position, length_curves
from niah.tables.drop import scene_columns, scene_texts
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from niah.records.run_directory import RunDirectory

BINS = 15
RANK_KEPT = 0.85  # share of the 10 s mAP, as in L85
SCALE_LOST = 0.1  # share of the NLL
LOWEST, HIGHEST = 2.0**-25, 1.0 - 2.0**-12  # probabilities that float16 rounds to 0 and to 1
CAPTION = (
    "Calibration: expected calibration error and negative log likelihood (nats) over all clips and "
    "classes as the scores are; slope of their logistic refit (1: right, below: too sure); lost: "
    "share of the likelihood that a refit here gains over the one at 10 s. Rank is kept with 85 % of "
    "the 10 s mAP, scale while less than 10 % is lost."
)
Verdict = Literal["kept", "scale lost", "rank lost", "both lost"]


@dataclass(frozen=True)
class Calibration:
    """The calibration of one cell.

    Attributes:
        ece: of the scores.
        nll: of the scores, nats.
        scale: (a, b) of the refit.
        ece_refit: of the refit scores.
        nll_refit: of the refit scores, nats.
        nll_fixed: nats at the scale that was fixed before; the refit's own without one.
    """

    ece: float
    nll: float
    scale: tuple[float, float]
    ece_refit: float
    nll_refit: float
    nll_fixed: float

    @property
    def lost(self) -> float:
        """Return the share of the NLL that is due to the fixed scale, 0..1."""
        return 1.0 - self.nll_refit / self.nll_fixed if self.nll_fixed > 0 else 0.0


def calibration(
    targets: Targets, scores: Scores, fixed: tuple[float, float] | None = None
) -> Calibration:
    """Compute the calibration of sigmoid scores.

    Args:
        targets: (clips, classes) bool.
        scores: (clips, classes) in [0, 1].
        fixed: the `scale` of the 10 s cell; None for the refit's own.

    Raises:
        NiahError: scores outside [0, 1], or no clips.
    """
    validate(targets, scores)
    if scores.size == 0 or scores.min() < 0 or scores.max() > 1:
        raise NiahError("calibration is of sigmoid scores in [0, 1], at least one clip")
    return _calibration(*_by_value(targets, scores), fixed)


def calibration_of_logits(
    targets: Targets, logits: Scores, fixed: tuple[float, float] | None = None
) -> Calibration:
    """Compute the calibration of the sigmoids of logits; without a sort where float16 holds the logits.

    Args:
        targets: (clips, classes) bool.
        logits: (clips, classes) float32.
        fixed: as for `calibration`.

    Raises:
        NiahError: as `calibration`.
    """
    with np.errstate(over="ignore"):
        half = logits.astype(np.float16)
    if not np.array_equal(half, logits):
        return calibration(targets, sigmoid(logits), fixed)
    validate(targets, logits)
    values, clips, positives = _counted(targets, half)
    return _calibration(_clipped(sigmoid(values)), clips, positives, fixed)


def _calibration(
    p: Float64, clips: Float64, positives: Float64, fixed: tuple[float, float] | None
) -> Calibration:
    logit = np.log(p) - np.log1p(-p)
    a, b = _refit(logit, clips, positives)
    refit = 1.0 / (1.0 + np.exp(-np.clip(a * logit + b, -50, 50)))
    a_fixed, b_fixed = fixed or (a, b)
    return Calibration(
        ece=_ece(p, clips, positives),
        nll=_nll(logit, clips, positives),
        scale=(a, b),
        ece_refit=_ece(refit, clips, positives),
        nll_refit=_nll(a * logit + b, clips, positives),
        nll_fixed=_nll(a_fixed * logit + b_fixed, clips, positives),
    )


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
    alone: dict[str, Calibration] = {}  # a model's curves share the needle alone: one row
    rows = []
    for curve in curves:
        scored = [(s, p) for s, p in curve.scored() if p["relative"] is not None]
        longer = [(s, p) for s, p in scored if p is not curve.base and run.has_scores(p["cell"])]
        if not longer or curve.base is None or not run.has_scores(curve.base["cell"]):
            continue
        base = curve.base["cell"]
        if base not in alone:
            alone[base] = _of_cell(run, base)
            needle = replace(curve, haystack=NO_HAYSTACK, snr_db=None, position=None)
            ten = length_name(BASE_LENGTH_S)
            rows.append((*scene_texts(needle, columns), ten, *_texts(alone[base]), ""))
        for length, point in longer:
            here = _of_cell(run, point["cell"], alone[base].scale)
            judgement = verdict(point["relative"], here)
            rows.append(
                (*scene_texts(curve, columns), length_name(length), *_texts(here), judgement)
            )
    header = (*columns, "length", "ECE", "NLL", "slope", "lost", "rank and scale")
    return Table(f"{CAPTION}{left_out(cells)}", header, tuple(rows)) if rows else None


def _of_cell(
    run: "RunDirectory", cell: str, fixed: tuple[float, float] | None = None
) -> Calibration:
    clips = run.read_scores(cell)
    present = clips.targets | clips.excluded  # other clips in a scene are truly in it
    return calibration_of_logits(present, clips.logits, fixed)


def _texts(of: Calibration) -> tuple[str, ...]:
    return f"{of.ece:.4f}", f"{of.nll:.4f}", f"{of.scale[0]:.2f}", f"{100 * of.lost:.0f} %"


def _by_value(targets: Targets, scores: Scores) -> tuple[Float64, Float64, Float64]:
    """Return the distinct p (clipped off 0 and 1), their counts, and how many of each are positive."""
    values, clips, positives = _counted(targets, scores)
    return _clipped(values), clips, positives


def _clipped(p: Scores) -> Float64:
    return np.clip(p.astype(np.float64), LOWEST, HIGHEST)


def _counted(targets: Targets, scores: Scores) -> tuple[Float64, Float64, Float64]:
    """Return the distinct scores, their counts, and how many of each are positive."""
    flat, hits = scores.ravel(), targets.ravel()
    if scores.dtype == np.float16:  # its bits are an index, which needs no sort
        bits = np.ascontiguousarray(flat).view(np.uint16)
        every = np.bincount(bits, minlength=2**16)
        positive_counts = np.bincount(bits[hits], minlength=2**16)
        place = np.flatnonzero(every)
        values = place.astype(np.uint16).view(np.float16).astype(np.float64)
        counts, positives = every[place], positive_counts[place]
    else:
        values, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
        positives = np.bincount(inverse, weights=hits, minlength=values.size)
    return values.astype(np.float64), counts.astype(np.float64), positives.astype(np.float64)


def _ece(p: Float64, clips: Float64, positives: Float64) -> float:
    bins = np.minimum((p * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(bins, weights=positives - clips * p, minlength=BINS)
    return float(np.abs(gap).sum() / clips.sum())


def _nll(logit: Float64, clips: Float64, positives: Float64) -> float:
    """Return ln(1 + e^z) - y z, averaged over clips and classes."""
    return float((clips * np.logaddexp(0.0, logit) - positives * logit).sum() / clips.sum())


def _refit(logit: Float64, clips: Float64, positives: Float64) -> tuple[float, float]:
    """Return (a, b) of least NLL by Newton's method, with a weak prior at (1, 0) where there is no optimum."""
    x = np.stack([logit, np.ones_like(logit)], axis=1)
    start = np.array([1.0, 0.0])
    pull = 1e-9 * clips.sum()
    theta = start.copy()

    def loss(at: Float64) -> float:
        away = float(((at - start) ** 2).sum())
        return _nll(x @ at, clips, positives) * float(clips.sum()) + float(pull) / 2 * away

    for _ in range(100):
        q = 1.0 / (1.0 + np.exp(-np.clip(x @ theta, -50, 50)))
        gradient = x.T @ (clips * q - positives) + pull * (theta - start)
        curvature = (x.T * (clips * q * (1 - q))) @ x + pull * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        here = loss(theta)
        while loss(theta - step) > here and np.abs(step).max() > 1e-12:
            step /= 2
        theta -= step
        if np.abs(step).max() < 1e-9:
            break
    return float(theta[0]), float(theta[1])
