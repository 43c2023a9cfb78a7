"""The memory of the residual map and of a second map beside it: two buffers, or one where the maps are large.

A halving leaves a map of half the elements. Where the map before it is large, the halving writes into the front of that
map's own buffer: an output column lies before the input columns that later output columns need, so that chunks may go
in waves, each of about as many chunks as all before it. The rest of the buffer is then free for the second map, and
pages that neither map needs any more go back to the system.
"""

import mmap
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from niah.networks.dass.windows import Chunk, spans

MAPPED = 1 << 24  # elements from which a buffer on a CPU is a mapping of its own


class MapBuffers:
    """Contiguous buffers like a tensor: `own` has the current map, `spare` is free."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self._mapping: mmap.mmap | None = None  # of the last large buffer
        self.own = self.spare = like.new_empty(0)

    def room(self, *shape: int) -> Tensor:
        """Return a map in the free buffer, which grows if it must."""
        count = torch.Size(shape).numel()
        if self.spare.numel() < count:
            self.spare = self._new(count)
        return self.spare[:count].view(shape)

    def swap(self) -> None:
        """Make the map in the free buffer the current one, and the other buffer free."""
        self.own, self.spare = self.spare, self.own

    def release(self) -> None:
        """Give both buffers back, but for maps that someone still refers to."""
        self.own = self.spare = self.like.new_empty(0)

    def _new(self, count: int) -> Tensor:
        if count < MAPPED or self.like.device.type != "cpu" or sys.platform != "linux":
            return self.like.new_empty(count)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # pages of a shared one would stay
        self._mapping = mmap.mmap(-1, count * self.like.element_size(), flags)
        self._mapping.madvise(mmap.MADV_HUGEPAGE)
        return torch.frombuffer(self._mapping, dtype=self.like.dtype)

    def shrink(self, count: int) -> None:
        """Shorten both buffers to `count` elements, and give pages of a mapping back that are in neither."""
        self.own, self.spare = self.own[:count], self.spare[:count]
        if self._mapping is None:
            return
        mapped = torch.frombuffer(self._mapping, dtype=torch.uint8)
        ends = [0]
        for buffer in sorted((self.own, self.spare), key=Tensor.data_ptr):
            begin = buffer.data_ptr() - mapped.data_ptr()
            if 0 <= begin < len(mapped):
                ends += [begin, begin + buffer.nbytes]
        ends.append(len(mapped))
        for begin, end in zip(ends[::2], ends[1::2], strict=True):
            first, last = -(-begin // mmap.PAGESIZE), end // mmap.PAGESIZE  # whole pages
            if last > first:
                size = (last - first) * mmap.PAGESIZE
                self._mapping.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, size)

    def is_free(self, count: int, at_most: int) -> bool:
        """Return whether a map of `count` elements has its place, or is no larger than what may be taken for it."""
        return count <= max(self.spare.numel(), at_most)

    def holds(self, x: Tensor) -> bool:
        """Return whether a map begins where the buffer of the current one does."""
        return self.own.numel() > 0 and x.data_ptr() == self.own.data_ptr()

    def front(self, x: Tensor, *shape: int) -> Tensor:
        """Return maps of a smaller shape over x, each item's at the front of its own part of x."""
        count = torch.Size(shape[1:]).numel()
        return x.flatten(1)[:, :count].view(shape)

    def pack(self, x: Tensor) -> Tensor:
        """Move items that `front` returned together; what lies behind them becomes the free buffer.

        Args:
            x: (B, T, F, C) from `front`.

        Returns:
            The same map, contiguous.
        """
        count, stride = x[0].numel(), x.stride(0)
        for item in range(1, len(x)):
            gap = item * (stride - count)  # as many elements at a time do not overlap
            for a, b in spans(0, count, gap):
                self.own[item * count + a : item * count + b] = self.own[
                    item * stride + a : item * stride + b
                ]
        packed = self.own[: len(x) * count].view(x.shape)
        self.spare = self.own[len(x) * count :]
        return packed


def waves(
    chunks: list[Chunk], needs: Callable[[int, int], tuple[int, int]], before: int, after: int
) -> list[list[Chunk]]:
    """Group chunks of output columns such that those of a group may be written over the input at once, in any order.

    Args:
        chunks: of one item, in order.
        needs: returns the range of input columns that a range of output columns is computed from.
        before: elements of an input column.
        after: elements of an output column, at most `before`.

    Returns:
        The groups, in order. Each chunk is read before it is written; nothing that another chunk of its group or of a
        later one reads is written by it.
    """
    groups: list[list[Chunk]] = []
    for chunk in chunks:
        if groups and chunk[3] * after <= needs(*groups[-1][0][2:])[0] * before:
            groups[-1].append(chunk)
        else:
            groups.append([chunk])
    return groups
