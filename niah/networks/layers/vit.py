"""Parts that Audio-MAE, PaSST, EAT and SSLAM share: patches, and a transformer block of bounded memory.

    pre-norm  (ViT, DeiT):    y = x + attention(norm1(x));    y + mlp(norm2(y))
    post-norm (data2vec 2):   y = norm1(x + attention(x));    norm2(y + mlp(y))

Glossary: B batch, T0 frames, M mels, t x f patch grid (time x mel) of p x p patches, N tokens, D width, H heads,
d = D / H.

Names and layouts of the parameters are timm's, which is what the authors' files hold. It is not timm's module because
of memory: timm's holds queries, keys and values as one tensor of 3 B N D elements and the hidden layer as one of
4 B N D, which at 2.5 h of PaSST's overlapping patches (N = 1,079,990) are past 2^31 elements. Here attention projects
the three apart and, where no gradient is asked for, everything that acts on a token alone runs over stretches of
tokens, so that no tensor is larger than B N D. Attention itself is torch's fused kernel: no N x N matrix anywhere.

Initial weights are torch's own; these networks are for released weights.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.mlp import Mlp

TOKENS_AT_ONCE = 8192  # whole matrix products, yet 100 MB of hidden layer at D = 768


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(d)) v: (B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for weight, bias in zip(weights, biases, strict=True)
        )  # (B, H, N, d) each
        y = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(y.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """One layer, (B, N, D) -> (B, N, D); `eps` of both LayerNorms, hidden layer of 4 D."""

    elements_moved = (
        14  # for each of its input's, by a fused implementation (`niah.bench.roofline`)
    )

    def __init__(
        self, width: int, heads: int, *, eps: float = 1e-6, post_norm: bool = False
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        if self.post_norm:
            return by_stretches(self._feed_forward, x + self.attn(x))
        return by_stretches(self._feed_forward, x + self.attn(self.norm1(x)))

    def _feed_forward(self, y: Tensor) -> Tensor:
        """All after the first sum; a token's result depends on that token alone."""
        if self.post_norm:
            y = self.norm1(y)
            out: Tensor = self.norm2(y + self.mlp(y))
        else:
            out = y + self.mlp(self.norm2(y))
        return out


def by_stretches(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`function` of (B, N, D) -> (B, N, D), a token at a time in its effect, over stretches of tokens.

    The result takes the place of `x` stretch by stretch, so `x` is to be the caller's own. With gradients it is one
    call, as the backward pass would keep every stretch anyway.
    """
    batch, tokens, _ = x.shape
    if torch.is_grad_enabled() or batch * tokens <= TOKENS_AT_ONCE:
        return function(x)
    for stretch in torch.split(x, max(1, TOKENS_AT_ONCE // batch), dim=1):
        stretch.copy_(function(stretch))
    return x


def embed_patches(x: Tensor, projection: nn.Conv2d, *, mel_first: bool = False) -> Tensor:
    """The convolution of `projection` (p x p, one channel) as one matrix product, its result in token order.

    (B, T0, M) -> (B, t, f, D), or (B, f, t, D) for `mel_first`, where the kernel's first axis is mel. Frames that do
    not fill a patch are dropped, as by a convolution. The transposed maps that a convolution leaves are not made.
    """
    side, stride = projection.kernel_size[0], projection.stride[0]
    patches = x.unfold(1, side, stride).unfold(2, side, stride)  # (B, t, f, p frames, p mels)
    if mel_first:
        patches = patches.permute(0, 2, 1, 4, 3)
    return F.linear(patches.flatten(3), projection.weight.flatten(1), projection.bias)


def largest_tensor(batch: int, tokens: int, width: int, patch: int) -> int:
    """Elements of the largest tensor of a forward without gradients, N counted with the class tokens."""
    at_once = min(batch * tokens, max(batch, TOKENS_AT_ONCE))
    return max(batch * tokens * max(width, patch * patch), at_once * 4 * width)
