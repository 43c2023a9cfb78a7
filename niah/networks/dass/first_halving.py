"""The stem's first half on a CUDA device in one pass over the features, as a Triton kernel.

    out[t, f] = GELU(LayerNorm(conv(x)[t, f])),   conv of one channel, 3 x 3, stride 2, padding 1

As operations of their own these write the longest map of the network three times, and cuDNN converts layouts. Here
the nine features of a position are a row of a matrix product, and what follows happens in its float32 sums before they
are rounded for the first time.
"""

import triton
import triton.language as tl
from torch import Tensor, nn

from niah.networks.dass.linear_gelu import gelu
from niah.scan.triton.steps import device_of, has_ptx, interpreted

POSITIONS = 128  # of a program, fewer where channels are many
TILE = 8192  # elements of a program's sums at most
WARPS = 4


def fits(layers: list[nn.Module]) -> bool:
    """Return whether layers begin with such a convolution with a bias, LayerNorm and exact GELU."""
    if len(layers) < 3:
        return False
    conv, norm, activation = layers[:3]
    return (
        isinstance(conv, nn.Conv2d)
        and (conv.in_channels, conv.kernel_size, conv.stride) == (1, (3, 3), (2, 2))
        and conv.padding == (1, 1)
        and conv.bias is not None
        and isinstance(norm, nn.LayerNorm)
        and isinstance(activation, nn.GELU)
        and activation.approximate == "none"
    )


def first_halving(
    x: Tensor, kernel: Tensor, bias: Tensor, norm: nn.LayerNorm, padding: int, columns: int
) -> Tensor:
    """Compute the first columns of a window.

    Args:
        x: (B, window, M, 1) features, each item contiguous.
        kernel: (C, 1, 3, 3), time first, contiguous.
        bias: (C,) of the convolution.
        norm: the LayerNorm over C.
        padding: columns of zeros before x: 1 where it begins with the first column of all, else 0.
        columns: to compute.

    Returns:
        (B, columns, ceil(M / 2), C) of x's dtype.
    """
    batch, window, mels, _ = x.shape
    rows, channels = (mels + 1) // 2, len(kernel)
    out = x.new_empty(batch, columns, rows, channels)
    padded = max(16, triton.next_power_of_2(channels))
    positions = max(16, min(POSITIONS, TILE // padded))
    blocks = triton.cdiv(columns * rows, positions)
    with device_of(x):
        _first_halving[(batch * blocks,)](
            x, kernel, bias, norm.weight, norm.bias, out, x.stride(0), blocks, columns, window, padding, norm.eps,
            MELS=mels, F=rows, C=channels, PADDED=padded, M=positions,
            EXACT=x.element_size() > 2, PTX=has_ptx(), WIDEN=interpreted(), num_warps=WARPS,
        )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["blocks", "columns", "window", "padding", "eps"])
def _first_halving(
    x, kernel, bias, scale, shift, out, x_stride: tl.int64, blocks, columns, window, padding, eps,
    MELS: tl.constexpr, F: tl.constexpr, C: tl.constexpr, PADDED: tl.constexpr, M: tl.constexpr,
    EXACT: tl.constexpr, PTX: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Make M positions of one item."""
    program = tl.program_id(0).to(tl.int64)
    item = program // blocks
    position = (program % blocks).to(tl.int32) * M + tl.arange(0, M)
    real = position < columns * F
    tap, c = tl.arange(0, 16), tl.arange(0, PADDED)
    t = (2 * (position // F) - padding)[:, None] + (tap // 3)[None, :]
    m = (2 * (position % F) - 1)[:, None] + (tap % 3)[None, :]
    inside = (t >= 0) & (t < window) & (m >= 0) & (m < MELS)
    inside &= real[:, None] & (tap < 9)[None, :]
    features = tl.load(x + item * x_stride + t * MELS + m, mask=inside, other=0.0)
    weighted = (tap < 9)[:, None] & (c < C)[None, :]
    weight = tl.load(kernel + c[None, :] * 9 + tap[:, None], mask=weighted, other=0.0)
    if WIDEN:  # the interpreter multiplies no bfloat16
        features, weight = features.to(tl.float32), weight.to(tl.float32)
    value = tl.dot(features, weight, input_precision="ieee")  # which is of float32
    value += tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    mean = tl.sum(value, 1) / C  # beside the channels are zeros
    centred = tl.where((c < C)[None, :], value - mean[:, None], 0.0)
    variance = tl.sum(centred * centred, 1) / C
    by = tl.load(scale + c, mask=c < C, other=0.0).to(tl.float32)
    more = tl.load(shift + c, mask=c < C, other=0.0).to(tl.float32)
    normal = centred * (1.0 / tl.sqrt(variance + eps))[:, None] * by[None, :] + more[None, :]
    if EXACT:
        normal *= 0.5 * (1.0 + tl.math.erf(normal * 0.7071067811865476))
    else:
        normal = gelu(normal, PTX)
    first = out + item * columns * F * C
    written = real[:, None] & (c < C)[None, :]
    tl.store(first + position[:, None] * C + c[None, :], normal, mask=written)
