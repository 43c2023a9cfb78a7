"""How sure are we? Paired bootstrap over clips for mAP and for the relative drop.

A draw takes n clips with replacement out of n. Both score sets of a comparison are evaluated on the
same draw (paired), because the clips' difficulty is shared: the interval of the drop is then much
narrower than that of either mAP. A class whose positives a draw misses is left out of that draw's
mean, for both sets alike, which is what mAP does on the full list.

Instead of gathering the drawn clips and sorting them again, a draw is a vector of multiplicities
w_i (how often clip i was drawn), and each class is sorted once for all draws. With clips in
descending order and e(i) the last rank of clip i's tie group,

    AP(w) = sum over positives i of  w_i  TP(e(i)) / N(e(i))  /  sum over positives of w_i
    TP(r) = sum of w over positives ranked up to r,   N(r) = sum of w over all ranked up to r

Counts are integers and exact; AP is float64. Equal to resampling outright to rounding (1e-12).

Intervals are centred: the 2.5 and 97.5 percentiles of the draws, moved by (estimate - mean of the
draws). Drawn mAPs sit above the estimate, because a positive drawn twice outranks with itself and a
draw holds only 63 % of the clips (macro mAP rises when there are fewer). So the draws tell the
spread but not the place, and plain percentiles can leave the estimate itself outside. What the
interval is of: the expected score on a list of this many clips, which is what cells on the same
list are compared by. Simulated (80 clips, 24 classes): it covers that for 92 % of mAPs and 93 % of
drops, plain percentiles for 85 and 87 %.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import nan

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.metrics import (
    Float64,
    Ranking,
    Scores,
    Targets,
    average_precision,
    mean_average_precision,
    rank,
    validate,
)

CONFIDENCE = 0.95
BLOCK_BYTES = 4 * 2**20  # of multiplicities at a time: what stays in a core's cache
COMPILE_ABOVE = 10**9  # clips x classes x draws from which compiling pays
Counts = NDArray[np.int32]
SegmentSums = Callable[[Counts, NDArray[np.int32], NDArray[np.intp]], Counts]


@dataclass(frozen=True)
class Intervals:
    """95 % bounds of mAP and of drop = (base mAP - mAP) / base mAP; NaN where there is no base."""

    mAP_lo: float
    mAP_hi: float
    drop_lo: float
    drop_hi: float


def bootstrap_drop(
    targets: Targets,
    base_scores: Scores | None,
    scores: Scores,
    draws: int = 1000,
    seed: int = 0,
) -> Intervals:
    """Intervals of `scores`' mAP and of its drop from `base_scores` on the same clips.

    `targets` bool (clips, classes); both score arrays (clips, classes), rows in the same order;
    `base_scores` None when the base was not measured (drop bounds are NaN then).
    """
    sets = [scores] if base_scores is None else [scores, base_scores]
    drawn = bootstrap_maps(targets, sets, draws, seed)
    maps = [mean_average_precision(average_precision(targets, each)) for each in sets]
    mAP_lo, mAP_hi = np.clip(centred_interval(drawn[0], maps[0]), 0.0, 1.0)
    if base_scores is None:
        return Intervals(float(mAP_lo), float(mAP_hi), nan, nan)
    drop = (maps[1] - maps[0]) / maps[1]
    drop_lo, drop_hi = centred_interval((drawn[1] - drawn[0]) / drawn[1], drop)
    return Intervals(float(mAP_lo), float(mAP_hi), drop_lo, min(drop_hi, 1.0))


def centred_interval(
    values: Float64, estimate: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Percentile interval of the drawn `values` (draws,), moved so that their mean is `estimate`.

    Draws that had no class at all (NaN) are left out; without any other, the bounds are NaN.
    """
    defined = values[~np.isnan(values)]
    if defined.size == 0:
        return nan, nan
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined - defined.mean(), [tail, 1.0 - tail])
    return estimate + float(low), estimate + float(high)


