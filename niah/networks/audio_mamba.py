"""Audio Mamba of Lin and Hu: VMamba's blocks between HTS-AT's front and its head (arXiv 2405.13636).

    (B, T, M) decibels -> batch norm over mels -> stretched to n S frames -> folded into an (n M, S) image
      -> patches -> 4 stages of state-space blocks, halved in between -> LayerNorm -> unfolded into time order
      -> convolution to classes -> mean over time

Glossary: B batch, T frames, M mels, S frames a chunk, n chunks, C channels. Folding, stretching and the order in time
are HTS-AT's (`niah.networks.htsat`), the backbone is DASS's (`niah.networks.dass`).

Published: 64 mels at 32 kHz, 1024 frames folded as HTS-AT does, a VMamba backbone initialised from ImageNet weights,
about 40 million parameters, mAP 0.440; the authors' configuration adds HTS-AT's token-semantic head, drop path 0.2 and
a clip-wise binary cross-entropy. No model code and no weights are public, so there is nothing to compare with.

Our choices, where the paper is silent:
- The blocks are VMamba's `v05_noz` as in DASS (state size 1, no expansion, an MLP), with depths 2, 2, 13, 2, which
  gives 40 million parameters.
- Any length: an input longer than 1024 frames is stretched to the next whole number of chunks (at the benchmark's
  lengths by 2.4 %, as the needle alone, or less) and folded into a taller image. Nothing else depends on the length:
  scans run across the chunks, and the head takes the mean over all columns.
- The backbone gets the image with rows outermost, in the place of time, as the rows grow with the length. Kernels and
  scans therefore treat rows as time, which matters only for a start from image weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.dass.network import DassConfig
from niah.networks.dass.tiled import TiledDass
from niah.networks.htsat import fold, in_time_order, stretch
from niah.scan import Backend


@dataclass(frozen=True)
class AudioMambaConfig:
    """Settings; the defaults give about 40 million parameters."""

    mels: int = 64
    side: int = 256
    least_chunks: int = 4  # shorter inputs are stretched to this many: 1024 frames
    patch: int = 4
    dims: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (2, 2, 13, 2)
    mlp_ratio: float = 4.0
    classes: int = 527
    drop_path: float = 0.2
    initial_A: float = 1.0
    initial_std: float = 0.02

    def __post_init__(self) -> None:
        for name in ("dims", "depths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.mels % self.reduction or self.side % self.reduction:
            raise ValueError(
                f"mels {self.mels} and side {self.side} must be multiples of {self.reduction}"
            )

    @property
    def reduction(self) -> int:
        """Return the number of image rows, or columns, per row or column of the last map."""
        return self.patch << (len(self.dims) - 1)

    def chunks(self, frames: int) -> int:
        """Return the number of chunks that an input of `frames` frames is stretched to."""
        return max(self.least_chunks, -(-frames // self.side))

    def backbone(self) -> DassConfig:
        """Return the settings of the backbone."""
        return DassConfig(
            depths=self.depths,
            dims=self.dims,
            patch=self.patch,
            mlp_ratio=self.mlp_ratio,
            classes=self.classes,
            drop_path=self.drop_path,
            initial_A=self.initial_A,
            initial_std=self.initial_std,
        )


class AudioMamba(nn.Module):
    """The tagger: (B, T, M) log-mel in decibels -> (B, classes) logits, any length."""

    def __init__(self, config: AudioMambaConfig) -> None:
        super().__init__()
        self.config = config
        self.bn0 = nn.BatchNorm1d(config.mels)
        self.backbone = TiledDass(config.backbone())
        self.backbone.classifier.head = nn.Identity()  # type: ignore[assignment]
        rows = config.mels // config.reduction
        self.tscam_conv = nn.Conv2d(config.dims[-1], config.classes, (rows, 3), padding=(0, 1))
        std = config.initial_std or (config.dims[-1] * rows * 3) ** -0.5
        nn.init.trunc_normal_(self.tscam_conv.weight, std=std)
        assert self.tscam_conv.bias is not None
        nn.init.zeros_(self.tscam_conv.bias)

    @property
    def scan_backend(self) -> Backend:
        """Return the backend of the scans."""
        return self.backbone.scan_backend

    def set_scan_backend(self, backend: Backend) -> None:
        """Set the backend of all scans."""
        self.backbone.set_scan_backend(backend)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and not torch.is_grad_enabled():
            return self._logits(x, self.backbone.feature_map)  # a tile of rows at a time
        return self.whole(x)

    def whole(self, x: Tensor) -> Tensor:
        """Run `forward` without tiles: differentiable, and the pass on which operations are counted."""
        return self._logits(x, self._whole_map)

    def _logits(self, x: Tensor, feature_map: Callable[[Tensor], Tensor]) -> Tensor:
        if x.shape[1] == 0:
            raise NiahError("Audio Mamba needs at least one frame, got 0")
        chunks = self.config.chunks(x.shape[1])
        x = self.bn0(x.transpose(1, 2)).transpose(1, 2)
        image = fold(stretch(x, chunks * self.config.side), self.config.side)
        y = in_time_order(feature_map(image), chunks)  # (B, C, rows a chunk, columns of all chunks)
        out: Tensor = self.tscam_conv(y)  # (B, classes, 1, columns)
        return torch.mean(out, dim=(2, 3))

    def _whole_map(self, image: Tensor) -> Tensor:  # (B, n M, S) -> (B, n M / 32, S / 32, C)
        out: Tensor = self.backbone.classifier.norm(self.backbone.last_map(image))
        return out
