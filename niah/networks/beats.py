"""BEATs: a transformer on log-mel patches with gated relative positions (arXiv 2212.09058; official `backbone.py`).

    (B, T, M) features -> patches -> LayerNorm -> linear -> + grouped convolution over tokens -> LayerNorm
      -> blocks, normalised after each residual -> linear per token -> mean over tokens

Glossary: B batch, T frames, M mels, N tokens (time-major: all M / 16 mel rows of a column, then the next column),
D width, h heads, d = D / h, i query, j key.

    score_ij = q_i k_j / sqrt(d) + gate_i r[bucket(j - i)]
    gate_i   = a (b g - 1) + 2,   (a, b) = sigmoid of two sums of four of a linear map of q_i,   g learned per head
    x <- LayerNorm(alpha x + attention(x)),  x <- LayerNorm(alpha x + mlp(x)),   alpha = (2 depth)^(1/4)   (deep norm)

The buckets are T5's: exact up to 79 tokens, then logarithmic up to `max_distance` = 800, then one for all larger
distances. Positions are relative, and all past 800 tokens (100 columns, 16 s) are equal, so any length is defined.

Cost. The gate makes the bias differ for every query, key and head, which no fused kernel supports. It is computed for
a block of queries at a time: memory is O(block N), where the official code has several arrays of (h, N, N); at 2.5 h
(N = 450,000) a block of `LEAST_ROWS` queries is 0.7 GB. The work stays O(N^2): dense attention, with h N elements of
bias written and read for each query. The official code scales scores by 1/32 and back, which gives the same softmax.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError

NORM_EPS = 1e-5
BLOCK_ELEMENTS = 1 << 24  # of bias in memory: 64 MiB in float32
LEAST_ROWS = 32  # queries in a block, even if it is then larger: fewer make matrix products slow
MLP_TOKENS = 1 << 15  # tokens of the hidden layer in memory
GATE_PARTS = 4  # outputs that are summed to each half of the gate


@dataclass(frozen=True)
class BeatsConfig:
    """Settings; the defaults are those of every released base model (iterations 1 to 3+)."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    patch: int = 16
    patch_width: int = 512
    mels: int = 128
    conv_kernel: int = 128
    conv_groups: int = 16
    buckets: int = 320
    max_distance: int = 800
    classes: int = 527

    @property
    def alpha(self) -> float:
        """Return the weight of the residual (deep norm)."""
        return float((2 * self.depth) ** 0.25)

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input; frames that do not fill a patch are dropped."""
        return frames // self.patch * (self.mels // self.patch)

    def block_rows(self, batch: int, tokens: int) -> int:
        """Return the number of queries whose bias is in memory at a time."""
        rows = max(LEAST_ROWS, BLOCK_ELEMENTS // (batch * self.heads * tokens))
        return min(rows, tokens)


def bucket(offset: Tensor, config: BeatsConfig) -> Tensor:
    """Compute the row of the bias table for each offset, by T5's bidirectional rule.

    Args:
        offset: j - i, any shape, int64.
        config: number of buckets, and the largest distance.

    Returns:
        Rows in [0, buckets), in the shape of `offset`.
    """
    half = config.buckets // 2
    exact = half // 2
    distance = offset.abs()
    ratio = torch.log(distance.clamp_min(exact).float() / exact)
    ratio = ratio / math.log(config.max_distance / exact)
    far = (exact + (ratio * (half - exact)).long()).clamp_max(half - 1)
    return torch.where(distance < exact, distance, far).add(half * (offset > 0))


class PositionConv(nn.Module):
    """x + GELU(grouped convolution over tokens), with weights normalised per kernel tap: w = g v / |v|.

    The kernel is even: the input is padded by half of it on both sides, and the last output is dropped.
    """

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, kernel = config.width, config.conv_kernel
        self.groups = config.conv_groups
        self.weight_g = nn.Parameter(torch.empty(1, 1, kernel))
        self.weight_v = nn.Parameter(torch.empty(width, width // config.conv_groups, kernel))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.weight_v, std=(4 / (kernel * width)) ** 0.5)
        if self.weight_v.is_meta:  # torch would import its compiler for the norm, which takes 4 s
            return
        with torch.no_grad():
            self.weight_g.copy_(self._norm())

    def _norm(self) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(self.weight_v, dim=(0, 1), keepdim=True)
        return norm

    def forward(self, x: Tensor) -> Tensor:  # (B, N, D)
        weight = self.weight_g * self.weight_v / self._norm()
        kernel = weight.shape[-1]
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=kernel // 2, groups=self.groups)
        y = y[..., :-1] if kernel % 2 == 0 else y
        return x + F.gelu(y).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention with gated relative positions (module docstring)."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.config = config
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.grep_linear = nn.Linear(width // heads, 2 * GATE_PARTS)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))

    def forward(self, x: Tensor, by_offset: Tensor) -> Tensor:
        """Attend, a block of queries at a time.

        Keys are taken from the last to the first: row i of the bias is then the view of `by_offset` from i on.

        Args:
            x: (B, N, D).
            by_offset: (h, 2 N - 1) bias of offsets N - 1 .. -(N - 1).

        Returns:
            (B, N, D).
        """
        batch, tokens, width = x.shape
        backwards = x.flip(1)
        q = self._heads(self.q_proj(x))
        k, v = self._heads(self.k_proj(backwards)), self._heads(self.v_proj(backwards))
        gate = self._gate(q)  # (B, h, N, 1)
        bias = by_offset.unfold(1, tokens, 1)  # (h, N, N) view: [i, j] is offset N - 1 - i - j
        rows = self.config.block_rows(batch, tokens)
        y = torch.cat(
            [
                F.scaled_dot_product_attention(
                    q[:, :, first : first + rows],
                    k,
                    v,
                    attn_mask=gate[:, :, first : first + rows] * bias[:, first : first + rows],
                )
                for first in range(0, tokens, rows)
            ],
            dim=2,
        )
        out: Tensor = self.out_proj(y.transpose(1, 2).reshape(batch, tokens, width))
        return out

    def _heads(self, x: Tensor) -> Tensor:  # (B, N, D) -> (B, h, N, d)
        batch, tokens, width = x.shape
        heads = self.config.heads
        return x.view(batch, tokens, heads, width // heads).transpose(1, 2)

    def _gate(self, q: Tensor) -> Tensor:  # (B, h, N, d) -> (B, h, N, 1)
        halves = self.grep_linear(q).unflatten(-1, (2, GATE_PARTS)).sum(-1)
        a, b = torch.sigmoid(halves).chunk(2, dim=-1)
        gate: Tensor = a * (b * self.grep_a - 1) + 2
        return gate


class Block(nn.Module):
    """A post-norm layer with deep norm: (B, N, D) -> (B, N, D)."""

    elements_moved = 14  # per input element (`niah.bench.roofline`)

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.alpha = config.alpha
        self.self_attn = Attention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.fc1 = nn.Linear(config.width, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.width)
        self.final_layer_norm = nn.LayerNorm(config.width, eps=NORM_EPS)

    def forward(self, x: Tensor, by_offset: Tensor) -> Tensor:  # (B, N, D)
        x = self.self_attn_layer_norm(x * self.alpha + self.self_attn(x, by_offset))
        out: Tensor = self.final_layer_norm(x * self.alpha + in_parts(self._mlp, x, MLP_TOKENS))
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, tokens: int) -> Tensor:
    """Apply a function that treats each token by itself to part of the tokens at a time.

    Args:
        function: (B, n, D) -> (B, n, D).
        x: (B, N, D).
        tokens: most tokens of the batch in one call.

    Returns:
        (B, N, D).
    """
    if x.shape[0] * x.shape[1] <= tokens:
        return function(x)
    parts = torch.split(x, max(1, tokens // x.shape[0]), dim=1)
    return torch.cat([function(part) for part in parts], dim=1)


class Encoder(nn.Module):
    """Positions and blocks: (B, N, D) -> (B, N, D)."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_conv = PositionConv(config)
        self.layer_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.relative_attention_bias = nn.Embedding(config.buckets, config.heads)
        self.layers = nn.ModuleList([Block(config) for _ in range(config.depth)])

    def forward(self, x: Tensor) -> Tensor:  # (B, N, D)
        tokens = x.shape[1]
        offset = torch.arange(tokens - 1, -tokens, -1, device=x.device)
        # contiguous rows: the unfolded view is then read along memory
        by_offset = self.relative_attention_bias(bucket(offset, self.config)).T.contiguous()
        x = self.layer_norm(self.pos_conv(x))
        for layer in self.layers:
            x = layer(x, by_offset)
        return x


class Beats(nn.Module):
    """The tagger: (B, T, M) normalised log-mel -> (B, classes) logits, of any length from one patch on."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        patch = config.patch
        self.patch_embedding = nn.Conv2d(1, config.patch_width, patch, stride=patch, bias=False)
        self.layer_norm = nn.LayerNorm(config.patch_width, eps=NORM_EPS)
        self.post_extract_proj = nn.Linear(config.patch_width, config.width)
        self.encoder = Encoder(config)
        self.predictor = nn.Linear(config.width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < self.config.patch:
            raise NiahError(
                f"BEATs needs at least {self.config.patch} frames (one patch), got {x.shape[1]}"
            )
        patches = self.patch_embedding(x[:, None])  # (B, 512, T/16, M/16)
        tokens = self.layer_norm(patches.flatten(2).transpose(1, 2))  # (B, N, 512), time-major
        y = self.encoder(self.post_extract_proj(tokens))
        # the mean of a linear map is the map of the mean
        out: Tensor = self.predictor(y.mean(dim=1))
        return out
