"""The clips that `--limit N` takes, and the order of every needle set.

Clips are taken one by one: of the classes that still have clips, the one with the fewest taken so
far (if equal, the one with the fewest clips in all, then the first by id) gives its next clip, in
the order of SHA-256(seed, clip id). This is iterative stratification (Sechidis et al. 2011),
rarest label first, towards equal counts. So the list depends on the clips and the seed only, not
on the order of rows in a file; N clips are the first N of N + 1; and a whole set has this same
order, so that its hash is canonical.
"""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.needles.needle import Needle
from niah.needles.table import NeedleTable

_AT_ONCE = 10_000  # hashes


def select(needles: Sequence[Needle], limit: int | None, seed: int = 0) -> Sequence[Needle]:
    """Return the first `limit` clips of the stratified order; all if None, or more than there are.

    Costs O(labels log classes). A table stays one, unless `limit` takes a part of it.

    Args:
        needles: clips in any order.
        limit: number of clips.
        seed: of the order.

    Raises:
        NiahError: `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise NiahError(f"--limit must be 1 or more but {limit} was given")
    wanted = len(needles) if limit is None else min(limit, len(needles))
    if isinstance(needles, NeedleTable):
        chosen = needles.take(_order_of_table(needles, wanted, seed))
        return chosen if limit is None else tuple(chosen)
    hashed = sorted(needles, key=lambda needle: _rank(seed, needle.id))
    waiting: defaultdict[str, list[Needle]] = defaultdict(list)
    for needle in reversed(hashed):  # so that pop() gives the first
        for label in needle.labels:
            waiting[label].append(needle)
    sizes = {label: len(clips) for label, clips in waiting.items()}
    taken_of: Counter[str] = Counter()
    taken: dict[str, Needle] = {}
    queue = [(0, sizes[label], label) for label in sizes]
    heapq.heapify(queue)
    while len(taken) < wanted:
        count, size, label = heapq.heappop(queue)
        if count == taken_of[label]:
            first = _next(waiting[label], taken)
            if first is None:
                continue  # the class has no clip left
            taken[first.id] = first
            taken_of.update(first.labels)
        heapq.heappush(queue, (taken_of[label], size, label))
    return tuple(taken.values())


def _next(clips: list[Needle], taken: dict[str, Needle]) -> Needle | None:
    while clips:
        needle = clips.pop()
        if needle.id not in taken:
            return needle
    return None


def _order_of_table(table: NeedleTable, wanted: int, seed: int) -> NDArray[np.int32]:
    """Return (wanted,) places in the table, in the stratified order."""
    from niah.needles.selection_numba import stratified

    starts, classes = table.sparse_labels()
    ranks = np.empty((len(table), 2), np.uint64)  # 16 bytes of each hash: no two are equal
    ids = table.iterate_ids()
    for first in range(0, len(table), _AT_ONCE):
        digests = b"".join(_rank(seed, id_) for id_ in islice(ids, _AT_ONCE))
        ranks[first : first + _AT_ONCE] = np.frombuffer(digests, ">u8").reshape(-1, 4)[:, :2]
    hashed = np.lexsort((ranks[:, 1], ranks[:, 0])).astype(np.int32)
    place = np.empty(len(hashed), np.int64)
    place[hashed] = np.arange(len(hashed))
    clip_of_label = np.repeat(np.arange(len(table), dtype=np.int32), np.diff(starts))
    clips_of_class = clip_of_label[np.lexsort((place[clip_of_label], classes))]
    n_classes = len(table.vocabulary)
    first_of_class = np.searchsorted(np.sort(classes), np.arange(n_classes + 1))
    class_order = np.empty(n_classes, np.int64)
    class_order[np.argsort(np.array(table.vocabulary.ids, dtype=object))] = np.arange(n_classes)
    ordered: NDArray[np.int32] = stratified(
        starts, classes, first_of_class, clips_of_class, class_order, wanted
    )
    return ordered


def _rank(seed: int, id_: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{id_}".encode()).digest()
