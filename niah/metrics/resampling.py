"""Paired resampling of clips: the distribution of a score over other lists of similar clips.

A draw takes n clips with replacement out of n. All score sets of a comparison are evaluated on the
same draws (paired), because they share the clips' difficulty: the interval of a drop is then much
narrower than that of either mAP. A class without a positive in a draw is left out of that draw's
mean, for all sets alike, as mAP does on the full list.

Intervals are for the expected score on a list of this many clips, which is how cells on the same
list are compared. Drawn mAPs are higher, because a positive drawn twice ties with itself and a draw
has only 63 % of the clips (macro mAP rises with fewer clips). Therefore the draws determine the
width of an interval but not its centre, which is the estimate:

    SE = (1 - w) SD of the draws + w SE of the jackknife        interval = estimate -+ t SE

Clips of one recording are alike, so recordings with all their clips (groups) are drawn, and left out. A clip of an
unknown recording is its own group. Above `LEFT_OUT` groups the jackknife leaves out blocks of them.

With few clips the draws understate the spread (a repeated clip adds nothing new), by up to 8 % at 80 clips, and the
jackknife overstates it (Efron and Stein 1981), by 8 to 40 %; with many both are right: w is 0.2. Where many classes
have one clip only, a draw misses whole classes and understates the spread by a quarter, the jackknife overstates it by
5 to 12 %: w rises by the share of such classes above a tenth.

SE itself is uncertain where few clips decide: the clips of rare classes, or those on which two systems differ. t is
therefore the quantile of Student's distribution. Its degrees of freedom v follow from the kurtosis k of the n values
theta_i without group i:

    v = min(1.5 n / (k - 1), n - 1)        k = n sum d_i^4 / (sum d_i^2)^2,  d_i = theta_i - mean theta

The relative error of a variance of n values is sqrt((k - 1) / n), which corresponds to v = 2 n / (k - 1); the factor is
smaller because a sample understates the kurtosis of rare events. If c of n clips differ, by the same amount, v is about
1.5 c. Few values hardly have a kurtosis (two have 1, whatever they are): v is at most that of a mean of n values.

mAP's interval is computed on a scale that removes most of its skewness near 0 and 1, and limits it to 0..1:

    u(m) = m^(1/3) - (1 - m)^(1/3)        bounds: u^-1(u(m) -+ t SE u'(m))

A score of exactly 0 or 1 without spread gets the exact interval of a proportion of as many groups: an error that did
not occur in n recordings may still occur in 3.7 / n of others. A difference without any spread gets that on both sides,
and as p-value the level at which that interval begins at 0.
docs/intervals.md has the coverage of these intervals in simulated populations (`tests/metrics/test_coverage.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import cbrt, erfc, inf, nan, sqrt
from statistics import NormalDist

import numpy as np

from niah.errors import NiahError
from niah.metrics.average_precision import (
    Float64,
    Mask,
    Scores,
    Targets,
    rankings,
    validate,
)
from niah.metrics.draws import Groups, drawn, group_count, group_indices, left_out
from niah.metrics.leave_one_out import leave_one_out_map
from niah.metrics.proportion import proportion_interval
from niah.metrics.student import t_of_z, z_of_t
from niah.metrics.weighted_precision import Counts, walk_of, weighted_maps
from niah.system.numpy_threads import cores

DRAWS = 1000
SEED = 0  # one for all, so that every cell of a run is paired with every other
CONFIDENCE = 0.95
JACKKNIFE_SHARE = 0.2  # w where few classes have a single clip
FREEDOM = 1.5  # degrees of freedom a value, at a kurtosis of 2
FEW_SINGLE = 0.1  # share of single-clip (or -recording) classes up to which the draws are right
# clips x classes x draws, from which loading the compiled passes (1 s) soon pays
COMPILE_ABOVE = 5 * 10**7
THREADS = cores()  # compiled: blocks side by side
BLOCK = 64  # draws at a time, compiled: a clip's multiplicities fill one cache line
PLAIN_BLOCK_BYTES = 4 * 2**20  # multiplicities of a block in numpy: the size of a core's cache


@dataclass(frozen=True)
class Resampled:
    """A score and its resampled values; NaN where it is undefined (a draw without any class).

    Attributes:
        estimate: on the list itself.
        drawn: on each draw, (draws,).
        left_out: without each group, or block of groups, in turn: (groups,).
        units: number of groups of clips; 0 for the number of values in `left_out`.
        jackknife_share: w of the module's docstring.
    """

    estimate: float
    drawn: Float64
    left_out: Float64
    units: int = 0
    jackknife_share: float = JACKKNIFE_SHARE

    @property
    def n_groups(self) -> int:
        """Return the number n of groups."""
        return self.units or self.left_out.size

    @property
    def missed_at_most(self) -> float:
        """Return the share of recordings that may be missed though none of these was: 1 - 0.025^(1/n)."""
        return 1.0 - proportion_interval(self.n_groups, self.n_groups, CONFIDENCE)[0]

    @property
    def standard_error(self) -> float:
        """Return the weighted mean of the bootstrap's and the jackknife's standard error; NaN when nothing is defined.

        Jackknife: sqrt((n-1)/n sum (theta_i - mean theta)^2), theta_i without group i.
        """
        drawn = self.drawn[~np.isnan(self.drawn)]
        left_out = self.left_out[~np.isnan(self.left_out)]
        if drawn.size < 2 or left_out.size < 2:
            return nan
        jackknife = sqrt(left_out.size - 1) * float(left_out.std())
        share = self.jackknife_share
        return (1.0 - share) * float(drawn.std(ddof=1)) + share * jackknife

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error, from the kurtosis and number of the values without each group."""
        left_out = self.left_out[~np.isnan(self.left_out)]
        squares = (left_out - left_out.mean()) ** 2 if left_out.size else left_out
        total = float(squares.sum())
        if not total > 0.0:
            return inf
        most = left_out.size - 1.0
        kurtosis = left_out.size * float((squares / total) @ (squares / total))
        return min(FREEDOM * left_out.size / (kurtosis - 1.0), most) if kurtosis > 1.0 else most

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """Return t SE."""
        z, freedom = NormalDist().inv_cdf((1.0 + confidence) / 2.0), self.freedom
        return (z if freedom == inf else t_of_z(z, freedom)) * self.standard_error

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return estimate -+ t SE, symmetric: for differences, ratios, drops.

        An estimate without spread gets the largest share of errors that n recordings may miss on both sides.
        """
        half = self.half_width(confidence) if self.standard_error != 0.0 else self.missed_at_most
        return self.estimate - half, self.estimate + half

    def unit_interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return the interval on the scale u of the module's docstring, inside 0..1.

        A score without spread, such as a perfect one, gets the interval of a proportion of as many groups.
        """
        m, error = self.estimate, self.standard_error
        if np.isnan(error):
            return nan, nan
        if not 0.0 < m < 1.0 or not error > 0.0:
            missed = self.missed_at_most
            return max(m - missed, 0.0), min(m + missed, 1.0)
        half = self.half_width(confidence) * (m ** (-2 / 3) + (1.0 - m) ** (-2 / 3)) / 3.0
        place = cbrt(m) - cbrt(1.0 - m)
        return _unit_of(place - half), _unit_of(place + half)

    def p_value(self) -> float:
        """Return the two-sided p-value of "it is truly 0", by Student's t.

        Without spread 2 (1 - |estimate|)^n, at most 1: it is below 0.05 exactly where `interval` excludes 0.
        """
        if self.estimate == 0.0:
            return 1.0
        error = self.standard_error
        if np.isnan(error) or np.isnan(self.estimate):
            return nan
        if not error > 0.0:
            return min(1.0, 2.0 * max(0.0, 1.0 - abs(self.estimate)) ** self.n_groups)
        t, freedom = abs(self.estimate) / error, self.freedom
        return erfc((t if freedom == inf else z_of_t(t, freedom)) / sqrt(2.0))


