"""The four scans of a map (SS2D) in Triton: reduce, carry, rerun. Equations and argument order are `niah.scan`'s.

1. Reduce: every line of steps (`niah.scan.triton.lines`) is run from a zero state; its end state and decay are stored.
2. Carry (`niah.scan.triton.carry`): from these, the state that enters each line.
3. Rerun: every line again, from its entering state, all four directions of a slab by one program. The sum of the
   directions stays in a float32 scratch slab of the program's own and leaves once; all slabs together are half an
   H100's L2 cache.

Steps of a line are a plain loop over four at a time; a program's tile is 16 lines x 32 channels (backward 16 x 16), so
nothing is transposed, flipped or copied, and a step costs no prefix network. The step projection is a small matrix
product in the kernel: z and the four directional inputs never exist in memory. No size that depends on the length is a
constant of the kernel, so that one compilation serves all lengths, and offsets are int64.

Notes on precision: float32 inside, whatever the inputs are. Products of 16-bit inputs are exact; with coordinates of 16
bits and weights of 32, as in mixed precision, weights are cut to TF32; float32 inputs are multiplied in three parts.
In the backward pass of 16-bit inputs the gradients of steps are cut to TF32. bfloat16 maps give bfloat16, float16 maps
give float32, since outputs of 1e4 to 1e6 occur. The backward pass (`niah.scan.triton.cross_backward`) adds in a fixed
order: the same call gives the same bits.
"""

from typing import Any

import torch
from torch import Tensor

from niah.scan import cross_scan as torch_scan
from niah.scan import output_dtype
from niah.scan.triton.cross_backward import gradients
from niah.scan.triton.cross_forward import outputs, plan_of
from niah.scan.triton.known_answer import map_scan_trains
from niah.scan.triton.steps import check_device, device_of


def cross_scan(
    u: Tensor,
    p: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    *,
    line: int | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Compute `niah.scan.cross_scan`; once differentiable in all tensors.

    Args:
        u, p, dt_weight, dt_bias, A, D: as in `niah.scan.cross_scan`.
        line: columns of a line along time, for tests.
        out: (B, T, F, C) to write to, of the result's dtype; may be u. Not differentiable then.

    Returns:
        (B, T, F, C), float32 for a float16 map, else in the map's dtype.

    Raises:
        NiahError: the tensors are not on a CUDA device.
    """
    check_device(u.device.type)
    u, p = u.contiguous(), _with_rows(p)
    parameters = tuple(x.contiguous() for x in (dt_weight, dt_bias, A, D))
    if out is not None and out.dtype == output_dtype(u.dtype):
        with torch.no_grad(), device_of(u):
            return outputs(plan_of(u, p, dt_weight, line), (u, p, *parameters), out)[0]
    tensors = (u, p, *parameters)
    trains = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    if trains and not map_scan_trains(lambda *x: (_CrossScan.apply(*x, None),), u, p, dt_weight):
        return torch_scan(*tensors, backend="chunked")
    y: Tensor = _CrossScan.apply(*tensors, line)
    return y


def aligned_row(rank: int) -> int:
    """Return the elements of a direction's coordinates, B and C that kernels load fastest: a power of 2.

    `cross_scan` takes rows of any length, as a view of the R + 2 elements that count; in rows of this length it also
    loads the rest, which must be finite.
    """
    return max(8, 1 << (rank + 1).bit_length())


def _with_rows(p: Tensor) -> Tensor:
    """Return p with adjacent coordinates; rows may be longer than they are, which `aligned_rank` is for."""
    row = p.stride(3)
    _, T, F = p.shape[:3]
    strides = (T * F * 4 * row, F * 4 * row, 4 * row, row, 1)
    adjacent = all(
        size == 1 or stride == wanted
        for size, stride, wanted in zip(p.shape, p.stride(), strides, strict=True)
    )
    return p if adjacent and row >= p.shape[4] else p.contiguous()


class _CrossScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, *rest: Any) -> Tensor:
        p, dt_weight, dt_bias, A, D, line = rest
        inputs = (u, p, dt_weight, dt_bias, A, D)
        plan = plan_of(u, p, dt_weight, line)
        with device_of(u):
            y, states = outputs(plan, inputs)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(*inputs, states)
            ctx.plan = plan
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gy = grad_outputs[0].contiguous()
        with device_of(gy):
            return *gradients(ctx.plan, ctx.saved_tensors, gy), None
