"""AST: a vision transformer on log-mel patches (arXiv 2104.01778; official `ast_models.py`, timm 0.4.5's DeiT).

    (B, T0, M) features -> patches -> + positions -> blocks -> mean of the two class tokens -> linear

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel rows x time columns), N = 2 + f t tokens, D width.

Tokens run row by row in frequency: token 2 + row * t + column; 0 is the class token, 1 the distillation token.
Frames that do not fill a patch are dropped by the convolution.

Positions
- `learned`: a table for the trained grid; other lengths are refused.
- `interpolated`: the official `audioset_pretrain` path: fewer columns are cut from the middle of the trained grid,
  more are resized bilinearly (align_corners False); likewise for mel rows, which do not change.
- `sinusoidal`: the baseline of the DASS paper: row p is sin(p w_i), cos(p w_i) interleaved, w_i = 10000^(-2i/D),
  computed for each length. As tokens are frequency-major, a longer input renumbers every mel row but the first.
- `sinusoidal-2d` (ours): the first half of the channels is the sinusoid of the column, the second that of the mel
  row; the class tokens get zeros. A longer input keeps the position of every token that a shorter one has.

Four options separate the causes of a drop with length; all are off in the released models:
- `positions_as_if_s`: the input gets the positions of the first columns of an input of that many seconds (renumbering
  without dilution);
- `repeat_positions`: column c gets the position of column c mod (trained columns) (dilution without renumbering);
- `first_column` (with either): the column that the input starts at. A needle later in the longer input gets its
  positions there, or, with a negative value, those that it has alone;
- `log_length_scale`: attention logits times log N / log(N trained), which keeps the attention's entropy about constant.

Attention is torch's fused kernel, and without gradients the MLP runs on part of the tokens at a time, so memory is
linear in N. Blocks are timm's, with the released LayerNorm eps 1e-6.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.layers.mlp import Mlp
from niah.networks.layers.positions import cut_or_resize, sinusoid, sinusoid_at
from niah.networks.layers.vit import embed_patches, first_tokens, in_token_parts
from niah.placement import FRAMES_PER_SECOND

__all__ = ["Ast", "AstConfig", "PatchEmbed", "TokenMlp", "sinusoid", "transformer_blocks"]

Positions = Literal["learned", "interpolated", "sinusoidal", "sinusoidal-2d"]
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
    positions_as_if_s: float = 0.0  # 0: off
    repeat_positions: bool = False
    first_column: int = 0
    log_length_scale: bool = False
    initial_std: float = 0.02  # of linear weights at the start of training; 0 is 1 / sqrt(inputs)

    def __post_init__(self) -> None:
        for name in ("patch", "stride"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.positions not in Positions.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"positions '{self.positions}' is none of {Positions}")
        if self.positions_as_if_s and self.repeat_positions:
            raise ValueError("positions_as_if_s and repeat_positions exclude each other")
        if self.first_column and not (self.positions_as_if_s or self.repeat_positions):
            raise ValueError("first_column is of positions_as_if_s or repeat_positions")
        if self.positions_as_if_s and self.positions == "learned":
            raise ValueError("learned positions are known for one length: no positions_as_if_s")

    def grid(self, frames: int) -> tuple[int, int]:
        """Return the patch rows and columns of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one patch has.
        """
        if frames < self.patch[1]:
            raise NiahError(f"AST needs at least {self.patch[1]} frames (one patch), got {frames}")
        rows = (self.mels - self.patch[0]) // self.stride[0] + 1
        columns = (frames - self.patch[1]) // self.stride[1] + 1
        return rows, columns

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input of `frames` frames."""
        rows, columns = self.grid(frames)
        return CLASS_TOKENS + rows * columns


