"""One block on a window of columns: what comes before its scans, and what comes after them.

The input u of the scans is either a whole map, or exists for one chunk of time at a time and is computed anew in the
second pass over the chunks. By then the chunks beside may have updated their part of the residual map x, in which a
chunk's convolution sees one column on each side: those columns are copied in the first pass. The same operations on the
same shapes give the same bits, for about 3 % of a network's time and a half less of the memory that grows with length.

Maps are (B, T, F, C), as in `niah.networks.dass.tiled`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from niah.networks.dass.blocks import Block
from niah.networks.dass.depthwise import depthwise_silu
from niah.networks.dass.windows import Chunk, Windowed, spans


class BlockWork:
    """One block on windows of a map of some columns; `tile` columns make up a matrix product."""

    def __init__(self, block: Block, columns: int, tile: int, *, fused: bool) -> None:
        self.block, self.columns, self.tile = block, columns, tile
        self.depthwise = Windowed([block.op.conv2d])
        self.kernel = block.op.conv2d.weight.squeeze(1).permute(2, 1, 0).contiguous()
        self.fused = fused

    def front_from(self, around: Tensor, first: int, last: int, u: Tensor) -> None:
        """Compute the scans' input in columns first..last - 1.

        Args:
            around: (items, columns, F, C) of x, the columns that `needs` returns.
            first: column.
            last: the column after the last.
            u: (items, columns, F, C), contiguous within an item; is overwritten.
        """
        origin = self.needs(first, last)[0]
        for a, b in spans(first, last, self.tile):
            low, high = self.needs(a, b)
            self._front(around[:, low - origin : high - origin], a, b, u[:, a - first : b - first])

    def needs(self, first: int, last: int) -> tuple[int, int]:
        """Return the range of columns of x that the scans' input in columns first..last - 1 is computed from."""
        return self.depthwise.needs(first, last, self.columns)

    def _front(self, around: Tensor, first: int, last: int, u: Tensor) -> None:
        v = self.block.op.in_proj(self.block.norm(around))
        if not self.fused:
            u.copy_(F.silu(self.depthwise.window(v, first, last, self.columns)))
            return
        if v.shape[1] < last - first + 2:  # the ends of the map
            v = F.pad(v, (0, 0, 0, 0, first - 1 < 0, last + 1 > self.columns))
        for item in range(len(v)):
            depthwise_silu(v[item], self.kernel, u[item])

    def update(self, x: Tensor, y: Tensor) -> None:
        """Update columns of x, given the scans' output y there; both (items, columns, F, C)."""
        for a, b in spans(0, x.shape[1], self.tile):
            self._back(x[:, a:b], y[:, a:b])

    def _back(self, x: Tensor, y: Tensor) -> None:
        block = self.block
        x += block.op.close(y)
        hidden = block.mlp.fc1(block.norm2(x))
        x += block.mlp.fc2(torch.ops.aten.gelu_(hidden))


class MapWork(BlockWork):
    """One block on the whole map x (B, T, F, C), which it updates in place."""

    def __init__(self, block: Block, x: Tensor, tile: int, *, fused: bool) -> None:
        super().__init__(block, x.shape[1], tile, fused=fused)
        self.x = x

    def front(self, chunk: Chunk, u: Tensor) -> None:
        """Compute the scans' input in a chunk.

        Args:
            chunk: where.
            u: (items, columns, F, C) of the chunk, contiguous within an item; is overwritten.
        """
        start, stop, first, last = chunk
        low, high = self.needs(first, last)
        self.front_from(self.x[start:stop, low:high], first, last, u)

    def back(self, chunk: Chunk, y: Tensor) -> None:
        """Update x in a chunk, given the scans' output y (items, columns, F, C) there."""
        start, stop, first, last = chunk
        self.update(self.x[start:stop, first:last], y)


class StoredInput:
    """The scans' input as a whole map u (B, T, F, C)."""

    def __init__(self, work: MapWork, u: Tensor) -> None:
        self._work, self._u = work, u

    def first(self, chunk: Chunk) -> Tensor:
        """Return the input (L, C) in a chunk of one item, while x is as it was before the block."""
        item, after, first, last = chunk
        self._work.front(chunk, self._u[item:after, first:last])
        return self.again(chunk)

    def keep_edges(self, chunks: list[Chunk]) -> None:
        """Prepare for changes of x, after the last `first` and before the first `again`."""

    def again(self, chunk: Chunk) -> Tensor:
        """Return the same, while x may have changed in all other chunks, but not in this one."""
        item, _, first, last = chunk
        return self._u[item, first:last].flatten(0, 1)


class RecomputedInput:
    """The scans' input of one chunk at a time, computed in both passes; methods as of `StoredInput`."""

    def __init__(self, work: MapWork) -> None:
        self._work = work
        self._edges: dict[Chunk, tuple[Tensor, Tensor]] = {}  # the columns before and after, if any

    def first(self, chunk: Chunk) -> Tensor:
        u = self._empty(chunk)
        self._work.front(chunk, u)
        return u[0].flatten(0, 1)

    def keep_edges(self, chunks: list[Chunk]) -> None:
        for item, after, first, last in chunks:
            low, high = self._work.needs(first, last)
            x = self._work.x[item]
            self._edges[item, after, first, last] = x[low:first].clone(), x[last:high].clone()

    def again(self, chunk: Chunk) -> Tensor:
        item, _, first, last = chunk
        before, after = self._edges.pop(chunk)
        u = self._empty(chunk)
        around = torch.cat([before, self._work.x[item, first:last], after])
        self._work.front_from(around[None], first, last, u)
        return u[0].flatten(0, 1)

    def _empty(self, chunk: Chunk) -> Tensor:
        _, _, first, last = chunk
        return self._work.x.new_empty(1, last - first, *self._work.x.shape[2:])
