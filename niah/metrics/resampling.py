"""Paired resampling of clips: what a score would be on other lists of clips like this one.

A draw takes n clips with replacement out of n. All score sets of a comparison are evaluated on the
same draws (paired), because the clips' difficulty is shared: the interval of a drop is then much
narrower than that of either mAP. A class whose positives a draw misses is left out of that draw's
mean, for all sets alike, which is what mAP does on the full list.

What an interval is of: the expected score on a list of this many clips, which is what cells on the
same list are compared by. Drawn mAPs lie above it, because a positive drawn twice outranks with
itself and a draw holds only 63 % of the clips (macro mAP rises when there are fewer), so the draws
tell the spread and not the place: intervals are put around the estimate.

    SE = (SD of the draws + SE of the jackknife) / 2        interval = estimate -+ 1.96 SE

With few clips the draws understate the spread (the same clip twice adds nothing new), by up to 8 %
at 80 clips, and the jackknife overstates it (Efron and Stein 1981), by 8 to 17 %; with many both
are right. Their mean was 0 to 7 % above the truth in the simulated worlds, and more, on the safe
side, only where hardly a clip is missed. What `tests/metrics/test_coverage.py` measures on 80 to 200 clips:
95 % intervals that hold the truth for 94 to 97 % of lists (centred percentiles: 92 to 95 %). mAP's
interval is taken on the logit scale, which keeps it in 0..1 and is skewed as mAP is.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, exp, log, nan, sqrt
from statistics import NormalDist

import numpy as np

from niah.errors import NiahError
from niah.metrics.average_precision import Float64, Ranking, Scores, Targets, rank, validate
from niah.metrics.leave_one_out import leave_one_out_map
from niah.metrics.weighted_precision import Counts, Walk, walk_of, weighted_maps

DRAWS = 1000
SEED = 0  # one for all, so that every cell of a run is paired with every other
CONFIDENCE = 0.95
COMPILE_ABOVE = 10**9  # clips x classes x draws from which compiling pays
BLOCK = 64  # draws at a time, compiled: a clip's multiplicities fill one cache line
PLAIN_BLOCK_BYTES = 4 * 2**20  # of multiplicities at a time, in numpy: what a core's cache holds


@dataclass(frozen=True)
class Resampled:
    """A score: its `estimate`, on each draw (draws,), and without each clip in turn (clips,).

    NaN where it is undefined (a draw without any class).
    """

    estimate: float
    drawn: Float64
    left_out: Float64

    @property
    def standard_error(self) -> float:
        """Mean of the bootstrap's and the jackknife's; NaN when nothing is defined.

        Jackknife: sqrt((n-1)/n sum (theta_i - mean theta)^2), theta_i without clip i.
        """
        drawn = self.drawn[~np.isnan(self.drawn)]
        left_out = self.left_out[~np.isnan(self.left_out)]
        if drawn.size < 2 or left_out.size < 2:
            return nan
        jackknife = sqrt(left_out.size - 1) * float(left_out.std())
        return (float(drawn.std(ddof=1)) + jackknife) / 2

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """estimate -+ z SE, symmetric: for differences, ratios, drops."""
        half = _z(confidence) * self.standard_error
        return self.estimate - half, self.estimate + half

    def unit_interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The same on the logit scale, so inside 0..1: logit(m) -+ z SE / (m (1 - m))."""
        m, error = self.estimate, self.standard_error
        if not 0.0 < m < 1.0 or not error > 0.0:
            return (nan, nan) if np.isnan(error) else (m, m)
        half = _z(confidence) * error / (m * (1.0 - m))
        place = log(m / (1.0 - m))
        return _expit(place - half), _expit(place + half)

    def p_value(self) -> float:
        """Two-sided, of "it is truly 0": 2 Phi(-|estimate| / SE). 1 for exactly 0 without spread."""
        if self.estimate == 0.0:
            return 1.0
        error = self.standard_error
        if np.isnan(error) or np.isnan(self.estimate):
            return nan
        return erfc(abs(self.estimate) / error / sqrt(2.0)) if error > 0.0 else 0.0


def paired(function: Callable[..., object], *scores: Resampled) -> Resampled:
    """`function` of scores on the same clips and draws, draw by draw and clip by clip.

    `paired(lambda m, b: 1 - m / b, score, base)` is the drop. Raises `NiahError` when the scores
    were not resampled alike.
    """
    shapes = {(each.drawn.shape, each.left_out.shape) for each in scores}
    if len(shapes) != 1:
        raise NiahError(f"scores of different clips or draws cannot be paired: {sorted(shapes)}")
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.asarray(function(*(each.drawn for each in scores)), dtype=np.float64)
        left_out = np.asarray(function(*(each.left_out for each in scores)), dtype=np.float64)
        whole = np.asarray(function(*(np.float64(each.estimate) for each in scores)))
    return Resampled(float(whole), drawn, left_out)


