"""DASS: VMamba's visual state-space network on a log-mel map (arXiv 2407.04082; official `dass.py`, `vmamba.py`).

    (B, T0, M) features -> stem -> 4 stages of blocks, halved in between -> LayerNorm -> mean over the map -> linear

Glossary: B batch, T0 frames, M mels, T time columns, F mel rows, C channels. Shapes beside the code are those of
DASS-small and -medium.

Maps are (B, T, F, C), channels last and time outermost, where the official code has (B, C, F, T). A linear layer or
a LayerNorm over channels is then torch's own; convolutions see the map with its two axes swapped, so their kernels
(kept as released: mel axis first) are transposed on use. Keys and shapes of the state dict are the official ones.

Every halving is a 3 x 3 stride-2 padding-1 convolution, out = ceil(in / 2); nothing depends on the length.
Padding frames are not masked: they count in the mean, as in the official code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.dass.blocks import NORM_EPS, SS2D, Block, convolve
from niah.networks.layers.pooling import POOLINGS, pool
from niah.scan import Backend

NEEDLE_FRAMES = 1024  # of the 10 s training clips; "top-k" pools this share of a scene


@dataclass(frozen=True)
class DassConfig:
    """Settings; the defaults are DASS-small, and medium has depths (2, 2, 20, 2)."""

    depths: tuple[int, ...] = (2, 2, 8, 2)
    dims: tuple[int, ...] = (96, 192, 384, 768)
    stem: tuple[int, ...] = (48, 96)  # channels after each halving before the first stage
    patch: int = 0  # side of patches, which then replace the stem's halvings; 0 for none
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

    def check_frames(self, frames: int) -> None:
        """Check the length of an input.

        Raises:
            NiahError: fewer frames than one patch has, or none.
        """
        least = self.patch or 1
        if frames < least:
            raise NiahError(f"DASS needs at least {least} frames (one patch), got {frames}")


def halving(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Return the convolution that halves a map: (B, T, F, C) -> (B, ceil(T/2), ceil(F/2), C')."""
    return nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)


class MapLayers(nn.Sequential):
    """A Sequential over (B, T, F, C) maps; Identity entries keep the official key numbers."""

    def forward(self, x: Tensor) -> Tensor:  # (B, T, F, C) -> (B, T', F', C')
        for layer in self:
            x = convolve(x, layer) if isinstance(layer, nn.Conv2d) else layer(x)
        return x


def stem(channels: Sequence[int]) -> MapLayers:
    """Return halvings with LayerNorm, GELU between them; keys 0 conv, 2 norm, (4 GELU), 5 conv, 7 norm, ..."""
    layers: list[nn.Module] = []
    for before, after in zip((1, *channels), channels, strict=False):
        if layers:
            layers += [nn.Identity(), nn.GELU()]
        layers += [halving(before, after), nn.Identity(), nn.LayerNorm(after, eps=NORM_EPS)]
    return MapLayers(*layers)


def patch_stem(patch: int, channels: int) -> MapLayers:
    """Return a convolution over adjacent patches; frames that do not fill one are dropped. Keys 0 conv, 2 norm."""
    conv = nn.Conv2d(1, channels, patch, stride=patch)
    return MapLayers(conv, nn.Identity(), nn.LayerNorm(channels, eps=NORM_EPS))


class Stage(nn.Module):
    """Blocks on a map of one size, then a halving with twice the channels (none after the last stage)."""

    def __init__(self, blocks: list[Block], downsample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)  # (B, T, F, C)
        out: Tensor = self.downsample(x)  # (B, T/2, F/2, 2 C)
        return out


class Classifier(nn.Module):
    """LayerNorm, a linear head and a pooling; as the head is linear, it may come before the pooling."""

    def __init__(self, channels: int, classes: int, pooling: str = "average") -> None:
        super().__init__()
        self.pooling = pooling
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return self.pooled(self.norm(x), frames)

    def pooled(self, x: Tensor, frames: int) -> Tensor:
        """Return the logits of a normalised map.

        Args:
            x: (B, T, F, C) after the norm.
            frames: T0 of the input, for "top-k".

        Returns:
            (B, classes).
        """
        if self.pooling == "average":
            mean = x.mean(dim=(1, 2))  # (B, C)
            out: Tensor = self.head(mean)  # (B, classes)
            return out
        z = self.head(x)  # (B, T, F, classes)
        return pool(z, self.pooling, min(1.0, NEEDLE_FRAMES / frames))  # (B, classes)


class Dass(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: DassConfig) -> None:
        super().__init__()
        self.config = config
        dims = config.dims
        rates = torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist()
        self.patch_embed = patch_stem(config.patch, dims[0]) if config.patch else stem(config.stem)
        self.layers = nn.ModuleList()
        for i, depth in enumerate(config.depths):
            blocks = [
                Block(
                    dims[i],
                    mlp_ratio=config.mlp_ratio,
                    initial_A=config.initial_A,
                    drop_path=rates.pop(0),
                )
                for _ in range(depth)
            ]
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

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        x = self.last_map(x)  # (B, T0/32, M/32, 768)
        out: Tensor = self.classifier(x, frames)  # (B, classes)
        return out

    def last_map(self, x: Tensor) -> Tensor:
        """Return the map after the last stage; every map on the way is in memory as a whole.

        Args:
            x: (B, T0, M).

        Returns:
            (B, T, F, C), for DASS-small and -medium (B, T0/32, M/32, 768), each halving rounded up.
        """
        self.config.check_frames(x.shape[1])
        x = x.unsqueeze(-1)  # (B, T0, M, 1)
        x = self.patch_embed(x)  # (B, T0/4, M/4, 96)
        for (
            stage
        ) in self.layers:  # (B, T0/8, M/8, 192), (B, T0/16, M/16, 384), twice (B, T0/32, M/32, 768)
            x = stage(x)
        return x

    @property
    def scan_backend(self) -> Backend:
        """Return the backend of the scans."""
        return next(module.backend for module in self.modules() if isinstance(module, SS2D))

    def set_scan_backend(self, backend: Backend) -> None:
        """Set the backend of all scans."""
        for module in self.modules():
            if isinstance(module, SS2D):
                module.backend = backend


def _initialise_linear(linear: nn.Linear, std: float) -> None:
    """Initialise as VMamba does; its std of 0.02 is too small for narrow networks, which then start to learn late."""
    nn.init.trunc_normal_(linear.weight, std=std or linear.in_features**-0.5)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