def paired(function: Callable[..., object], *scores: Resampled) -> Resampled:
    """Apply a function to scores on the same clips and draws, draw by draw and group by group.

    `paired(lambda m, b: 1 - m / b, score, base)` is the drop.

    Args:
        function: of arrays, one a score; element by element.
        *scores: resampled alike.

    Returns:
        The function's values, as a resampled score.

    Raises:
        NiahError: scores that were not resampled alike.
    """
    shapes = {(each.drawn.shape, each.left_out.shape) for each in scores}
    if len(shapes) != 1:
        raise NiahError(f"scores of different clips or draws cannot be paired: {sorted(shapes)}")
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.asarray(function(*(each.drawn for each in scores)), dtype=np.float64)
        left_out = np.asarray(function(*(each.left_out for each in scores)), dtype=np.float64)
        whole = np.asarray(function(*(np.float64(each.estimate) for each in scores)))
    share = max(each.jackknife_share for each in scores)
    return Resampled(float(whole), drawn, left_out, scores[0].units, share)


def resample(
    targets: Targets,
    score_sets: Sequence[Scores],
    draws: int = DRAWS,
    seed: int = SEED,
    *,
    groups: Sequence[str] | None = None,
    excluded: Mask | None = None,
) -> list[Resampled]:
    """Compute the mAP of each score set, resampled alike.

    Args:
        targets: (clips, classes) bool.
        score_sets: arrays (clips, classes), all of the same clips.
        draws: number of drawn lists.
        seed: of the draws.
        groups: the recording of each clip, (clips,), drawn and left out as a whole; None if each clip is its own.
        excluded: (clips, classes) bool, entries that no set is scored on.

    Returns:
        One score a set.

    Raises:
        NiahError: shapes that disagree, scores that are not finite, fewer draws than 1.
    """
    if draws < 1:
        raise NiahError(f"draws must be at least 1 but {draws} was given")
    for each in score_sets:
        validate(targets, each)
    clips, scored = targets.shape[0], targets.any(axis=0)
    mask = None if excluded is None else excluded[:, scored]
    of, shown = group_indices(groups, clips), targets[:, scored]
    compiled = shown.size * draws > COMPILE_ABOVE
    rank_all = _compiled if compiled else _plain
    sets = [rank_all(shown, each[:, scored], mask) for each in score_sets]
    block = BLOCK if compiled else max(1, PLAIN_BLOCK_BYTES // (4 * max(clips, 1)))
    maps = [each.maps for each in sets]
    lists = _on_blocks(maps, drawn(of, draws, block, seed), compiled)
    left = [each.left_out for each in sets]
    if group_count(of) < clips:
        left = list(_on_blocks(maps, left_out(of, block), compiled))
    share = jackknife_share(shown, of)
    parts = zip([each.whole for each in sets], lists, left, strict=True)
    return [Resampled(*each, group_count(of), share) for each in parts]


def jackknife_share(targets: Targets, of: Groups) -> float:
    """Return w: `JACKKNIFE_SHARE`, and more where many classes have all their positives in one group."""
    single = [np.ptp(of[hits]) == 0 for hits in targets.T]
    scarce = float(np.mean(single)) if single else 0.0
    return min(1.0, JACKKNIFE_SHARE + max(0.0, scarce - FEW_SINGLE))


@dataclass(frozen=True)
class _Ranked:
    """A ranked score set: its mAP, that without each clip (clips,), and that of lists (clips, lists) -> (lists,)."""

    whole: float
    left_out: Float64
    maps: Callable[[Counts], Float64]


def _plain(targets: Targets, scores: Scores, excluded: Mask | None) -> _Ranked:
    ranked = rankings(targets, scores, excluded)
    walks = [walk_of(each) for each in ranked]
    whole, left = leave_one_out_map(ranked, len(targets))
    return _Ranked(whole, left, lambda counts: weighted_maps(walks, counts))


def _compiled(targets: Targets, scores: Scores, excluded: Mask | None) -> _Ranked:
    """Rank by the compiled kernels: equal to rounding."""
    from niah.metrics.weighted_precision_numba import pack_rankings, walk_maps

    packed, whole, left = pack_rankings(targets, scores, excluded)
    return _Ranked(whole, left, lambda counts: walk_maps(packed, counts))


def _on_blocks(
    maps: Sequence[Callable[[Counts], Float64]], blocks: Iterator[Counts], compiled: bool
) -> Float64:
    """Compute mAP of each score set on every list, (sets, lists); compiled, one block of lists a thread."""

    def of(counts: Counts) -> Float64:
        return np.stack([each(counts) for each in maps])

    if not compiled or THREADS == 1:
        return np.concatenate([of(counts) for counts in blocks], axis=1)
    with ThreadPoolExecutor(THREADS) as threads:
        return np.concatenate(list(threads.map(of, blocks)), axis=1)


def _unit_of(place: float) -> float:
    """m of u = m^(1/3) - (1 - m)^(1/3): with s = m^(1/3) + (1 - m)^(1/3), s^3 + 3 u^2 s = 4."""
    u = min(max(place, -1.0), 1.0)
    root = sqrt(4.0 + u**6)
    return ((cbrt(2.0 + root) + cbrt(2.0 - root) + u) / 2.0) ** 3
