"""DASS without gradients in bounded memory: the same network on one tile of time at a time.

Only the residual map x, which every block updates in place, and u, the input of a block's scans, grow with the length.
A block is two passes over time:

    front   u = SiLU(depthwise(in_proj(norm(x))))        a column of halo on each side; x is not changed
    back    y = the four scans of u;  x += out_proj(out_norm(y));  x += mlp(norm2(x))

Everything else (projections p, y, the MLP's hidden layer, four times as wide as the map) exists for one tile only.
Scans are summarised chunk by chunk in the first pass and run in the second (`niah.scan.cpu.map`). The projections are
computed in both, which costs 3 % of the matrix work and saves a third of a map. Halvings and the stem read the columns
that they need (`niah.networks.dass.windows`) and write into the buffer of u, which is then free.

On a CPU in float32 every worker thread processes chunks of time from start to end, with single-threaded BLAS. Long maps
have one buffer (`niah.networks.dass.map_buffers`): halvings write over their own input, and where the rest of it has no
room for u, in the first stage, u is computed in both passes (`niah.networks.dass.block_work`). A first map past half of
the machine's memory is never whole (`niah.networks.dass.first_stage`).
Elsewhere, or with another scan, u, p and y are whole maps (the input of `niah.scan.cross_scan`) and everything else is
cut into slabs.

Glossary as in `niah.networks.dass.network`; L = columns x F, the positions of a tile.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from niah.networks.dass.block_work import BlockWork, MapWork, RecomputedInput, StoredInput
from niah.networks.dass.blocks import Block
from niah.networks.dass.first_stage import FirstStage
from niah.networks.dass.map_buffers import MapBuffers, waves
from niah.networks.dass.network import Dass, Stage
from niah.networks.dass.tiling import DEFAULT, Tiling
from niah.networks.dass.windows import Chunk, Windowed, parts, spans
from niah.scan import choose_backend
from niah.scan.cpu.map import ChunkedMapScan, Parameters, scan_way
from niah.system.memory import free_cached
from niah.system.threads import run_jobs, single_threaded_torch, threads_of_jobs


class TiledDass(Dass):
    """DASS on one tile of time at a time wherever no gradient is needed; equal to `Dass` up to rounding."""

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, classes)
        if self.training or torch.is_grad_enabled():
            return self.whole(x)
        return self.classifier.pooled(feature_map(self, x), x.shape[1])

    def whole(self, x: Tensor) -> Tensor:
        """Run `Dass.forward` without tiles: differentiable, and the reference in tests of the tiles."""
        return super().forward(x)

    @torch.no_grad()
    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last map (B, T, F, C) of features (B, T0, M), after the classifier's norm, in bounded memory."""
        return feature_map(self, x).clone()  # of that size, where the view is of a buffer

    @torch.no_grad()
    def position_logits(self, x: Tensor) -> Tensor:
        """Compute the head's logits at every position of the last map; pooled, they are the model's logits.

        Args:
            x: (B, T0, M) features.

        Returns:
            (B, T, F, classes).
        """
        out: Tensor = self.classifier.head(self.feature_map(x))
        return out


def feature_map(network: Dass, features: Tensor, tiling: Tiling = DEFAULT) -> Tensor:
    """Compute the last map after the classifier's norm.

    Args:
        network: is not changed.
        features: (B, T0, M), of any device and dtype: one tile at a time is converted to the network's.
        tiling: sizes of the tiles.

    Returns:
        (B, T, F, C), possibly a view of a larger buffer.

    Raises:
        NiahError: fewer frames than one patch has.
    """
    network.config.check_frames(features.shape[1])
    threaded = _is_threaded(network)
    fused = _is_fused(network)
    if fused:
        from niah.networks.dass.fused import prepared
    with single_threaded_torch() if threaded else nullcontext():
        tiled_pass = _TiledPass(network, features, tiling, threaded=threaded, fused=fused)
        for stage in tiled_pass.begin(network):
            if fused:
                for work in prepared(stage.blocks):
                    work.advance(tiled_pass.x, tiled_pass.buffers.room)
            else:
                for block in stage.blocks:
                    assert isinstance(block, Block)
                    tiled_pass.advance(block)
            tiled_pass.convolve(Windowed(stage.downsample.children(), fused=fused))
            if threaded and tiled_pass.x.numel() > tiling.second // 2:
                tiled_pass.buffers.shrink(tiled_pass.x.numel())
                free_cached(tiled_pass.like.device)  # the next stage's tiles have other sizes
        return tiled_pass.normalised()


def _is_threaded(network: Dass) -> bool:
    """Return whether each job runs in one thread, rather than as torch's large operations, which autocast wants."""
    like = next(network.parameters())
    cpu = choose_backend(like, network.scan_backend) == "cpu" and like.dtype == torch.float32
    return cpu and not torch.is_autocast_enabled(like.device.type)


def _is_fused(network: Dass) -> bool:
    """Return whether blocks run in few launches of Triton's; autocast, which chooses dtypes itself, wants torch's."""
    like = next(network.parameters())
    triton = choose_backend(like, network.scan_backend) == "triton"
    return triton and not torch.is_autocast_enabled(like.device.type)


