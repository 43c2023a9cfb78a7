"""SAT: streaming audio transformers (arXiv 2305.17834; official `models/audiotransformer.py`).

    (B, T0, M) decibels -> at most 120 under the clip's loudest -> batch norm by mel band -> chunks of 1.92 or 0.96 s
    -> patches + mel position + time position [-> class token in front] -> blocks -> LayerNorm -> mean of all tokens, or
    class token -> LayerNorm -> linear -> mean probability of the chunks

Glossary: B batch, T0 frames, M mels, C chunks, f x t patch grid of a chunk (mel x time), N = f t patches, D width,
H heads, d = D / H.

In each block a chunk's queries see the chunk itself and the block's inputs of the chunk before, so a chunk hears
`depth` chunks back and no later one. Of the chunk before only the patches are seen, not the class token. Before the
first block they get positions once more, from the second half of the time table; the first half is the chunk's own.

The first chunk has none before it, as in the authors' `forward_spectrogram` (their demo starts it from a chunk of
silence). Frames that do not fill the last chunk are dropped, as there, unless they are the whole input.

A block's inputs do not depend on later blocks of the chunk before, so chunks go through a block together; the authors'
code takes them one after another.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.layers.decibel_patches import (
    BandNorm,
    PatchEmbed,
    logit_of_mean_probability,
    output_layer,
    position_table,
)
from niah.networks.layers.mlp import Mlp
from niah.networks.layers.vit import in_token_parts

CHUNKS_AT_ONCE = 64


@dataclass(frozen=True)
class SatConfig:
    """Settings; the defaults are SAT-B with chunks of 1.92 s."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    mels: int = 64
    chunk_frames: int = 192
    class_token: bool = False
    classes: int = 527

    @property
    def rows(self) -> int:
        """Return the patch rows."""
        return self.mels // self.patch

    @property
    def chunk_columns(self) -> int:
        """Return the patch columns of a whole chunk."""
        return self.chunk_frames // self.patch

    def chunks(self, frames: int) -> int:
        """Return the number of chunks of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one patch has.
        """
        if frames < self.patch:
            raise NiahError(f"SAT needs at least {self.patch} frames (one patch), got {frames}")
        return max(1, frames // self.chunk_frames)

    def chunk_tokens(self, frames: int) -> int:
        """Return the number of tokens of a chunk of an input of `frames` frames."""
        columns = min(frames // self.patch, self.chunk_columns)
        return self.rows * columns + int(self.class_token)


class Attention(nn.Module):
    """Attention with queries of one chunk: (B, n, D), (B, m, D) -> (B, n, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        weights, biases = self.to_kv.weight.chunk(2), self.to_kv.bias.chunk(2)
        q, k, v = (
            y.view(*y.shape[:2], self.heads, -1).transpose(1, 2)  # (B, H, n or m, d)
            for y in (
                self.to_q(x),
                *(F.linear(seen, w, b) for w, b in zip(weights, biases, strict=True)),
            )
        )
        y = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(y.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A pre-norm transformer layer over chunks, with the layer's inputs of the chunk before each."""

    elements_moved = 16  # per input element (`niah.bench.roofline`): AST's, and the chunk before

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, before: Tensor | None) -> Tensor:
        """Compute the layer's outputs.

        Args:
            x: (B C, N, D).
            before: (B C, N, D), patches of the chunk before each; None for first chunks.

        Returns:
            (B C, N, D).
        """
        normed = self.norm1(x)
        seen = normed if before is None else torch.cat([self.norm1(before), normed], dim=1)
        return in_token_parts(self._feed_forward, x + self.attn(normed, seen))

    def _feed_forward(self, y: Tensor) -> Tensor:
        out: Tensor = y + self.mlp(self.norm2(y))
        return out


class Sat(nn.Module):
    """The tagger: (B, T0, M) decibels -> (B, classes) logits."""

    def __init__(self, config: SatConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.init_bn = BandNorm(config.mels)
        self.patch_embed = PatchEmbed(width, config.patch)
        self.time_pos_embed = position_table(1, width, 1, 2 * config.chunk_columns)
        self.freq_pos_embed = position_table(1, width, config.rows, 1)
        if config.class_token:
            self.cls_token = position_table(1, 1, width)
            self.token_pos_embed = position_table(1, width)
        self.blocks = nn.ModuleList([Block(width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.outputlayer = output_layer(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        chunks = self.config.chunks(x.shape[1])
        x = self.init_bn(x)
        logits, inputs = self._first_chunk(x[:, : self.config.chunk_frames])
        if chunks == 1:
            return logits
        each, at_once = [logits[:, None]], max(1, CHUNKS_AT_ONCE // len(x))
        for first in range(1, chunks, at_once):
            last = min(chunks, first + at_once)
            part = x[:, first * self.config.chunk_frames : last * self.config.chunk_frames]
            logits, inputs = self._chunks(part, inputs)
            each.append(logits)
        return logit_of_mean_probability(torch.cat(each, dim=1).transpose(0, 1))

    def _first_chunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Compute one chunk that has none before it: (B, frames, M) -> (B, classes), inputs (B, n, D) of each block."""
        tokens, inputs = self._tokens(x), []
        for block in self.blocks:
            inputs.append(tokens)
            tokens = block(tokens, None)
        return self._head(tokens), inputs

    def _chunks(self, x: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute whole chunks after another one.

        Args:
            x: (B, C chunk_frames, M) after the batch norm.
            inputs: (B, N, D) of each block in the chunk before the first.

        Returns:
            Logits (B, C, classes), and the inputs of each block in the last chunk.
        """
        batch, patches = len(x), self.config.rows * self.config.chunk_columns
        tokens = self._tokens(x.reshape(-1, self.config.chunk_frames, x.shape[2]))  # (B C, N, D)
        last = []
        for index, (block, first) in enumerate(zip(self.blocks, inputs, strict=True)):
            by_chunk = tokens.view(batch, -1, *tokens.shape[1:])
            last.append(by_chunk[:, -1].clone())  # the block may overwrite its input
            before = torch.cat([first[:, None], by_chunk[:, :-1]], dim=1)[:, :, -patches:]
            if index == 0:
                before = before + self._positions(slice(self.config.chunk_columns, None))
            tokens = block(tokens, before.flatten(0, 1))
        return self._head(tokens).view(batch, -1, self.config.classes), last

    def _tokens(self, x: Tensor) -> Tensor:  # (B, frames, M) -> (B, N, D)
        patches = self.patch_embed(x)  # (B, f, t, D)
        tokens: Tensor = patches.flatten(1, 2) + self._positions(slice(patches.shape[2]))
        if not self.config.class_token:
            return tokens
        token = (self.cls_token + self.token_pos_embed).expand(len(x), -1, -1)
        return torch.cat([token, tokens], dim=1)

    def _positions(self, columns: slice) -> Tensor:  # (f t, D)
        both = self.freq_pos_embed[0] + self.time_pos_embed[0, :, :, columns]  # (D, f, t)
        return both.flatten(1).t()

    def _head(self, tokens: Tensor) -> Tensor:  # (B, N, D) -> (B, classes)
        tokens = self.norm(tokens)
        out: Tensor = self.outputlayer(
            tokens[:, 0] if self.config.class_token else tokens.mean(dim=1)
        )
        return out
