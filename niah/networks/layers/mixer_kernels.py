"""The convolution of the Mamba mixer with its SiLU, as a Triton kernel for CUDA devices: one pass over its input.

cuDNN has no fast 16-bit depthwise convolution of channels-last tensors, and padding copies them once more.
"""

import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.steps import device_of, sigmoid

TOKENS, CHANNELS, WARPS = 32, 128, 4  # of a program


def convolve_silu(
    x: Tensor, weight: Tensor, bias: Tensor, first: int, length: int, *, ahead: bool
) -> Tensor:
    """Compute SiLU of a depthwise convolution of K taps along a sequence, in float32, rounded once.

        y[t, e] = silu( bias[e] + sum_k weight[e, k] x[first + t - (K - 1) + k, e] ),  or x[first + t + (K - 1) - k, e]

    Args:
        x: (B, n, E), neighbours in E adjacent; tokens beside it are zeros.
        weight: (E, 1, K), contiguous.
        bias: (E,).
        first: the token of x that is the first of the result.
        length: tokens of the result.
        ahead: whether it looks ahead.

    Returns:
        (B, length, E) of x's dtype.
    """
    batch, tokens, channels = x.shape
    y = x.new_empty(batch, length, channels)
    grid = (triton.cdiv(length, TOKENS), triton.cdiv(channels, CHANNELS), batch)
    with device_of(x):
        _convolve_silu[grid](
            x, weight, bias, y, x.stride(0), x.stride(1), tokens, first, length,
            E=channels, TAPS=weight.shape[-1], M=TOKENS, WIDTH=CHANNELS, AHEAD=ahead, num_warps=WARPS,
        )  # fmt: skip
    return y


@triton.jit(do_not_specialize=["tokens", "first", "length"])
def _convolve_silu(
    x, weight, bias, y, x_stride: tl.int64, row: tl.int64, tokens, first, length,
    E: tl.constexpr, TAPS: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    t = tl.program_id(0) * M + tl.arange(0, M)
    e = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    item = tl.program_id(2).to(tl.int64)
    x += item * x_stride
    real = (t < length)[:, None] & (e < E)[None, :]
    total = tl.zeros((M, WIDTH), tl.float32)
    total += tl.load(bias + e, mask=e < E, other=0.0).to(tl.float32)[None, :]
    for k in tl.static_range(TAPS):
        source = first + t + (TAPS - 1 - k if AHEAD else k - (TAPS - 1))
        here = real & ((source >= 0) & (source < tokens))[:, None]
        value = tl.load(x + source.to(tl.int64)[:, None] * row + e[None, :], mask=here, other=0.0)
        tap = tl.load(weight + e * TAPS + k, mask=e < E, other=0.0)
        total += value.to(tl.float32) * tap.to(tl.float32)[None, :]
    place = (item * length + t)[:, None] * E + e[None, :]
    tl.store(y + place, total * sigmoid(total), mask=real)
