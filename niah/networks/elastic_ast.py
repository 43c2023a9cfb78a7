"""ElasticAST: an AST trained on packed inputs of several lengths (arXiv 2407.08691; official `elasticast.py`).

    (B, T0, M) features -> patches -> + mel and time positions -> blocks -> LayerNorm -> attention pooling -> LayerNorm
    -> linear

Glossary: B batch, T0 frames, M mels, t x f patch grid (time x mel), N = t f tokens, D width, H heads, d = D / H.

What differs from AST: patches of 16 x 16 do not overlap and have mel as their first axis, as the tokens have (token
row * t + column); positions are a vector for each mel row plus one for each column; there is no class token, but a
learned query that attends to all tokens; and attention is softmax(q k^T) v, **without** 1 / sqrt(d). Tokens of one clip
attend to that clip alone, so that packing several in a row, as the authors do, gives the numbers of each by itself.

Frames that do not fill a patch are dropped, as the authors' loader does. An input shorter than `trained_frames` takes
the first of the time positions; there are none beyond, so a longer one is refused.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.layers.vit import Attention, Block, embed_patches

UNSCALED = 1.0  # of q k^T


@dataclass(frozen=True)
class ElasticAstConfig:
    """Settings; the defaults are those of the authors' AudioSet weights (42.0 mAP)."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    mels: int = 128
    trained_frames: int = 1024
    classes: int = 527

    def __post_init__(self) -> None:
        if self.mels % self.patch or self.trained_frames % self.patch:
            raise ValueError(f"mels and trained_frames must be multiples of patch {self.patch}")

    @property
    def rows(self) -> int:
        """Return the number of patch rows, f."""
        return self.mels // self.patch

    def columns(self, frames: int) -> int:
        """Return the number of whole patch columns, t.

        Raises:
            NiahError: fewer frames than one patch has, or more than there are positions for.
        """
        if not self.patch <= frames < self.trained_frames + self.patch:
            raise NiahError(
                f"ElasticAST has no native mode for {frames} frames: it has positions for {self.patch} to "
                f"{self.trained_frames}; use --window 10"
            )
        return frames // self.patch

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input of `frames` frames."""
        return self.rows * self.columns(frames)


class ElasticAst(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: ElasticAstConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, config.heads
        self.patch_embed = nn.Conv2d(1, width, config.patch, stride=config.patch)
        columns = config.trained_frames // config.patch
        self.pos_embed_freq = nn.Parameter(torch.empty(config.rows, width).normal_())
        self.pos_embed_time = nn.Parameter(torch.empty(columns, width).normal_())
        self.blocks = nn.Sequential(
            *[Block(width, heads, scale=UNSCALED) for _ in range(config.depth)]
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.attn_pool_queries = nn.Parameter(torch.empty(width).normal_())
        self.attn_pool = Attention(width, heads, scale=UNSCALED)
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.config.columns(x.shape[1])
        tokens = embed_patches(x, self.patch_embed, mel_first=True)  # (B, f, t, D)
        tokens = tokens + self.pos_embed_freq[:, None] + self.pos_embed_time[:columns]
        tokens = self.norm(self.blocks(tokens.flatten(1, 2)))
        query = self.attn_pool_queries.expand(len(x), 1, -1)
        pooled = self.attn_pool.attend(query, tokens)[:, 0]
        out: Tensor = self.head(self.mlp_norm(pooled))
        return out
