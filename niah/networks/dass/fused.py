"""DASS's blocks without gradients on a CUDA device: about thirteen launches a slab, and nothing computed twice.

    front   u = SiLU(depthwise(in_proj(norm(x))));  p = x_proj(u)
    scan    y = the four scans of u, in place of u
    back    x += out_proj(out_norm(y));  x += fc2(gelu(fc1(norm2(x)))) + bias

Residuals are added by the matrix products that end in them. The last biases of a stage's MLPs are left out of x until
its last block, whose second LayerNorm adds all of them. Until then each LayerNorm adds what x lacks to what it
normalises, which costs nothing, where adding them to x would write the map once more for each block. What the kernels
need of the weights (transposed, padded, exponentiated, summed) is prepared once for each network.

Between the scans a slab of time is processed at a time: the MLP's hidden layer, four times as wide as the map, then
takes 128 MB at most. Smaller slabs, whose hidden layer fits the L2 cache, are slower.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from niah.networks.dass.blocks import NORM_EPS, Block
from niah.networks.dass.fused_kernels import depthwise_silu, layer_norm
from niah.networks.dass.linear_gelu import linear_gelu
from niah.networks.versions import Versions
from niah.scan import DIRECTIONS
from niah.scan.triton.cross import aligned_row, cross_scan

HIDDEN = 1 << 26  # elements of a slab's hidden layer


@dataclass(frozen=True)
class FusedBlock:
    """The weights of a block as the kernels take them; C channels, P elements of a direction's coordinates."""

    norm: tuple[Tensor, Tensor]
    in_proj: Tensor  # (C, C), transposed
    depthwise: Tensor  # (9, C), time first
    x_proj: Tensor  # (C, 4 P), transposed
    scan: tuple[Tensor, ...]  # dt_weight, dt_bias, A, D
    rank: int
    out_norm: tuple[Tensor, Tensor]
    out_proj: Tensor  # (C, C), transposed
    norm2: tuple[Tensor, Tensor]
    fc1: tuple[Tensor, Tensor]
    fc2: Tensor  # the weight, transposed
    lacking: Tensor | None  # (C,), the biases that x lacks when it enters; None for none
    add: Tensor | None  # (C,), its own bias in the last block, which then adds both

    @classmethod
    def of(cls, block: Block, lacking: Tensor | None, *, is_last: bool) -> "FusedBlock":
        """Prepare a block's weights."""
        op, mlp = block.op, block.mlp
        channels = op.in_proj.in_features
        x_proj = op.x_proj_weight.new_zeros(DIRECTIONS, aligned_row(op.rank), channels)
        x_proj[:, : op.rank + 2] = op.x_proj_weight
        return cls(
            norm=(block.norm.weight, block.norm.bias),
            in_proj=op.in_proj.weight.t(),
            depthwise=op.conv2d.weight.squeeze(1).permute(2, 1, 0).reshape(9, channels),
            x_proj=x_proj.flatten(0, 1).t(),
            scan=tuple(x.contiguous() for x in op.scan_parameters()),
            rank=op.rank,
            out_norm=(op.out_norm.weight, op.out_norm.bias),
            out_proj=op.out_proj.weight.t(),
            norm2=(block.norm2.weight, block.norm2.bias),
            fc1=(mlp.fc1.weight, mlp.fc1.bias),
            fc2=mlp.fc2.weight.t(),
            lacking=lacking,
            add=mlp.fc2.bias if is_last else None,
        )

    def advance(self, x: Tensor, room: Callable[..., Tensor]) -> None:
        """Run the block, with x in place.

        Args:
            x: (B, T, F, C), contiguous, less `lacking`; afterwards also less the MLP's bias, and whole behind the last
                block.
            room: returns a contiguous tensor of a shape, of x's dtype and device, for u.
        """
        u = room(*x.shape)
        row = self.x_proj.shape[1]
        p = x.new_empty(*x.shape[:3], row)
        for part in self._slabs(x):
            self._front(x, u, p, *part)
        coordinates = p.view(*x.shape[:3], DIRECTIONS, -1)[..., : self.rank + 2]
        y = cross_scan(u, coordinates, *self.scan, out=u)
        del p, coordinates
        for item, first, last in self._slabs(x):
            self._back(x[item, first:last], y[item, first:last])

    def _slabs(self, x: Tensor) -> list[tuple[slice, int, int]]:
        """Cut a map into slabs of time: of all items if they fit into one, else of one item after another."""
        batch, columns, rows, _ = x.shape
        positions = max(rows, HIDDEN // self.fc1[0].shape[0])
        if batch * columns * rows <= positions:
            return [(slice(0, batch), 0, columns)]
        size = max(1, positions // rows)
        starts = range(0, columns, size)
        return [
            (slice(item, item + 1), first, min(first + size, columns))
            for item in range(batch)
            for first in starts
        ]

    def _front(self, x: Tensor, u: Tensor, p: Tensor, items: slice, first: int, last: int) -> None:
        low, high = max(0, first - 1), min(x.shape[1], last + 1)
        around = x[items, low:high]
        normal = layer_norm(around, *self.norm, NORM_EPS, before=self.lacking)
        v = torch.mm(normal.flatten(0, 2), self.in_proj)
        here = u[items, first:last]
        depthwise_silu(v.view(around.shape), self.depthwise, here, first - low)
        torch.mm(here.flatten(0, 2), self.x_proj, out=p[items, first:last].flatten(0, 2))

    def _back(self, x: Tensor, y: Tensor) -> None:
        rows = x.flatten(0, 2)
        normal = layer_norm(y.flatten(0, 2), *self.out_norm, NORM_EPS, x.dtype)
        rows.addmm_(normal, self.out_proj)
        normal = layer_norm(rows, *self.norm2, NORM_EPS, before=self.lacking, add=self.add)
        rows.addmm_(linear_gelu(normal, *self.fc1), self.fc2)


_prepared: WeakKeyDictionary[nn.Sequential, tuple[Versions, Hashable, list[FusedBlock]]] = (
    WeakKeyDictionary()
)


def prepared(blocks: nn.Sequential) -> list[FusedBlock]:
    """Return the weights of a stage's blocks as the kernels take them, prepared again when they changed."""
    if blocks in _prepared:
        versions, then, fused = _prepared[blocks]
        if versions.now() == then:
            return fused
    versions, fused, lacking = Versions(blocks), [], None
    for number, block in enumerate(blocks, 1):
        assert isinstance(block, Block)
        fused.append(FusedBlock.of(block, lacking, is_last=number == len(blocks)))
        bias = block.mlp.fc2.bias.float()
        lacking = bias if lacking is None else lacking + bias
    _prepared[blocks] = versions, versions.now(), fused
    return fused
