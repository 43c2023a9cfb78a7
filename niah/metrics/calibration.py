"""Calibration of scores: how far the probabilities that a model states are from how often its labels are there.

Over all clips and classes (p the sigmoid score, y whether the label is present, N = clips x classes):

    ECE     sum over 15 equal bins of p of  n_bin / N  |mean y - mean p|     (Guo et al. 2017)
    NLL     -1/N sum of y ln p + (1 - y) ln(1 - p), in nats
    refit   p' = sigmoid(a logit p + b) with the a, b of least NLL (Platt 1999): it changes only the
            scale, not the order of a class's clips

Scores in float16 have few distinct values in 0..1, so all sums run over these values (exact, and milliseconds for
20,000 clips x 527); those in float32 are summed one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.metrics.average_precision import Float64, Scores, Targets, validate
from niah.probabilities import clipped, log_odds, sigmoid

BINS = 15
LEAST_NATS = 1e-6  # a score
ROUNDING = 1e-13  # of a loss: a step that raises it by less has found the optimum
MANY, FEW = 2**17, 2**14  # values, from which on a refit starts at that of about so few of them
BLOCK = 2**15  # values at a time: their arrays fit a core's cache


@dataclass(frozen=True)
class Calibration:
    """The calibration of one cell.

    Attributes:
        ece: of the scores.
        nll: of the scores, nats.
        slope: a of the refit.
        offset: b of the refit.
        ece_refit: of the refit scores.
        nll_refit: of the refit scores, nats.
        nll_fixed: nats at the scale that was fixed before; the refit's own without one.
    """

    ece: float
    nll: float
    slope: float
    offset: float
    ece_refit: float
    nll_refit: float
    nll_fixed: float

    @property
    def scale(self) -> tuple[float, float]:
        """Return (a, b) of the refit."""
        return self.slope, self.offset

    @property
    def lost(self) -> float:
        """Return the share of the NLL that is due to the fixed scale, 0..1; 0 where that is rounding alone."""
        due = self.nll_fixed - self.nll_refit
        return due / self.nll_fixed if due > LEAST_NATS else 0.0


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
    return _calibration(clipped(sigmoid(values)), clips, positives, fixed)


def _calibration(
    p: Float64, clips: Float64, positives: Float64, fixed: tuple[float, float] | None
) -> Calibration:
    of = _Scored(log_odds(p), clips, positives)
    a, b, refit = of.refit()
    own = of.at(1.0, 0.0)
    fixed_loss = refit.loss if fixed is None else of.at(*fixed).loss
    return Calibration(
        ece=_ece(p, clips, positives),
        nll=own.loss / of.size,
        slope=a,
        offset=b,
        ece_refit=_ece(of.probabilities(a, b), clips, positives),
        nll_refit=refit.loss / of.size,
        nll_fixed=fixed_loss / of.size,
    )


def _by_value(targets: Targets, scores: Scores) -> tuple[Float64, Float64, Float64]:
    """Return p clipped off 0 and 1, their counts, and how many of each are positive."""
    values, clips, positives = _counted(targets, scores)
    return clipped(values), clips, positives


def _counted(targets: Targets, scores: Scores) -> tuple[Float64, Float64, Float64]:
    """Return scores, their counts, and how many of each are positive; distinct ones where float16 holds them."""
    flat, hits = scores.ravel(), targets.ravel()
    if scores.dtype != np.float16:  # nearly all are distinct
        return flat.astype(np.float64), np.ones(flat.size), hits.astype(np.float64)
    bits = np.ascontiguousarray(flat).view(np.uint16)  # an index, which needs no sort
    every = np.bincount(bits, minlength=2**16)
    positive_counts = np.bincount(bits[hits], minlength=2**16)
    place = np.flatnonzero(every)
    values = place.astype(np.uint16).view(np.float16).astype(np.float64)
    return values, every[place].astype(np.float64), positive_counts[place].astype(np.float64)


def _ece(p: Float64, clips: Float64, positives: Float64) -> float:
    bins = np.minimum((p * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(bins, weights=positives - clips * p, minlength=BINS)
    return float(np.abs(gap).sum() / clips.sum())


@dataclass(frozen=True)
class _Sums:
    """Sums over all scores at a scale: the NLL in nats, its gradient (2,) and its curvature (2, 2) in (a, b)."""

    loss: float
    gradient: Float64
    curvature: Float64


@dataclass(frozen=True)
class _Scored:
    """Logits with their counts and how many of each are positive, (values,) each."""

    logit: Float64
    clips: Float64
    positives: Float64

    @property
    def size(self) -> float:
        """Return the number of scores."""
        return float(self.clips.sum())

    def _blocks(self) -> Iterator[tuple[Float64, Float64]]:
        for start in range(0, self.logit.size, BLOCK):
            yield self.logit[start : start + BLOCK], self.clips[start : start + BLOCK]

    def probabilities(self, a: float, b: float) -> Float64:
        """Return sigmoid(a logit + b), (values,)."""
        return np.concatenate([_parts(a * x + b)[1] for x, _ in self._blocks()])

    def at(self, a: float, b: float) -> _Sums:
        """Return the sums at a scale: ln(1 + e^z) - y z over all scores, z = a logit + b."""
        loss, first, second = 0.0, np.zeros(2), np.zeros(3)
        for x, count in self._blocks():
            softplus, q, slope = _parts(a * x + b)
            loss += _dot(count, softplus)
            first += _dot(counted := count * q, x), counted.sum()
            times_x = (counted := count * slope) * x
            second += _dot(times_x, x), times_x.sum(), counted.sum()
        hits = np.array([_dot(self.positives, self.logit), self.positives.sum()])
        curvature = np.array([[second[0], second[1]], [second[1], second[2]]])
        return _Sums(loss - float(hits @ (a, b)), first - hits, curvature)

    def refit(self) -> tuple[float, float, _Sums]:
        """Return (a, b) of least NLL, and the sums there.

        Newton's method, with a weak prior at (1, 0) where there is no optimum. Of many values it starts at the optimum
        of some of them, which saves half of its steps.
        """
        prior, pull = np.array([1.0, 0.0]), 1e-9 * self.size
        start = prior
        if self.logit.size > MANY:
            some = slice(None, None, self.logit.size // FEW)
            start = np.array(
                _Scored(self.logit[some], self.clips[some], self.positives[some]).refit()[:2]
            )

        def near(at: Float64) -> tuple[float, Float64, Float64, _Sums]:
            of, away = self.at(*at), at - prior
            loss = of.loss + pull / 2 * float(away @ away)
            return loss, of.gradient + pull * away, of.curvature + pull * np.eye(2), of

        theta = start.copy()
        loss, gradient, curvature, sums = near(theta)
        for _ in range(100):
            step = np.linalg.solve(curvature, gradient)
            there = near(theta - step)
            while there[0] > loss * (1.0 + ROUNDING) and np.abs(step).max() > 1e-12:
                step /= 2
                there = near(theta - step)
            theta -= step
            loss, gradient, curvature, sums = there
            if np.abs(step).max() < 1e-9:
                break
        return float(theta[0]), float(theta[1]), sums


def _dot(a: Float64, b: Float64) -> float:
    """Return the scalar product, summed pairwise in this thread: that of BLAS has other bits on other cores."""
    return float((a * b).sum())


def _parts(z: Float64) -> tuple[Float64, Float64, Float64]:
    """Return ln(1 + e^z), sigmoid(z) and its derivative, without overflow."""
    small = np.exp(-np.abs(z))
    share = 1.0 / (1.0 + small)
    slope = small * share * share
    return np.maximum(z, 0.0) + np.log1p(small), np.where(z < 0, small * share, share), slope
