"""`weighted_precision` in one compiled pass over the ranks, for thousands of clips and classes.

All classes' walks are concatenated in one `PackedRanking`. At each rank the row of the clip's multiplicities
is added to N; at a positive also to its tie group's weight G; at the end of a group that has
positives, TP += G and the class gains G TP / N. The inner loops run over the lists of a block and
are vectorised; a row of 64 one-byte counts is one cache line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64
from niah.metrics.weighted_precision import Walk
from niah.system.kernel_cache import cached_on_disk

_NONE, _HIT, _CLOSES = 0, 1, 2  # bits of `mark`


@dataclass(frozen=True)
class PackedRanking:
    """The walks of all classes, concatenated.

    Attributes:
        clips: (R,) every class's clips in descending order.
        mark: (R,) bit 0 for a positive, bit 1 for the end of a tie group with positives.
        starts: (classes + 1,) the first rank of each class.
    """

    clips: NDArray[np.int32]
    mark: NDArray[np.uint8]
    starts: NDArray[np.int64]


def pack_ranking(walks: Sequence[Walk]) -> PackedRanking:
    """Concatenate walks."""
    sizes = [walk.order.size for walk in walks]
    return PackedRanking(
        clips=np.concatenate([walk.order for walk in walks]),
        mark=np.concatenate([_mark(walk) for walk in walks]),
        starts=np.r_[0, np.cumsum(sizes)].astype(np.int64),
    )


def _mark(walk: Walk) -> NDArray[np.uint8]:
    positive = np.zeros(int(max(walk.order.max(), walk.positives.max())) + 1, dtype=np.bool_)
    positive[walk.positives] = True
    mark = positive[walk.order].astype(np.uint8) * np.uint8(_HIT)
    mark[np.r_[walk.starts[1:] - 1, walk.order.size - 1]] |= _CLOSES
    return np.asarray(mark, dtype=np.uint8)


def walk_maps(path: PackedRanking, counts: NDArray[Any]) -> Float64:
    """Compute the mAP of each list.

    Args:
        path: all classes.
        counts: multiplicities (clips, lists), unsigned bytes or int32.

    Returns:
        (lists,) float64; NaN for a list without positives.
    """
    total, classes = _walk(path.clips, path.mark, path.starts, counts)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / classes)


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
