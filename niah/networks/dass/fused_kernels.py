"""Triton kernels of DASS between its matrix products and scans: LayerNorm over few channels, depthwise convolution.

torch's LayerNorm gives a row of 96 channels a block of its own, and cuDNN has no fast 16-bit depthwise convolution of
channels-last maps. Both kernels compute in float32 and round once.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.steps import device_of, sigmoid

TILE = 4096  # elements of a program
WARPS = 8  # of a convolution's program, which has nine loads an element under way


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    dtype: torch.dtype | None = None,
    *,
    before: Tensor | None = None,
    add: Tensor | None = None,
) -> Tensor:
    """Compute LayerNorm over the last axis, and optionally add vectors in the same pass: to what is normalised, to x.

    Args:
        x: (.., C), contiguous; is changed if `add` is given.
        weight: (C,).
        bias: (C,).
        eps: is added to the variance.
        dtype: of the result; None is that of `x`.
        before: (C,) is added to each row before it is normalised, and x stays; None for nothing.
        add: (C,) to add to each row of `x` after it was normalised; None for nothing.

    Returns:
        (.., C).
    """
    channels = x.shape[-1]
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
    width = min(128, triton.next_power_of_2(channels))
    block = TILE // 2 // width
    blocks = triton.cdiv(columns * rows, block)
    with device_of(u):
        _depthwise_silu[(batch * blocks * triton.cdiv(channels, width),)](
            v, kernel, u, v.stride(0), u.stride(0), blocks, columns, v.shape[1], first,
            F=rows, C=channels, M=block, WIDTH=width, num_warps=WARPS,
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
    F: tl.constexpr, C: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    channel_blocks: tl.constexpr = (C + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    c = (program % channel_blocks).to(tl.int32) * WIDTH + tl.arange(0, WIDTH)
    block = (program // channel_blocks % blocks).to(tl.int32)
    item = program // channel_blocks // blocks
    v += item * v_stride
    u += item * u_stride
    position = block * M + tl.arange(0, M)
    column = position // F + first
    row = position % F
    real = position < columns * F
    total = tl.zeros((M, WIDTH), tl.float32)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            t = column + i - 1
            f = row + j - 1
            here = real & (t >= 0) & (t < window) & (f >= 0) & (f < F)
            offset = (t * F + f)[:, None] * C + c[None, :]
            value = tl.load(v + offset, mask=here[:, None] & (c < C)[None, :], other=0.0)
            tap = tl.load(kernel + (3 * i + j) * C + c, mask=c < C, other=0.0)
            total += value.to(tl.float32) * tap.to(tl.float32)[None, :]
    inside = real[:, None] & (c < C)[None, :]
    tl.store(u + position[:, None] * C + c[None, :], total * sigmoid(total), mask=inside)
