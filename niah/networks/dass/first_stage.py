"""The first stage of DASS on a map that is never whole: chunk after chunk, computed again in each pass that needs it.

The map behind the stem is the largest of a network, a gibibyte an hour for DASS-small and -medium; the one behind the
first halving has half of its elements. A block's scans can be run in any chunk once all chunks are summarised
(`niah.scan.cpu.map`), and everything else sees a column on each side. So a stage of n blocks takes n + 1 passes:

    pass k = 1..n   x = stem; blocks 1..k - 1 are run; the scans of block k are summarised
    pass n + 1      x = stem; blocks 1..n are run; the halving is written

Block j is run n + 1 - j times: of DASS's two blocks the first twice, the stem three times, a seventh of the network's
time more. Operations and chunks are those of `niah.networks.dass.tiled`, and so are the bits.

A job makes a segment of consecutive chunks. To have the columns beside its chunks it begins a chunk earlier, and ends a
chunk later, for each block behind.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from niah.networks.dass.block_work import BlockWork
from niah.networks.dass.windows import Windowed, parts
from niah.scan.cpu.map import ChunkedMapScan, Parameters
from niah.system.threads import run_jobs

SEGMENT = 64  # chunks of a job: few are made twice, and there are jobs for all threads

Span = tuple[int, int]


class FirstStage:
    """Stem, blocks and halving of features (B, T0, M, 1), in chunks of the map behind the stem."""

    def __init__(
        self,
        features: Tensor,
        stem: Windowed,
        blocks: list[BlockWork],
        halving: Windowed,
        chunks: list[Span],
        rows: int,
    ) -> None:
        """Take what the stage consists of.

        Args:
            features: (B, T0, M, 1), or blocks of features that are rendered when they are read.
            stem: to the map's columns.
            blocks: at least one, of that map.
            halving: to the next stage's map.
            chunks: (first column, column after the last) of each, in order; together all columns.
            rows: F of the map.
        """
        self.features, self.stem, self.blocks, self.halving = features, stem, blocks, halving
        self.chunks, self.rows = chunks, rows
        self.columns, self.channels = chunks[-1][1], stem.channels
        self.like = next(blocks[0].block.parameters())
        self._scans: list[list[ChunkedMapScan]] = []  # of each block, one an item

    def run(self, out: Tensor) -> None:
        """Compute the map behind the halving, in `out` (B, ceil(T/2), ceil(F/2), C')."""
        batch = range(len(out))
        jobs = [(item, *span) for item in batch for span in parts(0, len(self.chunks), SEGMENT)]
        for number, work in enumerate(self.blocks):
            parameters = Parameters.of(*work.block.op.scan_parameters())
            scans = [ChunkedMapScan(parameters, self.rows, len(self.chunks)) for _ in batch]
            self._scans.append(scans)
            run_jobs(partial(self._summarise, number), jobs)
            run_jobs(ChunkedMapScan.carry, [(scan,) for scan in scans])
        run_jobs(partial(self._halve, out), jobs)

    def _summarise(self, number: int, item: int, start: int, stop: int) -> None:
        for index, _, around in self._with_edges(number, item, start, stop):
            u, p = self._scan_input(number, index, around)
            self._scans[number][item].summarise(index, u, p)

    def _halve(self, out: Tensor, item: int, start: int, stop: int) -> None:
        for index, _, around in self._with_edges(len(self.blocks), item, start, stop):
            first, last = self.chunks[index]
            low, high = -(-first // 2), -(-last // 2)  # output columns whose middle is in the chunk
            if low < high:
                needed_from, needed_to = self.halving.needs(low, high, self.columns)
                origin = max(0, first - 1)
                needed = around[:, needed_from - origin : needed_to - origin]
                window = self.halving.window(needed, low, high, self.columns)
                out[item : item + 1, low:high] = window

    def _with_edges(
        self, number: int, item: int, start: int, stop: int
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield (index, x, x with the columns beside it) of chunks behind `number` blocks; x may then be changed."""
        low, high = max(0, start - 1), min(len(self.chunks), stop + 1)
        made = self._behind(number, item, low, high)
        before, here = None, next(made)
        for index in range(low, min(high, stop)):
            after = next(made, None)
            beside = (before, here, None if after is None else after[:, :1])
            around = torch.cat([x for x in beside if x is not None], dim=1)
            before = here[:, -1:].clone()
            if index >= start:
                yield index, here, around
            if after is not None:
                here = after

    def _behind(self, number: int, item: int, start: int, stop: int) -> Iterator[Tensor]:
        """Yield the map (1, columns, F, C) behind `number` blocks, chunk by chunk."""
        if number == 0:
            for index in range(start, stop):
                yield self._stem(item, index)
            return
        work = self.blocks[number - 1]
        for index, x, around in self._with_edges(number - 1, item, start, stop):
            u, p = self._scan_input(number - 1, index, around)
            y = torch.empty_like(u)
            self._scans[number - 1][item].run(index, u, p, y)
            work.update(x, y.view(x.shape))
            yield x

    def _stem(self, item: int, index: int) -> Tensor:
        first, last = self.chunks[index]
        frames = self.features.shape[1]
        low, high = self.stem.needs(first, last, frames)
        needed = self.features[item : item + 1, low:high].to(self.like)
        x = self.like.new_empty(1, last - first, self.rows, self.channels)
        return x.copy_(self.stem.window(needed, first, last, frames))

    def _scan_input(self, number: int, index: int, around: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (L, C) and its coordinates p (L, K) in a chunk."""
        work, (first, last) = self.blocks[number], self.chunks[index]
        u = around.new_empty(1, last - first, *around.shape[2:])
        work.front_from(around, first, last, u)
        flat = u[0].flatten(0, 1)
        return flat, work.block.op.project(flat).flatten(1)
