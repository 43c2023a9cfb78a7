"""AuM: Audio Mamba, a Vision Mamba on log-mel patches (arXiv 2406.03344; official `models/mamba_models.py`).

    (B, T0, M) features -> patches -> + positions -> 24 mixers, pre-norm -> norm -> the class token -> linear

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel rows x time columns), L = 1 + f t tokens, D width.

Patches run row by row in frequency. The class token is inserted between patches L // 2 - 1 and L // 2, that is between
the last column of one mel row and the first of the next; its position embedding is still row 0 of the table.
A block is r <- r + h, h <- mixer(norm(r)), without an MLP; the class token is read from norm(r + h).

Other lengths: the 8 x 64 table is resized bilinearly with antialias, as the official constructor does from a trained
checkpoint. Frames that do not fill a patch are dropped by the convolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.ast import PatchEmbed
from niah.networks.layers.drop_path import DropPath
from niah.networks.layers.mamba_mixer import Design, MambaMixer, added, normed, shrink_output
from niah.networks.layers.positions import resize_smoothly

NORM_EPS = 1e-5


@dataclass(frozen=True)
class AumConfig:
    """Settings; the defaults are AuM-base as trained from scratch."""

    width: int = 768
    depth: int = 24
    design: Design = "fo-bi"
    patch: tuple[int, int] = (16, 16)  # mels, frames; the stride too
    mels: int = 128
    trained_frames: int = 1024
    classes: int = 527
    drop_path: float = 0.0  # largest rate, reached linearly at the last block; training only
    initial_A: float = (
        1.0  # |A| at the start of training, times 1 .. 16; a larger one is a shorter memory
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", tuple(self.patch))
        if self.design not in Design.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"design '{self.design}' is none of fo-fo, fo-bi, bi-bi")

    def grid(self, frames: int) -> tuple[int, int]:
        """Return the patch rows and columns of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one patch has.
        """
        if frames < self.patch[1]:
            raise NiahError(f"AuM needs at least {self.patch[1]} frames (one patch), got {frames}")
        return self.mels // self.patch[0], frames // self.patch[1]

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input of `frames` frames."""
        rows, columns = self.grid(frames)
        return 1 + rows * columns


class PosEmbed(nn.Module):
    """The position table under its official key, `pos_embed.pos_embed`: the class token's row, then the patches'."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)


class Block(nn.Module):
    """One pre-norm mixer without its residual: (B, L, D) -> (B, L, D)."""

    elements_moved = 28  # per input element (`niah.bench.roofline`)

    def __init__(self, config: AumConfig, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width, eps=NORM_EPS)
        self.mixer = MambaMixer(config.width, config.design, config.initial_A)
        self.drop_path = DropPath(drop_path)

    def forward(self, residual: Tensor) -> Tensor:  # (B, L, D) -> (B, L, D)
        out: Tensor = self.drop_path(self.mixer(normed(self.norm, residual)))
        return out


class Aum(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: AumConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        rates = torch.linspace(0, config.drop_path, config.depth, device="cpu").tolist()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = PatchEmbed(width, config.patch, config.patch)
        self.pos_embed = PosEmbed(config.tokens(config.trained_frames), width)
        self.layers = nn.ModuleList([Block(config, rate) for rate in rates])
        self.norm_f = nn.RMSNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, config.classes)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise as Vim does: small class token and head, and outputs of all blocks that add up to one block's."""
        for weight in (self.cls_token, self.head.weight):
            nn.init.trunc_normal_(weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        shrink_output(self, self.config.depth)

    def embed(self, x: Tensor) -> tuple[Tensor, int]:
        """Return the tokens (B, L, D) of features (B, T0, M) with their positions, and the class token's index."""
        config, table = self.config, self.pos_embed.pos_embed
        grid = config.grid(x.shape[1])
        places = resize_smoothly(table[:, 1:], config.grid(config.trained_frames), grid)
        patches = added(self.patch_embed(x), places)
        middle = patches.shape[1] // 2
        token = (self.cls_token + table[:, :1]).expand(len(x), -1, -1)
        return torch.cat([patches[:, :middle], token, patches[:, middle:]], dim=1), middle

    def forward(self, x: Tensor) -> Tensor:
        residual, middle = self.embed(x)
        residual = residual.float()
        for layer in self.layers:
            residual = added(residual, layer(residual))
        out: Tensor = self.head(normed(self.norm_f, residual[:, middle]))
        return out
