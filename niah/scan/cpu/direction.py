"""One directional scan of a map on a CPU with a backward pass, for training: numba, vectorised over channels.

A step processes all channels of a block (channels are last in memory) in two inner loops, the step sizes first, then
the recurrence: LLVM does not vectorise one loop with both.

The state is float32 as in the official kernel. Threads split (batch item, channel block) pairs and so never change a
sum's order: results do not depend on their number. Without gradients `niah.scan.cpu.map` does all four directions.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.scan.cpu.compile import kernel
from niah.scan.cpu.math import as_float32, dot, exp_of_non_positive, softplus_in_place
from niah.system.threads import run_jobs

CHANNEL_BLOCK = 48

_ONE = np.float32(1)


@kernel()
def _forward(u, z, B, C, A, y, states, item, first, last, order):  # type: ignore[no-untyped-def]
    """Scan channels first..last of one batch item. `states` stores h for the backward pass if it is not empty."""
    start, outer, outer_stride, inner, inner_stride = order
    keep = states.shape[0] > 0
    if (
        first < 0 or item < 0
    ):  # tells LLVM that no index wraps around, without which nothing is vectorised
        return
    width = last - first
    delta, scratch = np.empty(width, np.float32), np.empty(width, np.float32)
    h = np.zeros(width, np.float32)
    a = A[first:last].copy()
    for i in range(outer):
        for j in range(inner):
            position = start + i * outer_stride + j * inner_stride
            if position < 0:
                return
            b, c = B[item, position], C[item, position]
            for n in range(width):
                delta[n] = z[item, position, first + n]
            softplus_in_place(delta, scratch, width)
            for n in range(width):
                push = delta[n] * b * u[item, position, first + n]
                h[n] = exp_of_non_positive(a[n] * delta[n]) * h[n] + push
                y[item, position, first + n] = c * h[n]
            if keep:
                for n in range(width):
                    states[item, position, first + n] = h[n]


@kernel()
def _backward(u, z, B, C, A, states, gy, gu, gz, gB, gC, gA, item, order):  # type: ignore[no-untyped-def]
    """Adjoint of `_forward` for one batch item, from the last step to the first.

    g_s = C_s gy_s + exp(delta_{s+1} A) g_{s+1}; `carry` is the second term.
    """
    if item < 0:  # as in _forward
        return
    start, outer, outer_stride, inner, inner_stride = order
    width = u.shape[2]
    delta = np.empty(width, np.float32)
    carry = np.zeros(width, np.float32)
    h_before = np.empty(width, np.float32)
    sigmoid = np.empty(width, np.float32)
    pushed = np.empty(width, np.float32)  # g * delta
    for i in range(outer - 1, -1, -1):
        for j in range(inner - 1, -1, -1):
            position = start + i * outer_stride + j * inner_stride
            before = position - inner_stride
            if j == 0:
                before = start + (i - 1) * outer_stride + (inner - 1) * inner_stride
            if position < 0:
                return
            if before < 0 or (i == 0 and j == 0):
                h_before[:] = 0
            else:
                for n in range(width):
                    h_before[n] = states[item, before, n]
            b, c = B[item, position], C[item, position]
            for n in range(width):
                delta[n] = z[item, position, n]
            softplus_in_place(delta, sigmoid, width)
            for n in range(width):
                # sigmoid(z) = 1 - exp(-softplus(z))
                sigmoid[n] = _ONE - exp_of_non_positive(-delta[n])
            for n in range(width):
                decay = exp_of_non_positive(A[n] * delta[n])
                g = c * gy[item, position, n] + carry[n]
                carry[n] = decay * g
                decayed = decay * h_before[n]
                pushed[n] = g * delta[n]
                gz[item, position, n] = g * (b * u[item, position, n] + A[n] * decayed) * sigmoid[n]
                gA[item, n] += pushed[n] * decayed
            for n in range(width):
                gu[item, position, n] = pushed[n] * b
            gB[item, position] = dot(pushed, u[item, position])
            gC[item, position] = dot(gy[item, position], states[item, position])


def _order(columns: int, rows: int, direction: int) -> tuple[int, int, int, int, int]:
    """Return (start, outer count, outer stride, inner count, inner stride) in positions t * rows + f."""
    end = columns * rows - 1
    along_time = (rows, 1, columns, rows)
    along_frequency = (columns, rows, rows, 1)
    outer, outer_stride, inner, inner_stride = (
        along_time if direction in (0, 2) else along_frequency
    )
    if direction >= 2:
        return end, outer, -outer_stride, inner, -inner_stride
    return 0, outer, outer_stride, inner, inner_stride


def _flat(x: Tensor) -> NDArray[np.float32]:
    """Convert a tensor (batch, T, F, ...) to a contiguous numpy array (batch, T F, ...)."""
    array: NDArray[np.float32] = x.detach().contiguous().flatten(1, 2).numpy()
    return array


class _ScanDirection(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, z: Tensor, B: Tensor, C: Tensor, A: Tensor, direction: int
    ) -> Tensor:
        batch, columns, rows, channels = u.shape
        order = _order(columns, rows, direction)
        training = any(ctx.needs_input_grad)
        arrays = [_flat(t) for t in (u, z, B, C)]
        a = A.detach().contiguous().numpy()
        y = torch.empty(u.shape, dtype=u.dtype)
        states = np.empty((batch if training else 0, columns * rows, channels), np.float32)
        blocks = [(c, min(c + CHANNEL_BLOCK, channels)) for c in range(0, channels, CHANNEL_BLOCK)]
        flat_y = y.flatten(1, 2).numpy()
        run_jobs(
            _forward,
            [
                (*arrays, a, flat_y, states, item, *block, order)
                for item in range(batch)
                for block in blocks
            ],
        )
        if training:
            ctx.save_for_backward(u, z, B, C, A)
            ctx.states, ctx.order = states, order
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        u, z, B, C, A = ctx.saved_tensors
        arrays = [_flat(t) for t in (u, z, B, C)]
        a = A.detach().contiguous().numpy()
        gy = _flat(gradients[0])
        gu, gz = torch.empty(u.shape), torch.empty(u.shape)
        gB, gC = torch.empty(B.shape), torch.empty(B.shape)
        gA = np.zeros((u.shape[0], u.shape[3]), np.float32)
        outputs = [g.flatten(1, 2).numpy() for g in (gu, gz, gB, gC)]
        run_jobs(
            _backward,
            [
                (*arrays, a, ctx.states, gy, *outputs, gA, item, ctx.order)
                for item in range(u.shape[0])
            ],
        )
        return gu, gz, gB, gC, torch.from_numpy(gA.sum(0)), None


def scan_direction(u: Tensor, z: Tensor, B: Tensor, C: Tensor, A: Tensor, direction: int) -> Tensor:
    """Compute `niah.scan.reference.scan_direction` on the CPU in float32; once differentiable; same arguments."""
    arguments = as_float32(u, z, B, C, A)
    y: Tensor = _ScanDirection.apply(*arguments, direction)
    return y.to(u.dtype)
