"""SSAMBA: Vision Mamba, self-supervised on spectrogram patches (arXiv 2405.11831; `amba_models.py`, Vim 6143d07).

    (B, T0, M) features -> patches -> + positions -> 12 pairs of mixers -> norm, twice -> mean or class token -> head

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel rows x time columns), L = 1 + f t tokens, D width.

The class token comes first; patches run row by row in frequency. The authors' training scripts differ from the class's
defaults and from the paper's figure, and are followed here: LayerNorm, and blocks in pairs, the second of which gets
the flipped sequence:

    r <- r + h;   h <- mixer_2i(norm_2i(r)) + flip(mixer_2i+1(norm_2i+1(flip r)));   r <- 2 r

The residual is doubled because each block of a pair has its own copy and the two are added. The last norm is
applied twice. Every norm acts on one token, so nothing is flipped here: the second mixer runs backwards.

Other lengths and strides: `niah.networks.layers.positions.cut_or_resize` on the stored 8 x 64 table.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niah.networks.ast import PatchEmbed
from niah.networks.layers.drop_path import DropPath
from niah.networks.layers.mamba_mixer import MambaMixer, added, normed, shrink_output
from niah.networks.layers.positions import cut_or_resize
from niah.networks.ssast import PatchGrid, Pooling, Tagger

NORM_EPS = 1e-5


@dataclass(frozen=True)
class SsambaConfig(PatchGrid):
    """Settings; the defaults are SSAMBA-base."""

    width: int = 768
    depth: int = 24
    pooling: Pooling = "avgtok"
    classes: int = 527
    drop_path: float = 0.1  # largest rate, reached linearly at the last pair; training only

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth % 2:
            raise ValueError(f"depth must be even, the blocks go in pairs; got {self.depth}")


class Block(nn.Module):
    """One pre-norm mixer without its residual: (B, L, D) -> (B, L, D)."""

    elements_moved = 28  # per input element (`niah.bench.roofline`)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.mixer = MambaMixer(width, "bi-bi")

    def forward(self, residual: Tensor, from_end: bool) -> Tensor:  # (B, L, D) -> (B, L, D)
        out: Tensor = self.mixer(normed(self.norm, residual), from_end)
        return out


class VisionMamba(nn.Module):
    """The encoder, `v` in the official state dict: (B, T0, M) -> (B, D)."""

    def __init__(self, config: SsambaConfig) -> None:
        super().__init__()
        self.config = config
        width, pairs = config.width, config.depth // 2
        rows, columns = config.stored
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + rows * columns, width))
        self.patch_embed = PatchEmbed(width, config.patch, config.stride)
        self.layers = nn.ModuleList([Block(width) for _ in range(config.depth)])
        # one draw for both blocks of a pair, where the official code draws for each
        rates = torch.linspace(0, config.drop_path, pairs, device="cpu").tolist()
        self.drop_paths = nn.ModuleList([DropPath(rate) for rate in rates])
        self.norm_f = nn.LayerNorm(width, eps=NORM_EPS)
        for table in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)
        shrink_output(self, config.depth)

    def embed(self, x: Tensor) -> Tensor:
        """Return the tokens (B, L, D) of features (B, T0, M), with their positions."""
        config, table = self.config, self.pos_embed
        places = cut_or_resize(table[:, 1:], config.stored, config.grid(x.shape[1]))
        patches = added(self.patch_embed(x), places)
        token = (self.cls_token + table[:, :1]).expand(len(x), -1, -1)
        return torch.cat([token, patches], dim=1)

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, D)
        residual = self.embed(x).float()
        for first, second, drop_path in zip(
            self.layers[0::2], self.layers[1::2], self.drop_paths, strict=True
        ):
            h = added(first(residual, from_end=False), second(residual, from_end=True))
            residual = added(added(residual, residual), drop_path(h))
        if self.config.pooling == "cls":
            residual = residual[:, :1]
        y = self.norm_f(normed(self.norm_f, residual))
        out: Tensor = y[:, 0] if self.config.pooling == "cls" else y[:, 1:].mean(dim=1)
        return out


class Ssamba(Tagger):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    v: VisionMamba

    def __init__(self, config: SsambaConfig) -> None:
        super().__init__(VisionMamba(config), config.width, config.classes)
        self.config = config