def bootstrap_maps(
    targets: Targets, score_sets: Sequence[Scores], draws: int = 1000, seed: int = 0
) -> Float64:
    """mAP of each score set on each draw: (sets, draws) float64, the sets paired by draw.

    Raises `NiahError` when shapes disagree, scores are not finite, or `draws` is below 1.
    """
    for scores in score_sets:
        validate(targets, scores)
    if draws < 1:
        raise NiahError(f"draws must be at least 1 but {draws} was given")
    scored = np.flatnonzero(targets.any(axis=0))
    if scored.size == 0:
        return np.full((len(score_sets), draws), nan)
    walks = [[_walk(rank(targets[:, c], each[:, c])) for c in scored] for each in score_sets]
    compiled = targets.shape[0] * scored.size * draws > COMPILE_ABOVE
    segment_sums = _compiled_segment_sums() if compiled else _segment_sums
    block = max(1, min(draws, BLOCK_BYTES // (4 * targets.shape[0])))
    parts = [
        np.stack([_weighted_maps(each, counts, segment_sums) for each in walks])
        for counts in _multiplicity_blocks(targets.shape[0], draws, block, seed)
    ]
    return np.concatenate(parts, axis=1)


def multiplicities(clips: int, draws: int, seed: int = 0) -> Counts:
    """How often each clip is in each draw: (clips, draws) int32, each column summing to `clips`."""
    return np.concatenate(list(_multiplicity_blocks(clips, draws, draws, seed)), axis=1)


def _multiplicity_blocks(clips: int, draws: int, block: int, seed: int) -> Iterator[Counts]:
    """`multiplicities` in column blocks; one draw at a time, so blocks do not change the draws."""
    random = np.random.Generator(np.random.Philox(seed))
    for start in range(0, draws, block):
        counts = np.empty((min(block, draws - start), clips), dtype=np.int32)
        for row in counts:
            row[:] = np.bincount(random.integers(clips, size=clips), minlength=clips)
        yield np.ascontiguousarray(counts.T)


@dataclass(frozen=True)
class _Walk:
    """One class, sorted once for all draws: what AP(w) needs of its `Ranking`.

    `order`: clips in descending order, down to the last tie group with a positive; `starts`: ranks
    at which its segments start, each ending with a tie group that has positives (the ends e);
    `positives`: clip indices, best first; `group`: the segment of each positive; `last`: the last
    positive of each segment.
    """

    order: NDArray[np.int32]
    starts: NDArray[np.intp]
    positives: NDArray[np.intp]
    group: NDArray[np.intp]
    last: NDArray[np.intp]


def _walk(ranking: Ranking) -> _Walk:
    ends, group = np.unique(ranking.last[ranking.hits], return_inverse=True)
    return _Walk(
        order=ranking.order[: ends[-1] + 1].astype(np.int32),
        starts=np.r_[0, ends[:-1] + 1],
        positives=ranking.order[ranking.hits],
        group=group,
        last=np.searchsorted(group, np.arange(ends.size), side="right") - 1,
    )


def _weighted_maps(walks: Sequence[_Walk], counts: Counts, segment_sums: SegmentSums) -> Float64:
    """mAP for each column of `counts`: the mean over the classes it has a positive of, (draws,)."""
    total = np.zeros(counts.shape[1])
    classes = np.zeros(counts.shape[1])
    for walk in walks:
        ap, present = _weighted_ap(walk, counts, segment_sums)
        total += ap
        classes += present
    with np.errstate(invalid="ignore"):
        return total / classes


def _weighted_ap(
    walk: _Walk, counts: Counts, segment_sums: SegmentSums
) -> tuple[Float64, NDArray[np.bool_]]:
    """AP(w) of one class for each column w of `counts`; and where it has positives (else 0)."""
    weights = counts[walk.positives]  # (P, draws)
    found = np.cumsum(weights, axis=0)  # TP at each positive
    seen = np.cumsum(segment_sums(counts, walk.order, walk.starts), axis=0)  # N(e): (groups, draws)
    # where a draw has nobody up to e it has no positive there either: any precision will do
    precision = found[walk.last] / np.maximum(seen, 1)
    gained = np.einsum("pd,pd->d", weights, precision[walk.group])
    return gained / np.maximum(found[-1], 1), found[-1] > 0


def _segment_sums(counts: Counts, order: NDArray[np.int32], starts: NDArray[np.intp]) -> Counts:
    """Sums of `counts[order]` over ranks [start, next start), one row a start: (starts, draws)."""
    return np.asarray(np.add.reduceat(counts[order], starts, axis=0))


@cache
def _compiled_segment_sums() -> SegmentSums:
    """`_segment_sums` without the gathered copy: some ten times faster, a second to compile."""
    from numba import njit

    def segment_sums(counts: Counts, order: NDArray[np.int32], starts: NDArray[np.intp]) -> Counts:
        sums = np.zeros((starts.size, counts.shape[1]), dtype=np.int32)
        for segment in range(starts.size):
            stop = starts[segment + 1] if segment + 1 < starts.size else order.size
            for place in range(starts[segment], stop):
                clip = order[place]
                for draw in range(counts.shape[1]):
                    sums[segment, draw] += counts[clip, draw]
        return sums

    compiled: SegmentSums = njit(nogil=True)(segment_sums)
    return compiled
