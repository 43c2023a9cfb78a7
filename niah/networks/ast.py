"""AST: a vision transformer on log-mel patches (arXiv 2104.01778; official `ast_models.py`, timm 0.4.5's DeiT).

    (B, T0, M) features -> patches -> + positions -> blocks -> mean of the two class tokens -> linear

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel rows x time columns), N = 2 + f t tokens, D width.

Tokens run row by row in frequency: token 2 + row * t + column; 0 is the class token, 1 the distillation token.
Frames that do not fill a patch are dropped by the convolution.

Positions
- `learned`: the trained grid and no other length.
- `interpolated`: the official `audioset_pretrain` path: fewer columns are cut from the middle of the trained grid,
  more are resized bilinearly (align_corners False); mel rows likewise never change.
- `sinusoidal`: what the DASS paper compares with: row p is sin(p w_i), cos(p w_i) interleaved, w_i = 10000^(-2i/D),
  made anew for every length. As tokens are frequency-major, a longer input renumbers every mel row but the first.

Attention is torch's fused kernel, so memory is linear in N; timm's own block, with the released LayerNorm eps 1e-6.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from niah.errors import NiahError

Positions = Literal["learned", "interpolated", "sinusoidal"]
CLASS_TOKENS = 2


@dataclass(frozen=True)
class AstConfig:
    """Defaults are the released AST base (0.459 mAP)."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: tuple[int, int] = (16, 16)  # mels, frames
    stride: tuple[int, int] = (10, 10)
    mels: int = 128
    trained_frames: int = 1024
    classes: int = 527
    positions: Positions = "learned"
    initial_std: float = 0.02  # of linear weights at the start of training; 0 is 1 / sqrt(inputs)

    def __post_init__(self) -> None:
        for name in ("patch", "stride"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def grid(self, frames: int) -> tuple[int, int]:
        """Patch rows and columns of an input of that many frames."""
        if frames < self.patch[1]:
            raise NiahError(f"AST needs at least {self.patch[1]} frames (one patch), got {frames}")
        rows = (self.mels - self.patch[0]) // self.stride[0] + 1
        columns = (frames - self.patch[1]) // self.stride[1] + 1
        return rows, columns


def sinusoid(tokens: int, width: int) -> Tensor:
    """(tokens, width) float32: even columns sin(p w_i), odd ones cos(p w_i), w_i = 10000^(-2i/width)."""
    position = torch.arange(tokens, dtype=torch.float64)[:, None]
    frequency = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = position * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()


class PatchEmbed(nn.Module):
    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, config.width, config.patch, stride=config.stride)

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, f t, D), frequency-major
        patches: Tensor = self.proj(x.unsqueeze(1).transpose(2, 3))
        return patches.flatten(2).transpose(1, 2)


class Transformer(nn.Module):
    """The part that the official state dict calls `v`."""

    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        rows, columns = config.grid(config.trained_frames)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = PatchEmbed(config)
        if config.positions == "sinusoidal":
            self._sinusoid = sinusoid(0, width)
        else:
            self.pos_embed = nn.Parameter(torch.zeros(1, CLASS_TOKENS + rows * columns, width))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.Sequential(
            *[
                Block(width, config.heads, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]
                for _ in range(config.depth)
            ]
        )
        self.norm = norm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _initialise_linear(module, config.initial_std)
        for token in (self.cls_token, self.dist_token):
            nn.init.trunc_normal_(token, std=0.02)

    def positions(self, frames: int) -> Tensor:
        """(1, N, D) position embeddings for an input of that many frames."""
        config = self.config
        rows, columns = config.grid(frames)
        if config.positions == "sinusoidal":
            tokens = CLASS_TOKENS + rows * columns
            device = self.cls_token.device
            if len(self._sinusoid) < tokens or self._sinusoid.device != device:
                self._sinusoid = sinusoid(tokens, config.width).to(device)
            return self._sinusoid[None, :tokens]
        trained = config.grid(config.trained_frames)[1]
        if columns == trained:
            return self.pos_embed
        if config.positions == "learned":
            raise NiahError(
                f"this AST has learned positions for {trained} patch columns and the input has {columns}: "
                "use 'ast-interp' (interpolated positions) or --window 10 for other lengths"
            )
        patches = self.pos_embed[:, CLASS_TOKENS:].transpose(1, 2)
        patches = patches.reshape(1, config.width, rows, trained)
        if columns < trained:
            first = trained // 2 - columns // 2
            patches = patches[..., first : first + columns]
        else:
            patches = F.interpolate(
                patches, size=(rows, columns), mode="bilinear", align_corners=False
            )
        return torch.cat(
            [self.pos_embed[:, :CLASS_TOKENS], patches.flatten(2).transpose(1, 2)], dim=1
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, D)
        batch, frames = x.shape[:2]
        tokens = [
            self.cls_token.expand(batch, -1, -1),
            self.dist_token.expand(batch, -1, -1),
            self.patch_embed(x),
        ]
        y = torch.cat(tokens, dim=1) + self.positions(frames).to(x.dtype)  # (B, N, D)
        out: Tensor = self.norm(self.blocks(y))[:, :CLASS_TOKENS].mean(dim=1)
        return out


class Ast(nn.Module):
    """(B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        self.config = config
        self.v = Transformer(config)
        self.mlp_head = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp_head(self.v(x))
        return out


def _initialise_linear(linear: nn.Linear, std: float) -> None:
    """timm's DeiT start: truncated normal, std 0.02, no bias."""
    nn.init.trunc_normal_(linear.weight, std=std or linear.in_features**-0.5)
    nn.init.zeros_(linear.bias)