def resample(
    targets: Targets, score_sets: Sequence[Scores], draws: int = DRAWS, seed: int = SEED
) -> list[Resampled]:
    """mAP of each score set, resampled alike. `targets` and each set are (clips, classes).

    Raises `NiahError` when shapes disagree, scores are not finite, or `draws` is below 1.
    """
    rankings = [_rankings(targets, each) for each in score_sets]
    whole = [leave_one_out_map(each, targets.shape[0]) for each in rankings]
    drawn = _drawn_maps(rankings, targets.shape[0], draws, seed)
    return [Resampled(m, d, out) for (m, out), d in zip(whole, drawn, strict=True)]


def resampled_maps(
    targets: Targets, score_sets: Sequence[Scores], draws: int = DRAWS, seed: int = SEED
) -> Float64:
    """mAP of each score set on each draw: (sets, draws) float64, the sets paired by draw."""
    rankings = [_rankings(targets, each) for each in score_sets]
    return _drawn_maps(rankings, targets.shape[0], draws, seed)


def _rankings(targets: Targets, scores: Scores) -> list[Ranking]:
    """Of the classes that have a positive."""
    validate(targets, scores)
    return [rank(targets[:, c], scores[:, c]) for c in np.flatnonzero(targets.any(axis=0))]


def _drawn_maps(
    rankings: Sequence[Sequence[Ranking]], clips: int, draws: int, seed: int
) -> Float64:
    if draws < 1:
        raise NiahError(f"draws must be at least 1 but {draws} was given")
    classes = len(rankings[0]) if rankings else 0
    if classes == 0:
        return np.full((len(rankings), draws), nan)
    walks = [[walk_of(each) for each in one] for one in rankings]
    if clips * classes * draws > COMPILE_ABOVE:
        return _compiled_maps(walks, clips, draws, seed)
    block = max(1, PLAIN_BLOCK_BYTES // (4 * clips))
    blocks = multiplicity_blocks(clips, draws, block, seed)
    if block >= draws:
        blocks = iter([_kept_multiplicities(clips, draws, seed)])
    parts = [np.stack([weighted_maps(each, counts) for each in walks]) for counts in blocks]
    return np.concatenate(parts, axis=1)


def _compiled_maps(walks: Sequence[Sequence[Walk]], clips: int, draws: int, seed: int) -> Float64:
    """`weighted_maps` by the compiled kernel, a block of draws a thread; same to rounding."""
    from niah.metrics.weighted_precision_numba import PackedRanking, pack_ranking, walk_maps

    packed: list[PackedRanking] = [pack_ranking(each) for each in walks]

    def maps(counts: Counts) -> Float64:
        # numba takes what dtype comes: one byte a count is a quarter of the memory to walk over
        narrow = counts.astype(np.uint8) if counts.max() < 256 else counts
        return np.stack([walk_maps(each, narrow) for each in packed])

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        return np.concatenate(
            list(threads.map(maps, multiplicity_blocks(clips, draws, BLOCK, seed))), axis=1
        )


def multiplicities(clips: int, draws: int, seed: int = SEED) -> Counts:
    """How often each clip is in each draw: (clips, draws) int32, each column summing to `clips`."""
    return np.concatenate(list(multiplicity_blocks(clips, draws, draws, seed)), axis=1)


@lru_cache(maxsize=4)
def _kept_multiplicities(clips: int, draws: int, seed: int) -> Counts:
    """For the many cells of a small run, which all have the same draws."""
    return multiplicities(clips, draws, seed)


def multiplicity_blocks(clips: int, draws: int, block: int, seed: int) -> Iterator[Counts]:
    """`multiplicities` in column blocks; one draw at a time, so blocks do not change the draws."""
    random = np.random.Generator(np.random.Philox(seed))
    for start in range(0, draws, block):
        counts = np.empty((min(block, draws - start), clips), dtype=np.int32)
        for row in counts:
            row[:] = np.bincount(random.integers(clips, size=clips), minlength=clips)
        yield np.ascontiguousarray(counts.T)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1.0 + confidence) / 2.0)


def _expit(x: float) -> float:
    return 1.0 / (1.0 + exp(-x)) if x > -700.0 else 0.0
