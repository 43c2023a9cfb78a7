"""`niah.needles.selection` for tables of millions of clips: the same order, by one compiled loop over numbers."""

import heapq

import numpy as np
from numba import njit
from numpy.typing import NDArray

from niah.system.kernel_cache import cached_on_disk


@cached_on_disk
@njit(nogil=True)
def stratified(
    starts: NDArray[np.int64],
    classes: NDArray[np.int32],
    first_of_class: NDArray[np.int64],
    clips_of_class: NDArray[np.int32],
    class_order: NDArray[np.int64],
    wanted: int,
) -> NDArray[np.int32]:
    """Return the first clips of the stratified order.

    Args:
        starts: (clips + 1,); clip i carries `classes[starts[i] : starts[i + 1]]`, each class once.
        classes: (labels,).
        first_of_class: (classes + 1,); class c has `clips_of_class[first_of_class[c] : first_of_class[c + 1]]`.
        clips_of_class: (labels,) clips in the order of their hashes.
        class_order: (classes,) place of each class's id among all ids, which decides between equal classes.
        wanted: number of clips, at most as many as carry a label.
    """
    n_classes = len(first_of_class) - 1
    next_clip = first_of_class[:-1].copy()
    taken_of = np.zeros(n_classes, np.int64)
    is_taken = np.zeros(len(starts) - 1, np.bool_)
    taken = np.empty(wanted, np.int32)
    queue = [(0, 0, 0, 0) for _ in range(0)]
    for c in range(n_classes):
        size = first_of_class[c + 1] - first_of_class[c]
        if size:
            queue.append((0, size, class_order[c], c))
    heapq.heapify(queue)
    n_taken = 0
    while n_taken < wanted:
        count, size, place, c = heapq.heappop(queue)
        if count == taken_of[c]:
            while next_clip[c] < first_of_class[c + 1] and is_taken[clips_of_class[next_clip[c]]]:
                next_clip[c] += 1
            if next_clip[c] == first_of_class[c + 1]:
                continue  # the class has no clip left
            clip = clips_of_class[next_clip[c]]
            is_taken[clip] = True
            taken[n_taken] = clip
            n_taken += 1
            for k in range(starts[clip], starts[clip + 1]):
                taken_of[classes[k]] += 1
        heapq.heappush(queue, (taken_of[c], size, place, c))
    return taken
