"""SSAST: AST, self-supervised on spectrogram patches (AAAI 2022, arXiv 2110.09784; `ast_models.py`, timm 0.4.5).

    (B, T0, M) features -> patches -> + positions -> blocks -> mean of patches or of class tokens -> linear

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel rows x time columns), N = 2 + f t tokens, D width.

The network of `niah.networks.ast` with two differences. The head reads the mean of the patches (`avgtok`, as the
authors fine-tune for tagging) or of the two class tokens (`cls`). And patches overlap in fine-tuning but not in
pre-training, so that the stored positions may be of another grid than the input's;
`niah.networks.layers.positions.cut_or_resize` resizes them, also for other lengths.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.ast import CLASS_TOKENS, PatchEmbed, initialise_linear, transformer_blocks
from niah.networks.layers.positions import Grid, cut_or_resize
from niah.networks.layers.vit import first_tokens

Pooling = Literal["avgtok", "cls"]


@dataclass(frozen=True)
class PatchGrid:
    """Settings of the patches of SSAST and SSAMBA; SSAST's frame models have patches of 128 x 2."""

    patch: tuple[int, int] = (16, 16)  # mels, frames
    stride: tuple[int, int] = (
        16,
        16,
    )  # 10 where a checkpoint was fine-tuned with overlapping patches
    mels: int = 128
    trained_frames: int = 1024
    table: tuple[int, int] = (0, 0)  # grid of the stored positions; (0, 0): that of trained_frames

    def __post_init__(self) -> None:
        for name in ("patch", "stride", "table"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        pooling = getattr(self, "pooling", "avgtok")
        if pooling not in Pooling.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"pooling '{pooling}' is none of avgtok, cls")

    def grid(self, frames: int) -> Grid:
        """Return the patch rows and columns of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one patch has.
        """
        if frames < self.patch[1]:
            raise NiahError(
                f"this model needs at least {self.patch[1]} frames (one patch), got {frames}"
            )
        rows = (self.mels - self.patch[0]) // self.stride[0] + 1
        return rows, (frames - self.patch[1]) // self.stride[1] + 1

    @property
    def stored(self) -> Grid:
        """Return the grid of the stored positions."""
        return self.table if any(self.table) else self.grid(self.trained_frames)


@dataclass(frozen=True)
class SsastConfig(PatchGrid):
    """Settings; the defaults are SSAST-Base-Patch as pre-trained."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    pooling: Pooling = "avgtok"
    classes: int = 527


class Transformer(nn.Module):
    """The encoder, `v` in the official state dict: (B, T0, M) -> (B, D)."""

    def __init__(self, config: SsastConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        rows, columns = config.stored
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, CLASS_TOKENS + rows * columns, width))
        self.patch_embed = PatchEmbed(width, config.patch, config.stride)
        self.blocks = transformer_blocks(width, config.depth, config.heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for table in (self.cls_token, self.dist_token, self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                initialise_linear(module, 0.02)

    def embed(self, x: Tensor) -> Tensor:
        """Return the tokens (B, N, D) of features (B, T0, M), with their positions."""
        config, table = self.config, self.pos_embed
        places = cut_or_resize(table[:, CLASS_TOKENS:], config.stored, config.grid(x.shape[1]))
        patches = self.patch_embed(x) + places
        tokens = torch.cat([self.cls_token, self.dist_token], dim=1) + table[:, :CLASS_TOKENS]
        return torch.cat([tokens.expand(len(x), -1, -1), patches], dim=1)

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, D)
        tokens = self.embed(x)
        if self.config.pooling == "cls":
            read = first_tokens(self.blocks, tokens, CLASS_TOKENS)
        else:
            read = self.blocks(tokens)[:, CLASS_TOKENS:]
        out: Tensor = self.norm(read).mean(dim=1)
        return out


class Tagger(nn.Module):
    """A tagger of an encoder `v`, LayerNorm and linear layer: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, v: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.v = v
        head = nn.Linear(width, classes)
        initialise_linear(head, 0.02)
        self.mlp_head = nn.Sequential(nn.LayerNorm(width), head)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp_head(self.v(x))
        return out


class Ssast(Tagger):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    v: Transformer

    def __init__(self, config: SsastConfig) -> None:
        super().__init__(Transformer(config), config.width, config.classes)
        self.config = config
