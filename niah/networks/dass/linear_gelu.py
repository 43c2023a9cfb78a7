"""A linear layer with GELU in one pass for 16-bit maps on a CUDA device, as a Triton kernel.

As two operations, the MLP's hidden layer, four times as wide as the map, is written, read and written again. Here GELU
is applied to the product's float32 sums before they are rounded for the first time:

    gelu(z) = z Phi(z) = max(z, 0) - |z| Phi(-|z|),   Phi(-a) = 2^R(a)

with R the polynomial of degree 5 of least error for log2 Phi(-a) on [0, 5.5]: 2.4e-4 relative wherever |z| < 5, an
eighth of bfloat16's rounding and half of float16's, and at most 3.3e-5 absolute; one special function, no division.
"""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.steps import device_of, has_ptx, interpreted, power_of_2

ROWS, COLUMNS = 128, 128  # of a program's tile
WARPS, STAGES = 8, 3


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute GELU(x weight^T + bias), GELU as z Phi(z) with the normal distribution function Phi.

    Args:
        x: (N, C), contiguous. float32 is left to torch, whose products are not rounded to tensor-core formats.
        weight: (H, C), contiguous.
        bias: (H,).

    Returns:
        (N, H) of x's dtype.
    """
    if x.dtype == torch.float32:
        out: Tensor = torch.ops.aten.gelu_(F.linear(x, weight, bias))
        return out
    rows, inner = x.shape
    columns = len(weight)
    out = x.new_empty(rows, columns)
    depth = 64 if inner % 64 == 0 else 32
    with device_of(x):
        _linear_gelu[(triton.cdiv(rows, ROWS) * triton.cdiv(columns, COLUMNS),)](
            x, weight, bias, out, rows, K=inner, N=columns, M=ROWS, WIDTH=COLUMNS, DEPTH=depth,
            PTX=has_ptx(), WIDEN=interpreted(), num_warps=WARPS, num_stages=STAGES,
        )  # fmt: skip
    return out


@triton.jit
def gelu(z, PTX: tl.constexpr):
    """Compute z Phi(z), 2.4e-4 relative for |z| < 5."""
    a = tl.abs(z)
    r = 0.004913250450044870 + a * -0.0002368129353271797
    r = -0.4693737328052521 + a * (-0.04478179290890694 + a * r)
    r = -1.0003433227539062 + a * (-1.146437168121338 + a * r)
    return tl.maximum(z, 0.0) - a * power_of_2(r, PTX)


@triton.jit(do_not_specialize=["rows"])
def _linear_gelu(
    x, weight, bias, out, rows,
    K: tl.constexpr, N: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
    PTX: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Compute one tile (M, WIDTH); tiles of the same rows follow each other, which then are in the L2 cache."""
    tiles: tl.constexpr = (N + WIDTH - 1) // WIDTH
    program = tl.program_id(0)
    row = (program // tiles).to(tl.int64) * M + tl.arange(0, M)
    column = program % tiles * WIDTH + tl.arange(0, WIDTH)
    k = tl.arange(0, DEPTH)
    real, wide = (row < rows)[:, None], (column < N)[:, None]
    left = x + row[:, None] * K + k[None, :]
    right = weight + column[:, None] * K + k[None, :]
    total = tl.zeros((M, WIDTH), tl.float32)
    for first in range(0, K, DEPTH):
        inside = (k < K - first)[None, :] if K % DEPTH else True
        a = tl.load(left + first, mask=real & inside, other=0.0)
        b = tl.load(right + first, mask=wide & inside, other=0.0)
        if WIDEN:  # the interpreter multiplies no bfloat16
            a, b = a.to(tl.float32), b.to(tl.float32)
        total = tl.dot(a, tl.trans(b), total)
    shift = tl.load(bias + column, mask=column < N, other=0.0).to(tl.float32)
    value = gelu(total + shift[None, :], PTX)
    tl.store(out + row[:, None] * N + column[None, :], value, mask=real & (column < N)[None, :])
