"""PaSST-S: DeiT-B distilled on overlapping patches, mel and time positions (arXiv 2110.05069; `models/passt.py`).

    (B, T0, M) features -> patches + mel position + time position -> two class tokens in front -> blocks -> LayerNorm
    -> mean of the class tokens -> LayerNorm -> linear

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel x time), N = 2 + f t tokens, D width.

Tokens run row by row in mel: token 2 + row * t + column; 0 is the class token, 1 the distillation token, each with its
own position. Frames that do not fill a patch, at most 9, are dropped by the convolution. Patchout is for training only.
The authors' `head_dist` is not used for these logits.

Lengths. The time table has trained_frames // stride columns: 99 in the 10 s checkpoints, 200 and 300 in those trained
on 20 s and 30 s. A shorter input uses the table's first columns, as the authors' code does in evaluation. A longer
input is cut to the table by the authors' code, with a warning. Here it is not cut: the table is resized to the input's
columns, bicubic along time, as the authors made it from an image model's table. This rule is ours, not a published
evaluation; the authors' way to long input is the 20 s and 30 s checkpoints, and windows.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.layers.vit import Block, embed_patches, first_tokens

CLASS_TOKENS = 2


@dataclass(frozen=True)
class PasstConfig:
    """Settings; the defaults are the released PaSST-S for 10 s."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    stride: int = 10
    mels: int = 128
    trained_frames: int = 998
    classes: int = 527

    @property
    def rows(self) -> int:
        """Return the patch rows."""
        return (self.mels - self.patch) // self.stride + 1

    def columns(self, frames: int) -> int:
        """Return the patch columns of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one patch has.
        """
        if frames < self.patch:
            raise NiahError(f"PaSST needs at least {self.patch} frames (one patch), got {frames}")
        return (frames - self.patch) // self.stride + 1

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input of `frames` frames."""
        return CLASS_TOKENS + self.rows * self.columns(frames)


class PatchEmbed(nn.Module):
    """Overlapping patches: (B, T0, M) -> (B, f, t, D)."""

    def __init__(self, config: PasstConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, config.width, config.patch, stride=config.stride)

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, f, t, D)
        return embed_patches(x, self.proj, mel_first=True)


class Passt(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: PasstConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width

        def table(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).normal_(std=0.02))

        self.cls_token = table(1, 1, width)
        self.dist_token = table(1, 1, width)
        self.new_pos_embed = table(1, CLASS_TOKENS, width)
        self.freq_new_pos_embed = table(1, width, config.rows, 1)
        self.time_new_pos_embed = table(1, width, 1, config.trained_frames // config.stride)
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.Sequential(*[Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.classes))

    def time_positions(self, columns: int) -> Tensor:
        """Return the time positions (1, D, 1, t): the table's first columns, or the table resized."""
        table = self.time_new_pos_embed
        if columns <= table.shape[-1]:
            return table[..., :columns]
        stretched = F.interpolate(table.float(), (1, columns), mode="bicubic", align_corners=False)
        return stretched.to(table.dtype)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.config.columns(x.shape[1])
        mel, time = (
            table.permute(0, 2, 3, 1)  # (1, f or 1, 1 or t, D)
            for table in (self.freq_new_pos_embed, self.time_positions(columns))
        )
        patches = self.patch_embed(x) + time + mel  # (B, f, t, D)
        class_tokens = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        tokens = torch.cat([class_tokens.expand(len(x), -1, -1), patches.flatten(1, 2)], dim=1)
        tokens = self.norm(first_tokens(self.blocks, tokens, CLASS_TOKENS))
        out: Tensor = self.head(tokens.mean(dim=1))
        return out
