"""CED: a small vision transformer on patches of 16 x 16 (arXiv 2308.11957; official `models/audiotransformer.py`).

    (B, T0, M) decibels -> at most 120 under the clip's loudest -> batch norm by mel band -> parts of 1,012 frames
    -> patches + mel position + time position -> blocks -> LayerNorm -> mean of all tokens -> LayerNorm -> linear

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel x time), N = f t tokens, D width, P parts.

Tokens run row by row in mel. Frames that do not fill a patch are dropped by the convolution.

Lengths. The time table has 63 columns, those of 1,012 frames; a shorter input takes its first columns. A longer input
is split as the authors' `forward_spectrogram` does: the last part is filled up with zeros, which are the learned mean
of each mel band, and the probabilities of the parts are averaged. Of an input that is a whole number of parts, two or
more, the authors' code leaves the last part out, and so does this one: it gives their answer to every number of frames.
Their front end makes 100 L + 1 frames of L seconds and seldom meets the rule. Scenes have 100 L frames and meet it at
multiples of 10.12 s from 20.24 s on, of which 253 s is the first in whole seconds: its last 10.12 s are not heard.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.layers.decibel_patches import (
    PARTS_AT_ONCE,
    BandNorm,
    PatchEmbed,
    logit_of_mean_probability,
    output_layer,
    position_table,
)
from niah.networks.layers.vit import Block


@dataclass(frozen=True)
class CedConfig:
    """Settings; the defaults are CED base."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    mels: int = 64
    part_frames: int = 1012
    classes: int = 527

    @property
    def rows(self) -> int:
        """Return the patch rows."""
        return self.mels // self.patch

    @property
    def most_columns(self) -> int:
        """Return the patch columns of a part, those of the time table."""
        return self.part_frames // self.patch

    def parts(self, frames: int) -> int:
        """Return the number of parts of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one patch has.
        """
        if frames < self.patch:
            raise NiahError(f"CED needs at least {self.patch} frames (one patch), got {frames}")
        whole, rest = divmod(frames, self.part_frames)
        return whole + 1 if rest else max(1, whole - 1)

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of all parts of an input of `frames` frames."""
        columns = min(frames // self.patch, self.most_columns)
        return self.parts(frames) * self.rows * columns


class Ced(nn.Module):
    """The tagger: (B, T0, M) decibels -> (B, classes) logits."""

    def __init__(self, config: CedConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.init_bn = BandNorm(config.mels)
        self.patch_embed = PatchEmbed(width, config.patch)
        self.time_pos_embed = position_table(1, width, 1, config.most_columns)
        self.freq_pos_embed = position_table(1, width, config.rows, 1)
        self.blocks = nn.Sequential(*[Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.outputlayer = output_layer(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.config.parts(x.shape[1])
        x = self.init_bn(x)
        if x.shape[1] <= self.config.part_frames:
            return self.part_logits(x)
        return logit_of_mean_probability(self._logits_of_parts(x, parts))

    def part_logits(self, x: Tensor) -> Tensor:
        """Compute the logits of one part each: (B, 16 to 1,012 frames, M) after the batch norm -> (B, classes)."""
        patches = self.patch_embed(x)  # (B, f, t, D)
        mel, time = (
            table.permute(0, 2, 3, 1)  # (1, f or 1, 1 or t, D)
            for table in (self.freq_pos_embed, self.time_pos_embed[..., : patches.shape[2]])
        )
        tokens = self.norm(self.blocks((patches + time + mel).flatten(1, 2)))
        out: Tensor = self.outputlayer(tokens.mean(dim=1))
        return out

    def _logits_of_parts(self, x: Tensor, parts: int) -> Tensor:  # (B, T0, M) -> (P, B, classes)
        size, at_once = self.config.part_frames, max(1, PARTS_AT_ONCE // len(x))
        logits = []
        for first in range(0, parts, at_once):
            together = x[:, first * size : min(parts, first + at_once) * size]
            together = F.pad(together, (0, 0, 0, -together.shape[1] % size))
            each = self.part_logits(together.reshape(-1, size, x.shape[2]))  # clip by clip
            logits.append(each.view(len(x), -1, each.shape[-1]))
        return torch.cat(logits, dim=1).transpose(0, 1)
