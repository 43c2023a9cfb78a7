"""Mamba's scan along one sequence in Triton, N states a channel: reduce, carry, rerun. Equations: `niah.scan`.

A sequence is cut into lines of steps; a program (one warp) runs one line for 32 channels and all their states. With
one line (short sequences, or batch items and channels enough to fill the device) the first two phases are left out:
they cost as many exponentials as the scan itself. `reverse` is an order of visiting, nothing is flipped.

float32 inside; bfloat16 inputs give bfloat16, float16 inputs give float32, since outputs of 1e4 to 1e6 occur. Lengths
are no constants of the kernels, offsets are int64, and the backward pass adds in a fixed order.
"""

from typing import Any

import torch
from torch import Tensor

from niah.scan import output_dtype
from niah.scan.chunked import scan_sequence as torch_scan
from niah.scan.triton.known_answer import sequence_scan_trains
from niah.scan.triton.sequence_backward import gradients
from niah.scan.triton.sequence_forward import outputs, plan_of
from niah.scan.triton.steps import check_device, device_of


def scan_sequence(
    u: Tensor,
    z: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    D: Tensor,
    state: Tensor,
    reverse: bool = False,
    *,
    line: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute `niah.scan.reference.scan_sequence`; differentiable in all tensors.

    Args:
        u, z, B, C, A, D, state, reverse: as in `niah.scan.reference.scan_sequence`.
        line: steps of a line, for tests.

    Returns:
        y (batch, L, E), bfloat16 for a bfloat16 input, else float32; the final state (batch, E, N) float32.

    Raises:
        NiahError: the tensors are not on a CUDA device.
    """
    check_device(u.device.type)
    tensors = tuple(x.contiguous() for x in (u, z, B, C, A, D, state))
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        trains = sequence_scan_trains(
            lambda *x: _ScanSequence.apply(*x, reverse, None), u, A, reverse=reverse
        )
        if not trains:
            u, z, B, C, A, D, state = (x.float() for x in tensors)
            y, final = torch_scan(u, z, B, C, A, D, state, reverse)
            return y.to(output_dtype(tensors[0].dtype)), final
    y, final = _ScanSequence.apply(*tensors, reverse, line)
    return y, final


class _ScanSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        *inputs, initial, reverse, line = arguments
        u, A = inputs[0], inputs[4]
        training = any(ctx.needs_input_grad)
        plan = plan_of(u, A, reverse, training, line)
        with device_of(u):
            y, final, states = outputs(plan, tuple(inputs), initial)
        if training:
            ctx.save_for_backward(*inputs, initial, states)
            ctx.plan = plan
        return y, final

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gy, gfinal = (g.contiguous() for g in grad_outputs)
        with device_of(gy):
            return *gradients(ctx.plan, ctx.saved_tensors, gy, gfinal), None, None