class PatchEmbed(nn.Module):
    """The convolution over patches: (B, T0, M) -> (B, f t, D), frequency-major."""

    def __init__(self, width: int, patch: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return embed_patches(x, self.proj, mel_first=True).flatten(1, 2)


class TokenMlp(Mlp):
    """The MLP; without gradients on part of the tokens at a time, to limit its hidden layer of width 4 D."""

    def forward(
        self, x: Tensor
    ) -> Tensor:  # (B, N, D) -> (B, N, D), in place: x is the block's norm(..)
        return in_token_parts(super().forward, x)


class Attention(nn.Module):
    """Multi-head self-attention, one product for queries, keys and values.

    `trained_tokens` scales the logits by log N / log(trained): the queries, as the scale of the fused kernel is fixed.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.trained_tokens: int | None = None
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """Attend from the first tokens, all by default, to all: (B, N, D) -> (B, first, D)."""
        q, k, v = self._by_head(self.qkv(x), 3) if first is None else self._of_first(x, first)
        if self.trained_tokens is not None:
            q = q * (math.log(x.shape[1]) / math.log(self.trained_tokens))
        y = F.scaled_dot_product_attention(q, k, v)  # (B, heads, N, D / heads) each
        out: Tensor = self.proj(y.transpose(1, 2).flatten(2))
        return out

    def _of_first(self, x: Tensor, first: int) -> tuple[Tensor, ...]:
        width = x.shape[2]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = F.linear(x[:, :first], weight[:width], bias[:width])
        kv = F.linear(x, weight[width:], bias[width:])
        return *self._by_head(q, 1), *self._by_head(kv, 2)

    def _by_head(self, x: Tensor, kinds: int) -> tuple[Tensor, ...]:
        """Part queries, keys or values: (B, N, kinds D) -> (B, heads, N, D / heads) each."""
        by_head = x.view(*x.shape[:2], kinds, self.heads, -1)
        return by_head.permute(2, 0, 3, 1, 4).unbind(0)


class Block(nn.Module):
    """The pre-norm block of timm, by the names of its parameters and to the last bit; importing timm takes 5 s."""

    elements_moved = 14  # per input element (`niah.bench.roofline`)

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = TokenMlp(width, 4 * width)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """Return the block's output of the first tokens, all by default: (B, N, D) -> (B, first, D)."""
        x = x[:, :first] + self.attn(self.norm1(x), first)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


def transformer_blocks(width: int, depth: int, heads: int) -> nn.Sequential:
    """Make the AST family's blocks: pre-norm, with qkv bias, exact GELU and LayerNorm eps 1e-6.

    Args:
        width: D.
        depth: number of blocks.
        heads: of the attention.

    Returns:
        The blocks, (B, N, D) -> (B, N, D).
    """
    return nn.Sequential(*[Block(width, heads) for _ in range(depth)])


class Transformer(nn.Module):
    """The encoder, `v` in the official state dict: (B, T0, M) -> (B, D)."""

    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = PatchEmbed(width, config.patch, config.stride)
        # columns and positions of the last input
        self._sinusoid: tuple[int, Tensor] = (0, torch.empty(0))
        trained = config.tokens(config.trained_frames)
        if not config.positions.startswith("sinusoidal"):
            self.pos_embed = nn.Parameter(torch.zeros(1, trained, width))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = transformer_blocks(width, config.depth, config.heads)
        if config.log_length_scale:
            for block in self.blocks:
                block.attn.trained_tokens = trained  # type: ignore[union-attr]
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                initialise_linear(module, config.initial_std)
        for token in (self.cls_token, self.dist_token):
            nn.init.trunc_normal_(token, std=0.02)

    def positions(self, frames: int) -> Tensor:
        """Return the position embeddings (1, N, D) of an input of `frames` frames."""
        columns = self.config.grid(frames)[1]
        if not self.config.positions.startswith("sinusoidal"):
            return self._learned(columns)
        device = self.cls_token.device
        known, table = self._sinusoid  # read at once: threads may share the network
        if known != columns or table.device != device:
            table = self.sinusoid(columns).to(device)
            self._sinusoid = columns, table
        return table

    def _numbered(self, columns: int) -> int:
        """Return the number of columns of the grid whose positions are used."""
        config = self.config
        if config.repeat_positions:
            return config.grid(config.trained_frames)[1]
        if not config.positions_as_if_s:
            return columns
        as_if = config.grid(round(config.positions_as_if_s * FRAMES_PER_SECOND))[1]
        if not 0 <= config.first_column <= as_if - columns:
            raise NiahError(
                f"positions_as_if_s = {config.positions_as_if_s:g} has {as_if} patch columns, "
                f"the input {columns}: give a shorter input, or a larger positions_as_if_s"
            )
        return as_if

    def sinusoid(self, columns: int) -> Tensor:
        """Compute the sinusoidal embeddings (1, N, D) of a grid of `columns` patch columns, on the CPU."""
        config = self.config
        rows = config.grid(config.trained_frames)[0]
        numbered = self._numbered(columns)
        row, column = torch.arange(rows), (config.first_column + torch.arange(columns)) % numbered
        if config.positions == "sinusoidal":
            patches = CLASS_TOKENS + row[:, None] * numbered + column
            places = torch.cat([torch.arange(CLASS_TOKENS), patches.flatten()])
            return sinusoid_at(places, config.width)[None]
        half = config.width // 2
        table = torch.zeros(1, CLASS_TOKENS + rows * columns, config.width)
        by_place = table[:, CLASS_TOKENS:].view(rows, columns, config.width)
        by_place[..., :half] = sinusoid_at(column, half)
        by_place[..., half:] = sinusoid_at(row, config.width - half)[:, None]
        return table

    def _learned(self, columns: int) -> Tensor:
        config = self.config
        rows, trained = config.grid(config.trained_frames)
        numbered = self._numbered(columns)
        if numbered == columns == trained:
            return self.pos_embed
        if numbered != trained and config.positions == "learned":
            raise NiahError(
                f"this AST has learned positions for {trained} patch columns and the input has {columns}: "
                "use 'ast-interp' (interpolated positions) or --window 10 for other lengths"
            )
        patches = cut_or_resize(self.pos_embed[:, CLASS_TOKENS:], (rows, trained), (rows, numbered))
        if numbered != columns:
            column = torch.arange(columns, device=patches.device)
            column = (config.first_column + column) % numbered
            patches = patches.view(1, rows, numbered, -1)[:, :, column].flatten(1, 2)
        return torch.cat([self.pos_embed[:, :CLASS_TOKENS], patches], dim=1)

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, D)
        batch, frames = x.shape[:2]
        self.config.grid(frames)  # refuses an input without a patch
        tokens = [
            self.cls_token.expand(batch, -1, -1),
            self.dist_token.expand(batch, -1, -1),
            self.patch_embed(x),
        ]
        y = torch.cat(tokens, dim=1) + self.positions(frames).to(x.dtype)  # (B, N, D)
        out: Tensor = self.norm(first_tokens(self.blocks, y, CLASS_TOKENS)).mean(dim=1)
        return out


class Ast(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

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


def initialise_linear(linear: nn.Linear, std: float) -> None:
    """Initialise a linear layer as timm's DeiT does: truncated normal, no bias.

    Args:
        linear: is changed in place.
        std: of the weights; 0 is 1 / sqrt(inputs).
    """
    nn.init.trunc_normal_(linear.weight, std=std or linear.in_features**-0.5)
    nn.init.zeros_(linear.bias)
