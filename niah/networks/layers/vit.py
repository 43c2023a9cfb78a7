"""Common parts of Audio-MAE, PaSST, EAT, SSLAM and ElasticAST: patches, and a transformer block of bounded memory.

    pre-norm  (ViT, DeiT):    y = x + attention(norm1(x));    y + mlp(norm2(y))
    post-norm (data2vec 2):   y = norm1(x + attention(x));    norm2(y + mlp(y))

Glossary: B batch, T0 frames, M mels, t x f patch grid (time x mel) of p x p patches, N tokens, D width, H heads,
d = D / H.

Names and layouts of the parameters are timm's, as in the authors' files. timm's module is not used because of memory:
it has queries, keys and values in one tensor of 3 B N D elements and the hidden layer in one of 4 B N D, which at 2.5 h
of PaSST's overlapping patches (N = 1,079,990) exceed 2^31 elements. Here the three are projected separately and,
without gradients, pointwise layers run on part of the tokens at a time, so that no tensor is larger than B N D.
Attention is torch's fused kernel: no N x N matrix is stored.

Initial weights are torch's defaults; these networks are for released weights.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.mlp import Mlp

TOKENS_AT_ONCE = 8192  # whole matrix products, yet 100 MB of hidden layer at D = 768
TOKENS_READ = 16  # of a last block, where one or two are read: their products have the bits that they have among all


class Attention(nn.Module):
    """Multi-head self-attention, softmax(scale q k^T) v: (B, N, D) -> (B, N, D); `scale` is 1 / sqrt(d) by default."""

    def __init__(self, width: int, heads: int, *, scale: float | None = None) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        self.heads = heads
        self.scale = scale
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """Attend from the first tokens, all by default, to all: (B, N, D) -> (B, first, D)."""
        return self.attend(x[:, :first], x)

    def attend(self, queries: Tensor, x: Tensor) -> Tensor:
        """Attend from some tokens to others: (B, Q, D) and (B, N, D) -> (B, Q, D)."""
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        width = x.shape[2] // self.heads
        q, k, v = (
            F.linear(tokens, weight, bias).view(len(x), -1, self.heads, width).transpose(1, 2)
            for tokens, weight, bias in zip((queries, x, x), weights, biases, strict=True)
        )  # (B, H, Q, d) and twice (B, H, N, d)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        out: Tensor = self.proj(y.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A transformer layer, (B, N, D) -> (B, N, D); `eps` of both LayerNorms, hidden layer of 4 D."""

    elements_moved = 14  # per input element (`niah.bench.roofline`)

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        eps: float = 1e-6,
        post_norm: bool = False,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, scale=scale)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """Return the block's output of the first tokens, all by default: (B, N, D) -> (B, first, D)."""
        normal = x if self.post_norm else self.norm1(x)
        return in_token_parts(self._feed_forward, x[:, :first] + self.attn(normal, first))

    def _feed_forward(self, y: Tensor) -> Tensor:
        """Apply everything after the first sum; it treats each token by itself."""
        if self.post_norm:
            y = self.norm1(y)
            out: Tensor = self.norm2(y + self.mlp(y))
        else:
            out = y + self.mlp(self.norm2(y))
        return out


def first_tokens(blocks: nn.Sequential, x: Tensor, count: int) -> Tensor:
    """Run blocks for the first tokens alone, as a classifier of class tokens reads them: the last block skips the rest.

    Args:
        blocks: each (B, N, D), number of tokens or None for all -> (B, that many, D).
        x: (B, N, D), class tokens first.
        count: number of tokens that are read.

    Returns:
        (B, count, D), those of `blocks(x)`.
    """
    *body, last = blocks
    for block in body:
        x = block(x)
    out: Tensor = last(x, max(count, TOKENS_READ))
    return out[:, :count]


def in_token_parts(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function that treats each token by itself to part of the tokens at a time; with gradients in one call.

    Args:
        function: (B, n, D) -> (B, n, D).
        x: (B, N, D), is overwritten by the result if it is long and no gradient is needed.

    Returns:
        (B, N, D).
    """
    batch, tokens, _ = x.shape
    if torch.is_grad_enabled() or batch * tokens <= TOKENS_AT_ONCE:
        return function(x)
    for part in torch.split(x, max(1, TOKENS_AT_ONCE // batch), dim=1):
        part.copy_(function(part))
    return x


def embed_patches(x: Tensor, projection: nn.Conv2d, *, mel_first: bool = False) -> Tensor:
    """Apply a convolution over patches as one matrix product, with its result in token order.

    Frames that do not fill a patch are dropped, as by a convolution.

    Args:
        x: (B, T0, M).
        projection: one input channel, a kernel of (frames, mels), or of (mels, frames) for `mel_first`.
        mel_first: whether the first axis of the kernel and of the result is mel.

    Returns:
        (B, t, f, D), or (B, f, t, D) for `mel_first`.
    """
    axes = [1, 0] if mel_first else [0, 1]
    (frames, mels), (hop, mel_hop) = (
        [sizes[axis] for axis in axes] for sizes in (projection.kernel_size, projection.stride)
    )
    patches = x.unfold(1, frames, hop).unfold(2, mels, mel_hop)  # (B, t, f, frames, mels)
    if mel_first:
        patches = patches.permute(0, 2, 1, 4, 3)
    return F.linear(patches.flatten(3), projection.weight.flatten(1), projection.bias)


def largest_tensor(batch: int, tokens: int, width: int, patch: int) -> int:
    """Count the elements of the largest tensor of a forward pass without gradients.

    Args:
        batch: B.
        tokens: N, with the class tokens.
        width: D.
        patch: p.

    Returns:
        The number of elements.
    """
    at_once = min(batch * tokens, max(batch, TOKENS_AT_ONCE))
    return max(batch * tokens * max(width, patch * patch), at_once * 4 * width)
