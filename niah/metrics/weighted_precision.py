"""AP of many lists at once, each stated as multiplicities: the count of every clip in it.

Instead of sorting the clips of each list again, each class is sorted once for all lists. With clips
in descending order and e(i) the last rank of clip i's tie group,

    AP(w) = sum over positives i of  w_i  TP(e(i)) / N(e(i))  /  sum over positives of w_i
    TP(r) = sum of w over positives ranked up to r,   N(r) = sum of w over all ranked up to r

Counts are integers and exact; AP is float64. Equal to the AP of each list to rounding (1e-12).
`niah.metrics.weighted_precision_numba` computes the same, faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64, Ranking

Counts = NDArray[np.int32]


@dataclass(frozen=True)
class Walk:
    """One class, sorted once for all lists: the data of its `Ranking` that AP(w) needs.

    Attributes:
        order: clips in descending order, down to the last tie group with a positive.
        starts: ranks at which its segments start, each ending with a tie group that has positives (the ends e).
        positives: clip indices, best first.
        group: the segment of each positive.
        last: the last positive of each segment.
    """

    order: NDArray[np.int32]
    starts: NDArray[np.intp]
    positives: NDArray[np.intp]
    group: NDArray[np.intp]
    last: NDArray[np.intp]


def walk_of(ranking: Ranking) -> Walk:
    """Make the walk of a class that has a positive."""
    every_end = ranking.last[ranking.hits]  # ascending
    closes = np.ones(every_end.size, dtype=np.bool_)
    np.not_equal(every_end[1:], every_end[:-1], out=closes[:-1])
    last = np.flatnonzero(closes)
    ends = every_end[last]
    return Walk(
        order=ranking.order[: ends[-1] + 1].astype(np.int32),
        starts=np.concatenate(([0], ends[:-1] + 1)),
        positives=ranking.order[ranking.hits],
        group=np.cumsum(closes) - closes,
        last=last,
    )


def weighted_maps(walks: Sequence[Walk], counts: Counts) -> Float64:
    """Compute the mAP of each list: the mean over the classes with a positive in it.

    Args:
        walks: of all classes.
        counts: multiplicities (clips, lists).

    Returns:
        (lists,) float64; NaN for a list without positives.
    """
    total = np.zeros(counts.shape[1])
    classes = np.zeros(counts.shape[1])
    for walk in walks:
        ap, present = weighted_ap(walk, counts)
        total += ap
        classes += present
    with np.errstate(invalid="ignore"):
        return np.asarray(total / classes)


def weighted_ap(walk: Walk, counts: Counts) -> tuple[Float64, NDArray[np.bool_]]:
    """Compute AP(w) of one class for each list.

    Args:
        walk: of the class.
        counts: multiplicities (clips, lists).

    Returns:
        (lists,) float64, 0 where the list has no positive; and (lists,) bool, whether it has one.
    """
    weights = counts[walk.positives]  # (P, lists)
    hits = np.cumsum(weights, axis=0)  # TP at each positive
    segments = np.add.reduceat(counts[walk.order], walk.starts, axis=0)  # (groups, lists)
    seen = np.cumsum(segments, axis=0)  # N(e)
    # a list without clips up to e has no positive there either: the precision has weight 0
    precision = hits[walk.last] / np.maximum(seen, 1)
    gained = np.einsum("pd,pd->d", weights, precision[walk.group])
    return gained / np.maximum(hits[-1], 1), hits[-1] > 0
