"""DASS: VMamba's visual state-space network on a log-mel map (arXiv 2407.04082; official `dass.py`, `vmamba.py`).

    (B, T0, M) features -> stem -> 4 stages of blocks, halved in between -> LayerNorm -> mean over the map -> linear

Glossary: B batch, T0 frames, M mels, T time columns, F mel rows, C channels, R rank of the step projection.

Maps are (B, T, F, C), channels last and time outermost, where the official code has (B, C, F, T). A linear layer or
a LayerNorm over channels is then torch's own; convolutions see the map with its two axes swapped, so their kernels
(kept as released: mel axis first) are transposed on use. Keys and shapes of the state dict are the official ones.

Every halving is a 3 x 3 stride-2 padding-1 convolution, out = ceil(in / 2); nothing depends on the length.
Padding frames are not masked: they count in the mean, as in the official code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from torch import Tensor, nn

from niah.networks.layers.mlp import Mlp
from niah.networks.layers.pooling import POOLINGS, pool
from niah.scan import DIRECTIONS, Backend, cross_scan

NORM_EPS = 1e-5
NEEDLE_FRAMES = 1024  # of the 10 s clips it is trained on; what "top-k" takes as one needle's share


@dataclass(frozen=True)
class DassConfig:
    """Defaults are DASS-small; medium has depths (2, 2, 20, 2)."""

    depths: tuple[int, ...] = (2, 2, 8, 2)
    dims: tuple[int, ...] = (96, 192, 384, 768)
    stem: tuple[int, ...] = (48, 96)  # channels after each halving before the first stage
    patch: int = 0  # instead of halvings: one convolution over patches of so many mels and frames
    mlp_ratio: float = 4.0
    classes: int = 527
    drop_path: float = 0.2  # largest rate, reached linearly at the last block; training only
    initial_A: float = 1.0  # |A| at the start of training; a larger one is a shorter memory
    pooling: str = "average"  # of the last map's logits (`niah.networks.layers.pooling`); the paper's models average
    initial_std: float = 0.02  # of linear weights at the start of training; 0 is 1 / sqrt(inputs)

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling '{self.pooling}' is none of {', '.join(POOLINGS)}")
        for name in ("depths", "dims", "stem"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.depths) != len(self.dims) or (not self.patch and self.stem[-1] != self.dims[0]):
            raise ValueError(
                f"depths {self.depths}, dims {self.dims} and stem {self.stem} do not fit together"
            )


def convolve(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution with a (mel, time) kernel on a (B, T, F, C) map."""
    kernel = conv.weight.transpose(2, 3)
    y = F.conv2d(
        x.permute(0, 3, 1, 2),
        kernel,
        conv.bias,
        conv.stride,
        conv.padding,
        groups=conv.groups,
    )
    return y.permute(0, 2, 3, 1)


def halving(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)


class MapLayers(nn.Sequential):
    """A Sequential over (B, T, F, C) maps; Identity entries only hold the official key numbers."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = convolve(x, layer) if isinstance(layer, nn.Conv2d) else layer(x)
        return x


def stem(channels: Sequence[int]) -> MapLayers:
    """Halvings with LayerNorm, GELU between them; keys 0 conv, 2 norm, (4 GELU), 5 conv, 7 norm, ..."""
    layers: list[nn.Module] = []
    for before, after in zip((1, *channels), channels, strict=False):
        if layers:
            layers += [nn.Identity(), nn.GELU()]
        layers += [halving(before, after), nn.Identity(), nn.LayerNorm(after, eps=NORM_EPS)]
    return MapLayers(*layers)


def patch_stem(patch: int, channels: int) -> MapLayers:
    """Patches side by side; frames that do not fill one are dropped. Keys 0 conv, 2 norm."""
    conv = nn.Conv2d(1, channels, patch, stride=patch)
    return MapLayers(conv, nn.Identity(), nn.LayerNorm(channels, eps=NORM_EPS))


class OutNorm(nn.LayerNorm):
    """Takes float32 in a network of another dtype: scans may give more than float16 holds."""

    def forward(self, x: Tensor) -> Tensor:
        kind = self.weight.dtype
        if x.dtype == kind:
            return super().forward(x)
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(kind)


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
        """VMamba's start: steps log-uniform in [1e-3, 1e-1] through the bias, uniform projections."""
        channels, rank = self.dt_projs_weight.shape[1:]
        nn.init.uniform_(self.x_proj_weight, -(channels**-0.5), channels**-0.5)
        nn.init.uniform_(self.dt_projs_weight, -(rank**-0.5), rank**-0.5)
        step = torch.exp(
            torch.empty_like(self.dt_projs_bias).uniform_(math.log(1e-3), math.log(1e-1))
        )
        step = step.clamp(min=1e-4)
        with torch.no_grad():
            self.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus

    def forward(self, x: Tensor) -> Tensor:  # (B, T, F, C) -> (B, T, F, C)
        u = F.silu(convolve(self.in_proj(x), self.conv2d))
        return self.close(self.scan(u, self.project(u)))

    def project(self, u: Tensor) -> Tensor:  # (..., C) -> (..., 4, R + 2)
        p = F.linear(u, self.x_proj_weight.flatten(0, 1))
        return p.view(*p.shape[:-1], DIRECTIONS, self.rank + 2)

    def scan_parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """dt_weight (4, C, R), dt_bias (4, C), A (4, C) in float32, D (4, C)."""
        A = -torch.exp(self.A_logs.float()).view(DIRECTIONS, -1)
        return self.dt_projs_weight, self.dt_projs_bias, A, self.Ds.view(DIRECTIONS, -1)

    def close(self, y: Tensor) -> Tensor:
        """out_proj(out_norm(y)). The norm of a 16-bit network's y is in float32: it may exceed float16."""
        norm, project = self.out_norm, self.out_proj
        if project.weight.element_size() == 2:
            y, weight, bias = y.float(), norm.weight.float(), norm.bias.float()
            y = F.layer_norm(y, norm.normalized_shape, weight, bias, norm.eps).to(project.weight)
        else:
            y = norm(y)
        out: Tensor = project(y)
        return out

    def scan(self, u: Tensor, p: Tensor) -> Tensor:  # (B, T, F, C), (B, T, F, 4, R + 2) -> as u
        return cross_scan(u, p, *self.scan_parameters(), backend=self.backend)


