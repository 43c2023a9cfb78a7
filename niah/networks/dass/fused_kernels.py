"""Triton kernels of DASS between its matrix products and scans: LayerNorm over few channels, depthwise convolution.

torch's LayerNorm gives a row of 96 channels a block of its own, and cuDNN has no fast 16-bit depthwise convolution of
channels-last maps. Both kernels compute in float32 and round once.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.steps import LOG2_E, device_of, has_ptx, power_of_2, reciprocal, widened

TILE = 4096  # elements of a LayerNorm's program
MAP_COLUMN = 512  # elements of a column of a convolution's program, all rows of some channels
LENGTH = 8  # columns that it makes: each is loaded three times, where single elements would be nine times
WARPS = 8


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    dtype: torch.dtype | None = None,
    *,
    before: Tensor | None = None,
    add: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Compute LayerNorm over the last axis, and optionally add vectors in the same pass: to what is normalised, to x.

        out = (x + before - mean) / sqrt(variance + eps) weight + bias;   with `add`, x <- x + before + add

    Args:
        x: (.., C), contiguous; is changed if `add` is given.
        weight: (C,).
        bias: (C,).
        eps: is added to the variance.
        dtype: of the result; None is that of `x`.
        before: (C,); None for zeros.
        add: (C,); None leaves x as it is.
        out: (.., C), contiguous, to write to; None makes it.

    Returns:
        (.., C).
    """
    channels = x.shape[-1]
    if out is None:
        out = torch.empty_like(x, dtype=dtype or x.dtype)
    rows = x.numel() // channels
    padded = triton.next_power_of_2(channels)
    block = max(1, TILE // padded)
    with device_of(x):
        _layer_norm[(triton.cdiv(rows, block),)](
            x, weight, bias, weight if before is None else before, weight if add is None else add,
            out, rows, eps, C=channels, PADDED=padded, M=block,
            BEFORE=before is not None, ADD=add is not None,
        )  # fmt: skip
    return out


def depthwise_silu(v: Tensor, kernel: Tensor, u: Tensor, first: int) -> None:
    """Compute SiLU(depthwise 3 x 3 convolution) of a window of columns.

        u[t, f, c] = silu( sum_{i, j in 0..2} kernel[3 i + j, c] v[t + first + i - 1, f + j - 1, c] )

    Columns and rows beside v are zeros.

    Args:
        v: (B, window, F, C), each item contiguous.
        kernel: (9, C), time first.
        u: (B, columns, F, C), each item contiguous; is overwritten.
        first: the column of v under the first one of u.
    """
    batch, columns, rows, channels = u.shape
    padded = triton.next_power_of_2(rows)
    width = min(max(1, MAP_COLUMN // padded), triton.next_power_of_2(channels))
    blocks = triton.cdiv(columns, LENGTH)
    with device_of(u):
        _depthwise_silu[(batch * blocks * triton.cdiv(channels, width),)](
            v, kernel, u, v.stride(0), u.stride(0), blocks, columns, v.shape[1], first,
            F=rows, C=channels, PADDED=padded, WIDTH=width, COLUMNS=LENGTH, PTX=has_ptx(), num_warps=WARPS,
        )  # fmt: skip


@triton.jit(do_not_specialize=["rows", "eps"])
def _layer_norm(
    x, weight, bias, before, add, out, rows, eps,
    C: tl.constexpr, PADDED: tl.constexpr, M: tl.constexpr,
    BEFORE: tl.constexpr, ADD: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * M + tl.arange(0, M)
    c = tl.arange(0, PADDED)
    inside = (row < rows)[:, None] & (c < C)[None, :]
    here = row[:, None] * C + c[None, :]
    value = tl.load(x + here, mask=inside, other=0.0).to(tl.float32)
    if BEFORE:
        value += tl.load(before + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    mean = tl.sum(value, 1) / C
    centred = tl.where(inside, value - mean[:, None], 0.0)
    variance = tl.sum(centred * centred, 1) / C
    scale = tl.load(weight + c, mask=c < C, other=0.0).to(tl.float32)
    shift = tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)
    normal = centred * (1.0 / tl.sqrt(variance + eps))[:, None] * scale[None, :] + shift[None, :]
    tl.store(out + here, normal, mask=inside)
    if ADD:
        more = tl.load(add + c, mask=c < C, other=0.0).to(tl.float32)
        tl.store(x + here, value + more[None, :], mask=inside)


@triton.jit(do_not_specialize=["blocks", "columns", "window", "first"])
def _depthwise_silu(
    v, kernel, u, v_stride: tl.int64, u_stride: tl.int64, blocks, columns, window, first,
    F: tl.constexpr, C: tl.constexpr, PADDED: tl.constexpr, WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """Make some columns of u: each column of v is added to the sums of the three that it lies beside."""
    channel_blocks: tl.constexpr = (C + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    c = (program % channel_blocks).to(tl.int32) * WIDTH + tl.arange(0, WIDTH)
    begin = (program // channel_blocks % blocks).to(tl.int32) * COLUMNS
    item = program // channel_blocks // blocks
    f = tl.arange(0, PADDED)
    inside = (f < F)[:, None] & (c < C)[None, :]
    under = ((f >= 1) & (f < F))[:, None] & (c < C)[None, :]
    over = (f < F - 1)[:, None] & (c < C)[None, :]
    here = f[:, None] * C + c[None, :]
    v += item * v_stride
    u += item * u_stride
    # of the map's layout: nothing is exchanged between threads
    taps = kernel + f[:, None] * 0 + c[None, :]
    k00, k01, k02 = _taps(taps, inside, C)
    k10, k11, k12 = _taps(taps + 3 * C, inside, C)
    k20, k21, k22 = _taps(taps + 6 * C, inside, C)
    second = tl.zeros((PADDED, WIDTH), tl.float32)  # of the column after the one that is made
    third = tl.zeros((PADDED, WIDTH), tl.float32)
    for step in tl.static_range(COLUMNS + 2):
        t = first + begin + step - 1
        # a block of t's: of a mask and a scalar the interpreter makes numbers
        every = t + tl.zeros((PADDED, 1), tl.int32)
        real = (every >= 0) & (every < window)
        column = v + t * (F * C)
        low = widened(tl.load(column + here - C, mask=under & real, other=0.0), PTX)
        middle = widened(tl.load(column + here, mask=inside & real, other=0.0), PTX)
        high = widened(tl.load(column + here + C, mask=over & real, other=0.0), PTX)
        if step >= 2:
            total = second + k20 * low + k21 * middle + k22 * high
            silu = total * reciprocal(1.0 + power_of_2(total * -LOG2_E, PTX), PTX)
            made = u + (begin + step - 2) * (F * C) + here
            tl.store(made, silu, mask=inside & (every <= first + columns))
        second = third + k10 * low + k11 * middle + k12 * high
        third = k00 * low + k01 * middle + k02 * high


@triton.jit
def _taps(taps, inside, C: tl.constexpr):
    """Load three taps of each channel, as (PADDED, WIDTH)."""
    low = tl.load(taps, mask=inside, other=0.0).to(tl.float32)
    middle = tl.load(taps + C, mask=inside, other=0.0).to(tl.float32)
    high = tl.load(taps + 2 * C, mask=inside, other=0.0).to(tl.float32)
    return low, middle, high
