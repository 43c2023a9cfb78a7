"""DASS without gradients in bounded memory: the same network a tile of time at a time.

Two buffers of the first stage's map are all that grows with the length: the residual map x, which every block updates
in place, and u, the input of its scans. A block is two passes over time:

    front   u = SiLU(depthwise(in_proj(norm(x))))        a column of halo on each side; x is not touched
    back    y = the four scans of u;  x += out_proj(out_norm(y));  x += mlp(norm2(x))

All else (projections p, y, the MLP's hidden layer, four times as wide as the map) exists for one tile only. Scans are
summarised chunk by chunk in the first pass and run in the second (`niah.scan.cpu_map`). The projections are made in
both, which costs 3 % of the matrix work and saves a third of a map. Halvings and the stem read the columns they need
(`niah.networks.windows`) and write into the buffer that u has left.

On a CPU in float32 every worker thread takes chunks of time from end to end, with BLAS held to that thread. Elsewhere,
or with another scan, u, p and y exist whole (`niah.scan.cross_scan` takes them so) and all else is cut into slabs.

Glossary as in `niah.networks.dass`; L = columns x F, the positions of a tile.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from niah.networks.dass import Block, Dass, DassConfig, Stage
from niah.networks.depthwise import depthwise_silu
from niah.networks.windows import Windowed
from niah.scan import choose_backend
from niah.scan.cpu_map import ChunkedMapScan, Parameters, scan_way
from niah.threads import run_jobs

Chunk = tuple[int, int, int, int]  # batch items from, to; columns from, to


@dataclass(frozen=True)
class Tiling:
    """Sizes in positions (columns x mel rows). The result depends on them by rounding only."""

    chunk: int = 4096  # of a job on a CPU, and of a summary of the scans
    tile: int = (
        512  # of a matrix product on a CPU: its hidden layer is still in the cache afterwards
    )
    slab: int = 1 << 16  # of a matrix product elsewhere
    short: int = 2500  # columns up to which a map is scanned in one go


DEFAULT = Tiling()


def feature_map(network: Dass, features: Tensor, tiling: Tiling = DEFAULT) -> Tensor:
    """The last map (B, T, F, C) after the classifier's norm, of features (B, T0, M).

    Features may lie on another device or have another dtype than the network: they are brought over a tile at a time.
    """
    walk = _Walk(network, features, tiling)
    for stage in network.layers:
        assert isinstance(stage, Stage)
        for block in stage.blocks:
            assert isinstance(block, Block)
            walk.advance(block)
        walk.convolve(Windowed(stage.downsample.children()))
    return walk.normalised()


class _Walk:
    """The residual map x (B, T, F, C) on its way through the network, in one of two buffers."""

    def __init__(self, network: Dass, features: Tensor, tiling: Tiling) -> None:
        self.norm = network.classifier.norm
        self.tiling = tiling
        self.like = next(network.parameters())
        on_cpu = choose_backend(self.like, network.scan_backend) == "cpu"
        self.threaded = on_cpu and self.like.dtype == torch.float32
        self.holding = self.spare = self.like.new_empty(0)
        self.x = features.unsqueeze(-1)
        self.convolve(Windowed(network.patch_embed))

    def convolve(self, layers: Windowed) -> None:
        """Put a stack of convolutions in the place of x."""
        if not layers.kernels:
            return
        x, columns = self.x, self.x.shape[1]
        shape = x.shape[0], layers.size(columns), layers.size(x.shape[2]), layers.channels
        out = self._room(*shape)

        def window(start: int, stop: int, first: int, last: int) -> None:
            low, high = layers.needs(first, last, columns)
            for item in range(start, stop):  # keeps the window's columns in one piece
                needed = x[item : item + 1, low:high].to(self.like)
                out[item : item + 1, first:last] = layers.window(needed, first, last, columns)

        self._do(window, self._chunks(out))
        self.x, self.holding, self.spare = out, self.spare, self.holding

    def advance(self, block: Block) -> None:
        """One block, x in place."""
        u = self._room(*self.x.shape)
        chunks = self._chunks(self.x)
        work = _BlockWork(block, self.x, u, fused=self.threaded)
        if self.threaded:
            scan = self._scan_at_once if self._is_short(u) else self._scan_by_chunk
            scan(work, chunks)
            return
        self._do(work.front, chunks)
        p = torch.cat([block.op.project(u[:, first:last]) for _, _, first, last in chunks], dim=1)
        y = block.op.scan(u, p)
        for start, stop, first, last in chunks:
            work.back(start, stop, first, last, y[start:stop, first:last])

    def _is_short(self, u: Tensor) -> bool:
        """Whether one pass, which has two jobs an item, beats two passes by any number of threads."""
        jobs = min(2 * len(u), torch.get_num_threads())
        return u.shape[1] <= self.tiling.short and 2 * jobs > torch.get_num_threads()

    def _scan_by_chunk(self, work: "_BlockWork", chunks: list[Chunk]) -> None:
        """Two passes over the chunks; the scans are summarised in the first and run in the second."""
        op, u = work.block.op, work.u
        batch, _, rows, _ = u.shape
        count = len(chunks) // batch
        parameters = Parameters.of(*op.scan_parameters())
        scans = [ChunkedMapScan(parameters, rows, count) for _ in range(batch)]

        def first_pass(index: int) -> None:
            item, _, first, last = chunks[index]
            self._front(work, chunks[index])
            here = u[item, first:last].flatten(0, 1)
            scans[item].summarise(index % count, here, op.project(here).flatten(1))

        def second_pass(index: int) -> None:
            item, _, first, last = chunks[index]
            here = u[item, first:last].flatten(0, 1)
            y = torch.empty_like(here)
            scans[item].run(index % count, here, op.project(here).flatten(1), y)
            self._back(work, chunks[index], y.view(1, last - first, rows, -1))

        indices = [(index,) for index in range(len(chunks))]
        run_jobs(first_pass, indices)
        run_jobs(ChunkedMapScan.carry, [(scan,) for scan in scans])
        run_jobs(second_pass, indices)

    def _scan_at_once(self, work: "_BlockWork", chunks: list[Chunk]) -> None:
        """Short maps: p and y whole, each way of each item scanned in one go."""
        op, u = work.block.op, work.u
        parameters = Parameters.of(*op.scan_parameters())
        p = u.new_empty(*u.shape[:3], op.x_proj_weight.shape[:2].numel())
        ways = torch.empty(2, *u.shape)

        def first_pass(item: int, stop: int, first: int, last: int) -> None:
            self._front(work, (item, stop, first, last))
            p[item, first:last] = op.project(u[item, first:last]).flatten(2)

        def scan(item: int, way: int) -> None:
            scan_way(parameters, u[item], p[item], ways[way, item], reverse=bool(way))

        def second_pass(item: int, stop: int, first: int, last: int) -> None:
            y = ways[0, item:stop, first:last].add_(ways[1, item:stop, first:last])
            self._back(work, (item, stop, first, last), y)

        run_jobs(first_pass, chunks)
        run_jobs(scan, [(item, way) for item in range(len(u)) for way in (0, 1)])
        run_jobs(second_pass, chunks)

    def _front(self, work: "_BlockWork", chunk: Chunk) -> None:
        start, stop, first, last = chunk
        for a, b in spans(first, last, self.tiling.tile // work.x.shape[2]):
            work.front(start, stop, a, b)

    def _back(self, work: "_BlockWork", chunk: Chunk, y: Tensor) -> None:
        start, stop, first, last = chunk
        for a, b in spans(first, last, self.tiling.tile // work.x.shape[2]):
            work.back(start, stop, a, b, y[:, a - first : b - first])

    def normalised(self) -> Tensor:
        """x after the classifier's norm, in memory of its own; the walk is over."""
        self.spare = self.spare.new_empty(0)
        out = torch.empty_like(self.x)
        for start, stop, first, last in self._chunks(self.x):
            out[start:stop, first:last] = self.norm(self.x[start:stop, first:last])
        return out

    def _room(self, *shape: int) -> Tensor:
        """A map in the buffer that does not hold x."""
        count = torch.Size(shape).numel()
        if self.spare.numel() < count:
            self.spare = self.like.new_empty(count)
        return self.spare[:count].view(shape)

    def _chunks(self, x: Tensor) -> list[Chunk]:
        """What is done at a time: chunks of single items on a CPU (as many for each item), else slabs of the batch."""
        batch, columns, rows = x.shape[:3]
        if not self.threaded:
            return [
                (0, batch, *span) for span in spans(0, columns, self.tiling.slab // (batch * rows))
            ]
        share = -(-columns * batch // torch.get_num_threads())
        size = min(self.tiling.chunk // rows, share)
        return [(i, i + 1, *span) for i in range(batch) for span in spans(0, columns, size)]

    def _do(self, function: Callable[..., None], chunks: list[Chunk]) -> None:
        if self.threaded:
            run_jobs(function, chunks)
        else:
            for chunk in chunks:
                function(*chunk)


class _BlockWork:
    """One block's work on a window of columns, before and after the scans; x and u are whole maps."""

    def __init__(self, block: Block, x: Tensor, u: Tensor, fused: bool) -> None:
        self.block, self.x, self.u = block, x, u
        self.depthwise = Windowed([block.op.conv2d])
        self.kernel = block.op.conv2d.weight.squeeze(1).permute(2, 1, 0).contiguous()
        self.fused = fused

    def front(self, start: int, stop: int, first: int, last: int) -> None:
        columns = self.x.shape[1]
        low, high = self.depthwise.needs(first, last, columns)
        v = self.block.op.in_proj(self.block.norm(self.x[start:stop, low:high]))
        u = self.u[start:stop, first:last]
        if not self.fused:
            u.copy_(F.silu(self.depthwise.window(v, first, last, columns)))
            return
        if high - low < last - first + 2:  # the true ends of the map
            v = F.pad(v, (0, 0, 0, 0, first - 1 < 0, last + 1 > columns))
        depthwise_silu(v[0], self.kernel, u[0])

    def back(self, start: int, stop: int, first: int, last: int, y: Tensor) -> None:
        block, x = self.block, self.x[start:stop, first:last]
        x += block.op.close(y)
        hidden = block.mlp.fc1(block.norm2(x))
        x += block.mlp.fc2(torch.ops.aten.gelu_(hidden))


def spans(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """Cut columns `first`..`last` into stretches of at most `size`, at least one."""
    size = max(1, size)
    return [(start, min(start + size, last)) for start in range(first, last, size)]


def largest_tensor(config: DassConfig, batch: int, frames: int, mels: int) -> int:
    """Elements of the largest tensor of `feature_map`: a map, or what is made of a slab of one."""
    columns, rows = frames, mels
    largest = batch * columns * rows
    halvings = 0 if config.patch else len(config.stem)
    for _ in range(halvings):
        columns, rows = -(-columns // 2), -(-rows // 2)
    if config.patch:
        columns, rows = columns // config.patch, rows // config.patch
    for channels in config.dims:
        positions = max(DEFAULT.slab, batch * rows)
        hidden = int(channels * config.mlp_ratio)
        largest = max(largest, batch * columns * rows * channels)
        largest = max(largest, min(positions, batch * columns * rows) * hidden)
        columns, rows = -(-columns // 2), -(-rows // 2)
    return largest
