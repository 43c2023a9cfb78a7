"""`weighted_precision` and `leave_one_out` in compiled passes over the ranks, for thousands of clips and classes.

All classes' orders are concatenated in one `PackedRanking`. At each rank the row of the clip's multiplicities
is added to N; at a positive also to its tie group's weight G; at the end of a group that has
positives, TP += G and the class gains G TP / N. The inner loops run over the lists of a block and
are vectorised; a row of 64 one-byte counts is one cache line.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64, Mask, Scores, Targets
from niah.system.kernel_cache import cached_on_disk


@dataclass(frozen=True)
class PackedRanking:
    """The orders of all classes, each down to its last tie group with a positive, concatenated.

    Attributes:
        clips: (R,) every class's clips in descending order.
        mark: (R,) bit 0 for a positive, bit 1 for the end of a tie group with positives.
        starts: (classes + 1,) the first rank of each class.
    """

    clips: NDArray[np.int32]
    mark: NDArray[np.uint8]
    starts: NDArray[np.int64]


def pack_rankings(
    targets: Targets, scores: Scores, excluded: Mask | None = None
) -> tuple[PackedRanking, float, Float64]:
    """Rank every class, and compute mAP of the whole list and without each clip.

    Args:
        targets: (clips, classes) bool, each class with a positive.
        scores: (clips, classes), finite, of any real dtype.
        excluded: (clips, classes) bool, entries to leave out; None for none.

    Returns:
        The packed ranking, and mAP and (clips,) float64 as `leave_one_out_map` gives them.
    """
    n, classes = targets.shape
    clips, mark = np.empty(n * classes, np.int32), np.empty(n * classes, np.uint8)
    starts = np.zeros(classes + 1, np.int64)
    whole, total, left = 0.0, np.zeros(n), np.full(n, classes)
    for c in range(classes):
        counted = np.ones(n, np.bool_) if excluded is None else ~excluded[:, c]
        negated = np.where(counted, -scores[:, c].astype(np.float64), np.inf)  # those left out last
        order, place = np.argsort(negated), starts[c]
        hits = targets[:, c] & counted
        ap, size = _rank(
            order[: counted.sum()], negated, hits, clips[place:], mark[place:], total, left
        )
        total[~counted] += ap
        whole += ap
        starts[c + 1] = place + size
    with np.errstate(invalid="ignore", divide="ignore"):
        without = total / np.where(left > 0, left, np.nan)
    return PackedRanking(clips[: starts[-1]], mark[: starts[-1]], starts), whole / classes, without


def walk_maps(path: PackedRanking, counts: NDArray[Any]) -> Float64:
    """Compute the mAP of each list.

    Args:
        path: all classes.
        counts: multiplicities (clips, lists), unsigned bytes or int32.

    Returns:
        (lists,) float64; NaN for a list without positives.
    """
    # one byte a count is a quarter of the memory traffic
    narrow = counts.astype(np.uint8) if counts.max() < 256 else counts
    total, classes = _walk(path.clips, path.mark, path.starts, narrow)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / classes)


@cached_on_disk
@njit(nogil=True, error_model="numpy")
def _rank(order, negated, hits, clips, mark, total, left):  # type: ignore[no-untyped-def]
    """Write the clips and marks of a class; return its AP and how many there are.

    `total` (clips,) gains AP without each clip, `left` (clips,) loses 1 where no positive is left: the formulas of
    `niah.metrics.leave_one_out`.
    """
    n, size, positives = order.size, 0, 0
    opens = np.empty(n, np.int64)  # of each rank: the first of its tie group
    true_positives = np.empty(n, np.int64)  # up to the end of the tie group, at its first rank
    above = np.empty(
        n
    )  # sum of the precision at the positives above the tie group, at its first rank
    summed = 0.0
    start = 0
    while start < n:
        end, hits_here = start, 0
        while end < n and negated[order[end]] == negated[order[start]]:
            clip = order[end]
            clips[end], mark[end], opens[end] = clip, hits[clip], start
            hits_here += hits[clip]
            end += 1
        positives += hits_here
        true_positives[start], above[start] = positives, summed
        if hits_here:
            summed += hits_here * (positives / end)
            mark[end - 1] |= 2
            size = end
        start = end
    negative, others = (
        0.0,
        0.0,
    )  # sums over the positives not above, without a negative and without a positive
    end = n
    while end > 0:
        start = opens[end - 1]
        tp, hits_here, fewer = true_positives[start], 0, max(end - 1, 1)
        for place in range(start, end):
            hits_here += hits[order[place]]
        negative += hits_here * (tp / fewer)
        others += hits_here * ((tp - 1) / fewer)
        for place in range(start, end):
            clip = order[place]
            if hits[clip]:
                own = (tp - 1) / fewer
                total[clip] += (above[start] + others - own) / max(positives - 1, 1)
                left[clip] -= positives == 1
            else:
                total[clip] += (above[start] + negative) / max(positives, 1)
        end = start
    return summed / max(positives, 1), size


@cached_on_disk
@njit(nogil=True, error_model="numpy")
def _walk(clips, mark, starts, counts):  # type: ignore[no-untyped-def]
    lists = counts.shape[1]
    total, classes = np.zeros(lists), np.zeros(lists)
    seen, hits = np.zeros(lists, np.int32), np.zeros(lists, np.int32)
    group = np.zeros(lists, np.int32)
    gained = np.zeros(lists)
    for c in range(starts.size - 1):
        seen[:], hits[:], group[:], gained[:] = 0, 0, 0, 0.0
        for place in range(starts[c], starts[c + 1]):
            row = counts[clips[place]]
            for d in range(lists):
                seen[d] += row[d]
            if mark[place] & 1:
                for d in range(lists):
                    group[d] += row[d]
            if mark[place] & 2:
                for d in range(lists):
                    hits[d] += group[d]
                    # a list without clips so far gains 0
                    gained[d] += group[d] * (hits[d] / max(seen[d], 1))
                    group[d] = 0
        for d in range(lists):
            if hits[d] > 0:
                total[d] += gained[d] / hits[d]
                classes[d] += 1.0
    return total, classes
