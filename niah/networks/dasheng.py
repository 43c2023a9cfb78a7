"""Dasheng: a transformer on strips of 40 ms (arXiv 2406.06992; official `dasheng/pretrained/pretrained.py`).

    (B, T0, M) decibels -> at most 120 under the clip's loudest -> batch norm by mel band -> parts of 1,008 frames
    -> strips of all mels x 4 frames + time position -> blocks -> LayerNorm -> mean of the tokens of all parts
    -> LayerNorm -> linear

Glossary: B batch, T0 frames, M mels, N strips of a part, D width, P parts.

Frames that do not fill a strip are dropped by the convolution. The time table has 252 columns, those of 1,008 frames: a
longer input is split as the authors' `forward_spectrogram` does, and its last part stays as short as it is. No token
sees another part; the mean is over the tokens of all of them, so a short last part counts for less.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.layers.decibel_patches import (
    PARTS_AT_ONCE,
    BandNorm,
    output_layer,
    position_table,
)
from niah.networks.layers.vit import Block


@dataclass(frozen=True)
class DashengConfig:
    """Settings; the defaults are Dasheng base."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mels: int = 64
    strip_frames: int = 4
    part_frames: int = 1008
    classes: int = 527

    @property
    def part_tokens(self) -> int:
        """Return the strips of a whole part, those of the time table."""
        return self.part_frames // self.strip_frames

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of all parts of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one strip has.
        """
        if frames < self.strip_frames:
            raise NiahError(
                f"Dasheng needs at least {self.strip_frames} frames (one strip), got {frames}"
            )
        return frames // self.strip_frames


class StripEmbed(nn.Module):
    """Strips of all mels side by side: (B, T0, M) -> (B, N, D)."""

    def __init__(self, config: DashengConfig) -> None:
        super().__init__()
        size = (config.mels, config.strip_frames)
        self.proj = nn.Conv2d(1, config.width, size, stride=size)

    def forward(self, x: Tensor) -> Tensor:
        strips = x.unfold(1, self.proj.kernel_size[1], self.proj.stride[1])  # (B, N, M, 4)
        return F.linear(strips.flatten(2), self.proj.weight.flatten(1), self.proj.bias)


class Dasheng(nn.Module):
    """The tagger: (B, T0, M) decibels -> (B, classes) logits."""

    def __init__(self, config: DashengConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.init_bn = BandNorm(config.mels)
        self.patch_embed = StripEmbed(config)
        self.time_pos_embed = position_table(1, width, 1, config.part_tokens)
        self.freq_pos_embed = position_table(1, width, 1, 1)
        self.blocks = nn.Sequential(*[Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.outputlayer = output_layer(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.config.tokens(x.shape[1])
        x = self.init_bn(x)
        mean = self._sum_of_tokens(x) / tokens
        out: Tensor = self.outputlayer(mean.to(x.dtype))
        return out

    def _sum_of_tokens(self, x: Tensor) -> Tensor:
        """Add up the tokens of all parts: (B, T0, M) after the batch norm -> (B, D) float32."""
        size, at_once = self.config.part_frames, max(1, PARTS_AT_ONCE // len(x))
        whole = x.shape[1] // size
        sums = []
        for first in range(0, whole, at_once):
            parts = x[:, first * size : min(whole, first + at_once) * size]
            tokens = self._tokens(parts.reshape(-1, size, x.shape[2]))  # clip by clip
            sums.append(tokens.view(len(x), -1, tokens.shape[-1]).sum(dim=1, dtype=torch.float32))
        rest = x[:, whole * size :]
        if rest.shape[1] >= self.config.strip_frames:
            sums.append(self._tokens(rest).sum(dim=1, dtype=torch.float32))
        return torch.stack(sums).sum(dim=0)

    def _tokens(self, x: Tensor) -> Tensor:  # (B, frames, M) of one part each -> (B, N, D)
        strips = self.patch_embed(x)
        time = self.time_pos_embed[0, :, 0, : strips.shape[1]].t()  # (N, D)
        tokens: Tensor = self.norm(self.blocks(strips + time + self.freq_pos_embed.flatten()))
        return tokens
