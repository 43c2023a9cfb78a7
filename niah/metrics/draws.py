"""Resampled lists of clips, as multiplicities: the count of each clip in each list. Recordings (groups) stay whole.

drawn      as many groups as exist, with replacement; one generator, so that all scores get the same lists
left out   all clips except one group's; above `LEFT_OUT` groups except one of `LEFT_OUT` random blocks of groups
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.metrics.weighted_precision import Counts

LEFT_OUT = 512
CACHED = 2**22  # multiplicities, 16 MiB: every cell of a run has the same
ROWS_BYTES = 2**20  # of indices at a time: the size of a core's cache
Groups = NDArray[np.intp]


def group_indices(groups: Sequence[str] | None, clips: int) -> Groups:
    """Number the groups.

    Args:
        groups: the group of each clip by name, (clips,); None if each clip is its own group.
        clips: number of clips.

    Returns:
        The number of each clip's group, (clips,).

    Raises:
        NiahError: not one group a clip.
    """
    if groups is None or len(set(groups)) == len(groups) == clips:
        return np.arange(clips)
    if len(groups) != clips:
        raise NiahError(f"groups must be one a clip, {clips}, but are {len(groups)}")
    return np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)[1]


def group_count(of: Groups) -> int:
    """Return the number of groups."""
    return int(of.max(initial=-1)) + 1


def drawn(of: Groups, draws: int, block: int, seed: int) -> Iterator[Counts]:
    """Yield the drawn lists, block by block.

    Args:
        of: the number of each clip's group, (clips,).
        draws: number of lists in all.
        block: most lists in a block.
        seed: of the draws.

    Yields:
        (clips, lists) int32 multiplicities.
    """
    count = group_count(of)
    blocks: Iterator[Counts]
    if count * draws <= CACHED or block >= draws:
        whole = _cached_multiplicities(count, draws, seed)
        starts = range(0, draws, block)
        blocks = (np.ascontiguousarray(whole[:, start : start + block]) for start in starts)
    else:
        blocks = multiplicity_blocks(count, draws, block, seed)
    return (counts if count == of.size else counts[of] for counts in blocks)


def left_out(of: Groups, block: int) -> Iterator[Counts]:
    """Yield the lists without each group in turn, block by block.

    Args:
        of: the number of each clip's group, (clips,).
        block: most lists in a block.

    Yields:
        (clips, lists) int32 multiplicities, 0 or 1.
    """
    count = group_count(of)
    if count > LEFT_OUT:
        shuffled = np.random.Generator(np.random.Philox(count)).permutation(count)
        of, count = (shuffled % LEFT_OUT)[of], LEFT_OUT
    for start in range(0, count, block):
        out = np.arange(start, min(start + block, count))
        yield (of[:, None] != out).astype(np.int32)


def multiplicities(units: int, draws: int, seed: int) -> Counts:
    """Count how often each unit is in each draw.

    Args:
        units: number of units, and of units in a draw.
        draws: number of draws.
        seed: of the draws.

    Returns:
        (units, draws) int32, each column summing to `units`.
    """
    return np.concatenate(list(multiplicity_blocks(units, draws, draws, seed)), axis=1)


@lru_cache(maxsize=4)
def _cached_multiplicities(units: int, draws: int, seed: int) -> Counts:
    """Return `multiplicities`, cached: the many cells of a small run have the same draws."""
    return multiplicities(units, draws, seed)


def multiplicity_blocks(units: int, draws: int, block: int, seed: int) -> Iterator[Counts]:
    """Yield `multiplicities` in blocks of columns; the block size does not change the draws.

    Args:
        units: number of units, and of units in a draw.
        draws: number of draws in all.
        block: most draws in a block.
        seed: of the draws.

    Yields:
        (units, draws) int32.
    """
    random = np.random.Generator(np.random.Philox(seed))
    for start in range(0, draws, block):
        counts = np.empty((units, min(block, draws - start)), dtype=np.int32)
        step = max(1, ROWS_BYTES // (8 * max(units, 1)))
        for first in range(0, counts.shape[1], step):
            lists = min(step, counts.shape[1] - first)
            units_drawn = random.integers(units, size=(lists, units))  # the same as list by list
            units_drawn += units * np.arange(lists)[:, None]
            tally = np.bincount(units_drawn.ravel(), minlength=lists * units)
            counts[:, first : first + lists] = tally.reshape(lists, units).T
        yield counts