class _TiledPass:
    """The residual map x (B, T, F, C) on its way through the network, in one of two buffers."""

    def __init__(
        self, network: Dass, features: Tensor, tiling: Tiling, *, threaded: bool, fused: bool
    ) -> None:
        self.norm = network.classifier.norm
        self.tiling = tiling
        self.threaded, self.fused = threaded, fused
        self.like = next(network.parameters())
        self.buffers = MapBuffers(self.like)
        self.x = features.unsqueeze(-1)

    def begin(self, network: Dass) -> list[Stage]:
        """Run the stem, and the first stage where its map is too large to be whole; return the stages that are left."""
        stages = [stage for stage in network.layers if isinstance(stage, Stage)]
        assert len(stages) == len(network.layers)
        stem = Windowed(network.patch_embed, fused=self.fused)
        batch, frames, mels = self.x.shape[:3]
        shape = batch, stem.size(frames), stem.size(mels), stem.channels
        halving = Windowed(stages[0].downsample.children())
        if (
            not self.threaded
            or not halving.kernels
            or torch.Size(shape).numel() <= self.tiling.first
        ):
            self.convolve(stem)
            return stages
        blocks = []
        for block in stages[0].blocks:
            assert isinstance(block, Block)
            tile = self._positions(block) // shape[2]
            blocks.append(BlockWork(block, shape[1], tile, fused=True))
        chunks = [(first, last) for item, _, first, last in self._chunks(shape) if item == 0]
        out = self.buffers.room(
            batch, halving.size(shape[1]), halving.size(shape[2]), halving.channels
        )
        FirstStage(self.x, stem, blocks, halving, chunks, shape[2]).run(out)
        self.x = out
        self.buffers.swap()
        return stages[1:]

    def convolve(self, layers: Windowed) -> None:
        """Replace x by the output of a stack of convolutions."""
        if not layers.kernels:
            return
        x, columns = self.x, self.x.shape[1]
        shape = x.shape[0], layers.size(columns), layers.size(x.shape[2]), layers.channels
        if not self.threaded and len(self._windows(*shape)) == 1:
            whole = layers.window(x[:, :columns].to(self.like), 0, shape[1], columns)
            self.x = whole.to(self.like)
            self.buffers.release()
            return
        in_place = self._fits_over_x(shape)
        out = self.buffers.front(x, *shape) if in_place else self.buffers.room(*shape)

        def needs(first: int, last: int) -> tuple[int, int]:
            return layers.needs(first, last, columns)

        def window(start: int, stop: int, first: int, last: int) -> None:
            low, high = needs(first, last)
            for item in range(start, stop):  # one item's window is contiguous
                needed = x[item : item + 1, low:high].to(self.like)
                layers.window(needed, first, last, columns, out[item : item + 1, first:last])

        chunks = self._chunks(out.shape)
        is_long = self.buffers.holds(x) and x.numel() > self.tiling.second
        if self.threaded and is_long:  # torch copies windows: smaller ones, with the same bits
            size = max(1, self.tiling.window // max(x[0, 0].numel(), out[0, 0].numel()))
            chunks = [(*chunk[:2], *span) for chunk in chunks for span in parts(*chunk[2:], size)]
        if not in_place:
            self._do(window, chunks)
            self.x = out
            self.buffers.swap()
            return
        of_an_item = [chunk for chunk in chunks if chunk[0] == 0]
        for wave in waves(of_an_item, needs, x[0, 0].numel(), out[0, 0].numel()):
            run_jobs(window, [(i, i + 1, *chunk[2:]) for chunk in wave for i in range(len(x))])
        self.x = self.buffers.pack(out)

    def _fits_over_x(self, shape: tuple[int, int, int, int]) -> bool:
        """Return whether a halving had better write over its input."""
        x, (_, columns, rows, channels) = self.x, shape
        if not self.threaded or not self.buffers.holds(x):
            return False
        if self.buffers.is_free(torch.Size(shape).numel(), self.tiling.second):
            return False
        return 2 * columns <= x.shape[1] + 1 and rows * channels <= x[0, 0].numel()

    def advance(self, block: Block) -> None:
        """Run one block, with x in place."""
        work = MapWork(block, self.x, self._tile(block), fused=self.threaded)
        if self.threaded and self._is_short():
            self._scan_whole(work, self._chunks(self.x.shape, self._items(block)))
            return
        chunks = self._chunks(self.x.shape)
        if self.threaded:
            self._scan_by_chunk(work, chunks)
            return
        u = self.buffers.room(*self.x.shape)
        if torch.is_autocast_enabled(u.device.type):  # as in training, where u leaves a convolution
            u = u.new_empty(u.shape, dtype=torch.get_autocast_dtype(u.device.type))
        for chunk in chunks:
            work.front(chunk, u[:, chunk[2] : chunk[3]])
        p = torch.cat([block.op.project(u[:, first:last]) for _, _, first, last in chunks], dim=1)
        y = block.op.scan(u, p)
        for chunk in chunks:
            work.back(chunk, y[:, chunk[2] : chunk[3]])

    def _is_short(self) -> bool:
        """Return whether one pass of two jobs an item is faster than two passes on all threads."""
        jobs = min(2 * len(self.x), threads_of_jobs())
        return self.x.shape[1] <= self.tiling.short and 2 * jobs > threads_of_jobs()

    def _scan_by_chunk(self, work: MapWork, chunks: list[Chunk]) -> None:
        """Run two passes over the chunks: the first summarises the scans, the second runs them."""
        inputs: StoredInput | RecomputedInput = RecomputedInput(work)
        if self.buffers.is_free(self.x.numel(), self.tiling.second):
            inputs = StoredInput(work, self.buffers.room(*self.x.shape))
        op = work.block.op
        batch, _, rows, _ = work.x.shape
        count = len(chunks) // batch
        parameters = Parameters.of(*op.scan_parameters())
        scans = [ChunkedMapScan(parameters, rows, count) for _ in range(batch)]

        def first_pass(index: int) -> None:
            u = inputs.first(chunks[index])
            scans[chunks[index][0]].summarise(index % count, u, op.project(u).flatten(1))

        def second_pass(index: int) -> None:
            item, _, first, last = chunks[index]
            u = inputs.again(chunks[index])
            y = torch.empty_like(u)
            scans[item].run(index % count, u, op.project(u).flatten(1), y)
            work.back(chunks[index], y.view(1, last - first, rows, -1))

        indices = [(index,) for index in range(len(chunks))]
        run_jobs(first_pass, indices)
        run_jobs(ChunkedMapScan.carry, [(scan,) for scan in scans])
        inputs.keep_edges(chunks)
        run_jobs(second_pass, indices)

    def _scan_whole(self, work: MapWork, chunks: list[Chunk]) -> None:
        """Scan short maps in one pass: p and y are whole maps, and each direction of time of an item is one job."""
        op, u = work.block.op, self.buffers.room(*work.x.shape)
        parameters = Parameters.of(*op.scan_parameters())
        p = u.new_empty(*u.shape[:3], op.x_proj_weight.shape[:2].numel())
        ways = torch.empty(2, *u.shape)

        def first_pass(start: int, stop: int, first: int, last: int) -> None:
            here = u[start:stop, first:last]
            work.front((start, stop, first, last), here)
            p[start:stop, first:last] = op.project(here).flatten(3)

        def scan(item: int, way: int) -> None:
            scan_way(parameters, u[item], p[item], ways[way, item], reverse=bool(way))

        def second_pass(start: int, stop: int, first: int, last: int) -> None:
            y = ways[0, start:stop, first:last].add_(ways[1, start:stop, first:last])
            work.back((start, stop, first, last), y)

        run_jobs(first_pass, chunks)
        run_jobs(scan, [(item, way) for item in range(len(u)) for way in (0, 1)])
        run_jobs(second_pass, chunks)

    def _tile(self, block: Block) -> int:
        """Return the columns of a matrix product."""
        if not self.threaded:  # a slab is one
            return self.x.shape[1]
        return self._positions(block) // self.x.shape[2]

    def _positions(self, block: Block) -> int:
        """Return the positions of a matrix product."""
        return max(self.tiling.tile, self.tiling.hidden // block.mlp.fc1.out_features)

    def _items(self, block: Block) -> int:
        """Return the number of whole items in one matrix product: at least one, and some for each thread."""
        batch, columns, rows = self.x.shape[:3]
        share = -(-batch // threads_of_jobs())
        return max(1, min(self._positions(block) // (columns * rows), share))

    def normalised(self) -> Tensor:
        """Return x after the classifier's norm; x is then no longer valid."""
        if not self.threaded and len(self._windows(*self.x.shape)) == 1:
            out: Tensor = self.norm(self.x)
            return out
        out = self.x if self.threaded else torch.empty_like(self.x)
        for start, stop, first, last in self._chunks(self.x.shape):
            out[start:stop, first:last] = self.norm(self.x[start:stop, first:last])
        return out

    def _chunks(self, shape: tuple[int, ...], items: int = 1) -> list[Chunk]:
        """Return the jobs on a map: chunks of `items` items on a CPU, of equal size, else slabs of the whole batch."""
        batch, columns, rows, channels = shape
        if not self.threaded:
            return self._windows(*shape)
        share = -(-columns * batch // threads_of_jobs())
        worthwhile = -(-self.tiling.job // (rows * channels))
        size = min(self.tiling.chunk // rows, max(share, worthwhile))
        groups = spans(0, batch, items)
        return [(*group, *span) for group in groups for span in spans(0, columns, size)]

    def _windows(self, batch: int, columns: int, rows: int, _: int) -> list[Chunk]:
        """Return slabs of the whole batch."""
        size = self.tiling.slab // (batch * rows)
        return [(0, batch, *span) for span in spans(0, columns, size)]

    def _do(self, function: Callable[..., None], chunks: list[Chunk]) -> None:
        if self.threaded:
            run_jobs(function, chunks)
        else:
            for chunk in chunks:
                function(*chunk)