class Block(nn.Module):
    """x + op(norm(x)), then x + mlp(norm2(x)); one drop-path rate for both."""

    def __init__(self, channels: int, config: DassConfig, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.op = SS2D(channels, config.initial_A)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPS)
        self.mlp = Mlp(channels, int(channels * config.mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.op(self.norm(x)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class Stage(nn.Module):
    def __init__(self, blocks: list[Block], downsample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(self.blocks(x))
        return out


class Classifier(nn.Module):
    """The head is linear, so that it may come before the pooling; before the average it need not."""

    def __init__(self, channels: int, classes: int, pooling: str = "average") -> None:
        super().__init__()
        self.pooling = pooling
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor, frames: int) -> Tensor:  # (B, T, F, C) -> (B, classes)
        return self.pooled(self.norm(x), frames)

    def pooled(self, x: Tensor, frames: int) -> Tensor:
        """(B, T, F, C) after the norm, of so many input frames -> (B, classes)."""
        if self.pooling == "average":
            out: Tensor = self.head(x.mean(dim=(1, 2)))
            return out
        return pool(self.head(x), self.pooling, min(1.0, NEEDLE_FRAMES / frames))


class Dass(nn.Module):
    """(B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: DassConfig) -> None:
        super().__init__()
        self.config = config
        dims = config.dims
        rates = torch.linspace(0, config.drop_path, sum(config.depths)).tolist()
        self.patch_embed = patch_stem(config.patch, dims[0]) if config.patch else stem(config.stem)
        self.layers = nn.ModuleList()
        for i, depth in enumerate(config.depths):
            blocks = [Block(dims[i], config, rates.pop(0)) for _ in range(depth)]
            downsample: nn.Module = nn.Identity()
            if i + 1 < len(dims):
                norm = nn.LayerNorm(dims[i + 1], eps=NORM_EPS)
                downsample = MapLayers(
                    nn.Identity(), halving(dims[i], dims[i + 1]), nn.Identity(), norm
                )
            self.layers.append(Stage(blocks, downsample))
        self.classifier = Classifier(dims[-1], config.classes, config.pooling)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _initialise_linear(module, config.initial_std)

    @property
    def scan_backend(self) -> Backend:
        return next(module.backend for module in self.modules() if isinstance(module, SS2D))

    def set_scan_backend(self, backend: Backend) -> None:
        for module in self.modules():
            if isinstance(module, SS2D):
                module.backend = backend

    def forward(self, x: Tensor) -> Tensor:
        if self._tiled:
            return self.classifier.pooled(self.feature_map(x), x.shape[1])
        return self.whole(x)

    def whole(self, x: Tensor) -> Tensor:
        """`forward` with every map whole: differentiable, and what the tiled path is tested against."""
        frames = x.shape[1]
        x = self.patch_embed(x.unsqueeze(-1))  # (B, T0, M, 1) -> (B, T0/4, M/4, C)
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.classifier(x, frames)
        return out

    @property
    def _tiled(self) -> bool:
        return not self.training and not torch.is_grad_enabled()

    @torch.no_grad()
    def feature_map(self, x: Tensor) -> Tensor:
        """(B, T0, M) -> the last map (B, T, F, C) after the classifier's norm, in bounded memory, without gradients."""
        from niah.networks.dass.tiled import feature_map

        return feature_map(self, x)

    @torch.no_grad()
    def position_logits(self, x: Tensor) -> Tensor:
        """(B, T0, M) -> (B, T, F, classes): the head at every position of the last map; pooled, they are the logits."""
        out: Tensor = self.classifier.head(self.feature_map(x))
        return out


def _initialise_linear(linear: nn.Linear, std: float) -> None:
    """VMamba's start; its 0.02 is too small for narrow networks, whose blocks then stay silent for long."""
    nn.init.trunc_normal_(linear.weight, std=std or linear.in_features**-0.5)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
