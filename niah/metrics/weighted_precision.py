"""AP of many lists at once, each stated as multiplicities: how often every clip is in it.

Instead of gathering the clips of a list and sorting them again, each class is sorted once for all
lists. With clips in descending order and e(i) the last rank of clip i's tie group,

    AP(w) = sum over positives i of  w_i  TP(e(i)) / N(e(i))  /  sum over positives of w_i
    TP(r) = sum of w over positives ranked up to r,   N(r) = sum of w over all ranked up to r

Counts are integers and exact; AP is float64. Equal to evaluating the lists outright to rounding
(1e-12). `niah.metrics.weighted_precision_numba` is the same, faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64, Ranking

Counts = NDArray[np.int32]


@dataclass(frozen=True)
class Walk:
    """One class, sorted once for all lists: what AP(w) needs of its `Ranking`.

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


def walk_of(ranking: Ranking) -> Walk:
    """The walk of a class that has a positive."""
    ends, group = np.unique(ranking.last[ranking.hits], return_inverse=True)
    return Walk(
        order=ranking.order[: ends[-1] + 1].astype(np.int32),
        starts=np.r_[0, ends[:-1] + 1],
        positives=ranking.order[ranking.hits],
        group=group,
        last=np.searchsorted(group, np.arange(ends.size), side="right") - 1,
    )


def weighted_maps(walks: Sequence[Walk], counts: Counts) -> Float64:
    """mAP for each column of `counts` (clips, lists): the mean over the classes that it has a
    positive of, (lists,); NaN where it has none."""
    total = np.zeros(counts.shape[1])
    classes = np.zeros(counts.shape[1])
    for walk in walks:
        ap, present = weighted_ap(walk, counts)
        total += ap
        classes += present
    with np.errstate(invalid="ignore"):
        return np.asarray(total / classes)


def weighted_ap(walk: Walk, counts: Counts) -> tuple[Float64, NDArray[np.bool_]]:
    """AP(w) of one class for each column w of `counts`; and where it has positives (else 0)."""
    weights = counts[walk.positives]  # (P, lists)
    found = np.cumsum(weights, axis=0)  # TP at each positive
    segments = np.add.reduceat(counts[walk.order], walk.starts, axis=0)  # (groups, lists)
    seen = np.cumsum(segments, axis=0)  # N(e)
    # where a list has nobody up to e it has no positive there either: any precision will do
    precision = found[walk.last] / np.maximum(seen, 1)
    gained = np.einsum("pd,pd->d", weights, precision[walk.group])
    return gained / np.maximum(found[-1], 1), found[-1] > 0
