"""DASS's block: a state-space branch and an MLP, each on a residual (official `models/vmamba/vmamba.py`, `VSSBlock`).

    x <- x + SS2D(norm(x));   x <- x + MLP(norm2(x))

Glossary: B batch, T time columns, F mel rows, C channels, R = ceil(C / 16) rank of the step projection.
Maps are (B, T, F, C), as `niah.networks.dass.network` explains.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.drop_path import DropPath
from niah.networks.layers.init import draw_steps
from niah.networks.layers.mlp import Mlp
from niah.scan import DIRECTIONS, Backend, cross_scan

NORM_EPS = 1e-5


def convolve(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a convolution, whose kernel is stored mel axis first, to a map.

    Args:
        x: (B, T, F, C).
        conv: kernel (out, in, mel, time).

    Returns:
        (B, T', F', C').
    """
    kernel = conv.weight.transpose(2, 3)  # (out, in, time, mel)
    y = F.conv2d(
        x.permute(0, 3, 1, 2),  # (B, C, T, F)
        kernel,
        conv.bias,
        conv.stride,
        conv.padding,
        groups=conv.groups,
    )
    return y.permute(0, 2, 3, 1)


class OutNorm(nn.LayerNorm):
    """LayerNorm computed in at least float32, with outputs in its weights' dtype: scans may exceed float16."""

    def forward(self, x: Tensor) -> Tensor:
        dtype = self.weight.dtype
        wide = torch.promote_types(dtype, torch.float32)
        weight, bias = self.weight.to(wide), self.bias.to(wide)
        return F.layer_norm(x.to(wide), self.normalized_shape, weight, bias, self.eps).to(dtype)


class SS2D(nn.Module):
    """The state-space branch of a block (VMamba's `v05_noz`: no gate, d_inner = C, state size 1)."""

    def __init__(self, channels: int, initial_A: float) -> None:
        super().__init__()
        rank = math.ceil(channels / 16)
        self.rank = rank
        self.backend: Backend = "auto"
        self.in_proj = nn.Linear(channels, channels, bias=False)
        self.conv2d = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.x_proj_weight = nn.Parameter(torch.empty(DIRECTIONS, rank + 2, channels))
        self.dt_projs_weight = nn.Parameter(torch.empty(DIRECTIONS, channels, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(DIRECTIONS, channels))
        self.A_logs = nn.Parameter(torch.full((DIRECTIONS * channels, 1), math.log(initial_A)))
        self.Ds = nn.Parameter(torch.ones(DIRECTIONS * channels))
        self.out_norm = OutNorm(channels, eps=NORM_EPS)
        self.out_proj = nn.Linear(channels, channels, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise as VMamba does: steps log-uniform in [1e-3, 1e-1] through the bias, uniform projections."""
        channels, rank = self.dt_projs_weight.shape[1:]
        nn.init.uniform_(self.x_proj_weight, -(channels**-0.5), channels**-0.5)
        nn.init.uniform_(self.dt_projs_weight, -(rank**-0.5), rank**-0.5)
        draw_steps(self.dt_projs_bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_proj(x)  # (B, T, F, C)
        u = F.silu(convolve(x, self.conv2d))  # (B, T, F, C), depthwise 3 x 3
        p = self.project(u)  # (B, T, F, 4, R + 2)
        y = self.scan(u, p)  # (B, T, F, C), the sum of four directions
        return self.close(y)  # (B, T, F, C)

    def project(self, u: Tensor) -> Tensor:
        """Project (.., C) -> (.., 4, R + 2): R coordinates of the step, B and C, for each direction."""
        p = F.linear(u, self.x_proj_weight.flatten(0, 1))  # (.., 4 (R + 2))
        return p.view(*p.shape[:-1], DIRECTIONS, self.rank + 2)

    def scan_parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return dt_weight (4, C, R), dt_bias (4, C), A (4, C) in float32, D (4, C)."""
        A = -torch.exp(self.A_logs.float()).view(DIRECTIONS, -1)
        return self.dt_projs_weight, self.dt_projs_bias, A, self.Ds.view(DIRECTIONS, -1)

    def scan(self, u: Tensor, p: Tensor) -> Tensor:
        """Scan a map in four directions.

        Args:
            u: (B, T, F, C).
            p: (B, T, F, 4, R + 2) from `project`.

        Returns:
            (B, T, F, C), float32 for float16 maps.
        """
        return cross_scan(u, p, *self.scan_parameters(), backend=self.backend)

    def close(self, y: Tensor) -> Tensor:
        """Normalise and project the scans' output: (.., C) -> (.., C)."""
        out: Tensor = self.out_proj(self.out_norm(y))
        return out


class Block(nn.Module):
    """x + op(norm(x)), then x + mlp(norm2(x)); one drop-path rate for both."""

    elements_moved = 19  # per input element (`niah.bench.roofline`)

    def __init__(
        self, channels: int, *, mlp_ratio: float, initial_A: float, drop_path: float
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.op = SS2D(channels, initial_A)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPS)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.op(self.norm(x)))  # (B, T, F, C)
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))  # (B, T, F, C), 4 C inside
        return out
