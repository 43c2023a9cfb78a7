"""The one-dimensional scan with N states a channel on a CPU (AuM, SSAMBA): numba, with a backward pass.

A job is a batch item and a block of channels: its states (N, block) stay in the first-level cache, and all loops run
over the channels of the block, which are last in memory. `reverse` is an index, not a flipped copy.

For training, the forward pass stores the state before every `STRETCH`-th step; the backward pass recomputes the steps
in between, from the last stretch to the first, and runs the adjoint

    g_t = C_t gy_t + exp(delta_{t+1} A) g_{t+1}

through each. Sums over channels are computed per block and added in the order of the blocks: every run gives the same
bits.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from niah.scan import output_dtype
from niah.scan.cpu.compile import kernel
from niah.scan.cpu.math import as_float32, dot, exp_of_non_positive, softplus_in_place
from niah.system.threads import run_jobs

MOST_CHANNELS = 192  # of a forward job: its states and A, 16 a channel, fit the first-level cache
BACKWARD_BLOCK = 48
STRETCH = 32

_ONE = np.float32(1)


@kernel()
def _advance(u, z, B, C, A, D, y, state, saved, item, first, width, reverse):  # type: ignore[no-untyped-def]
    """Run all steps of channels first..first + width of one item; A and a state are (N, E).

    `state` is the initial one and becomes the final one; `saved` is empty or (batch, stretches, N, E).
    Arrays are copied by loops: numba takes 2.7 s to compile the message of an assignment whose shapes differ.
    """
    if first < 0 or item < 0 or width < 0:
        return  # tells LLVM that no index wraps around, without which nothing is vectorised
    length, states = u.shape[1], A.shape[0]
    a = A[:, first : first + width].copy()
    h = state[item, :, first : first + width].copy()
    delta, push, out = (
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
    )
    for step in range(length):
        t = length - 1 - step if reverse else step
        if t < 0:
            return
        if saved.shape[0] > 0 and step % STRETCH == 0:
            for n in range(states):
                for e in range(width):
                    saved[item, step // STRETCH, n, first + e] = h[n, e]
        for e in range(width):
            delta[e] = z[item, t, first + e]
        softplus_in_place(delta, out, width)
        for e in range(width):
            push[e] = delta[e] * u[item, t, first + e]
            out[e] = D[first + e] * u[item, t, first + e]
        for n in range(states):
            b, c = B[item, t, n], C[item, t, n]
            for e in range(width):
                h[n, e] = exp_of_non_positive(delta[e] * a[n, e]) * h[n, e] + push[e] * b
                out[e] += c * h[n, e]
        for e in range(width):
            y[item, t, first + e] = out[e]
    for n in range(states):
        for e in range(width):
            state[item, n, first + e] = h[n, e]


@kernel()
def _retreat(  # type: ignore[no-untyped-def]
    u, z, B, C, A, saved, gy, gu, gz, gB, gC, gA, carry, item, block, first, width, reverse
):
    """Adjoint of `_advance` (without D), from the last step taken to the first.

    `carry` (batch, N, E) is the gradient at the state after, and becomes that at the state before. gB and gC have
    one part a block: (blocks, batch, L, N); gA has one an item: (batch, N, E).
    """
    if first < 0 or item < 0 or width < 0 or block < 0:
        return  # as above
    length, states = u.shape[1], A.shape[0]
    a = A[:, first : first + width].copy()
    g = carry[item, :, first : first + width].copy()
    ga = np.zeros((states, width), np.float32)
    h = np.empty((STRETCH + 1, states, width), np.float32)  # before the stretch, after each step
    delta = np.empty((STRETCH, width), np.float32)
    scratch, x, gx, gd, upstream = (
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
    )
    for stretch in range((length - 1) // STRETCH, -1, -1):
        start = stretch * STRETCH
        count = min(STRETCH, length - start)
        if start < 0:
            return
        for n in range(states):
            for e in range(width):
                h[0, n, e] = saved[item, stretch, n, first + e]
        for i in range(count):
            t = length - 1 - start - i if reverse else start + i
            if t < 0:
                return
            for e in range(width):
                delta[i, e] = z[item, t, first + e]
            softplus_in_place(delta[i], scratch, width)
            for n in range(states):
                b = B[item, t, n]
                for e in range(width):
                    push = delta[i, e] * u[item, t, first + e] * b
                    decay = exp_of_non_positive(delta[i, e] * a[n, e])
                    h[i + 1, n, e] = decay * h[i, n, e] + push
        for j in range(count):
            i = count - 1 - j
            t = length - 1 - start - i if reverse else start + i
            if i < 0 or t < 0:
                return
            for e in range(width):
                x[e], upstream[e] = u[item, t, first + e], gy[item, t, first + e]
                gx[e], gd[e] = np.float32(0), np.float32(0)
            for n in range(states):
                b, c = B[item, t, n], C[item, t, n]
                gC[block, item, t, n] = dot(upstream, h[i + 1, n])
                for e in range(width):
                    decay = exp_of_non_positive(delta[i, e] * a[n, e])
                    total = c * upstream[e] + g[n, e]
                    decayed = total * decay * h[i, n, e]
                    scratch[e] = total * delta[i, e]
                    g[n, e] = decay * total
                    gd[e] += total * b * x[e] + a[n, e] * decayed
                    ga[n, e] += delta[i, e] * decayed
                for e in range(width):
                    gx[e] += scratch[e] * b
                gB[block, item, t, n] = dot(scratch, x)
            for e in range(width):
                gu[item, t, first + e] = gx[e]
                # softplus' is sigmoid(z) = 1 - exp(-softplus(z))
                gz[item, t, first + e] = gd[e] * (_ONE - exp_of_non_positive(-delta[i, e]))
    for n in range(states):
        for e in range(width):
            carry[item, n, first + e] = g[n, e]
            gA[item, n, first + e] = ga[n, e]


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()


def _forward_block(batch: int, channels: int) -> int:
    """Return the number of channels of a forward job; each thread gets the same number of jobs."""
    threads = torch.get_num_threads()
    count = -(-channels // MOST_CHANNELS)
    while batch * count % threads and batch * count < 4 * threads:
        count += 1
    return -(-channels // (16 * count)) * 16  # whole vectors


def _blocks(channels: int, size: int) -> list[tuple[int, int]]:
    return [(first, min(size, channels - first)) for first in range(0, channels, size)]


class _ScanSequence(torch.autograd.Function):
    """The differentiable scan: (u, z, B, C, A, D, state, reverse) -> (y, final state)."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        u, z, B, C, A, D, state, reverse = arguments
        batch, length, channels = u.shape
        arrays = [_array(x) for x in (u, z, B, C, A.T, D)]
        y = torch.empty(u.shape, dtype=u.dtype)
        after = _array(state.transpose(1, 2)).copy()  # (batch, N, E)
        training = any(ctx.needs_input_grad)
        stretches = -(-length // STRETCH)
        saved = np.empty((batch if training else 0, stretches, *after.shape[1:]), np.float32)
        blocks = _blocks(channels, _forward_block(batch, channels))
        run_jobs(
            _advance,
            [
                (*arrays, y.numpy(), after, saved, item, *block, reverse)
                for item in range(batch)
                for block in blocks
            ],
        )
        if training:
            ctx.save_for_backward(u, z, B, C, A, D)
            ctx.states, ctx.reverse = saved, reverse
        return y, torch.from_numpy(after).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        u, z, B, C, A, D = ctx.saved_tensors
        gy, g_after = gradients
        batch, length, channels = u.shape
        blocks = _blocks(channels, BACKWARD_BLOCK)
        gu, gz = torch.empty(u.shape), torch.empty(u.shape)
        gB, gC = (torch.empty(len(blocks), batch, length, A.shape[1]) for _ in range(2))
        gA, carry = torch.empty(batch, *A.T.shape), torch.from_numpy(_array(g_after.mT).copy())
        arrays = [_array(x) for x in (u, z, B, C, A.T)]
        outputs = [x.numpy() for x in (gu, gz, gB, gC, gA, carry)]
        run_jobs(
            _retreat,
            [
                (*arrays, ctx.states, _array(gy), *outputs, item, i, *block, ctx.reverse)
                for item in range(batch)
                for i, block in enumerate(blocks)
            ],
        )
        gD = (gy * u).sum((0, 1))
        return gu + gy * D, gz, gB.sum(0), gC.sum(0), gA.sum(0).mT, gD, carry.mT, None


def scan_sequence(
    u: Tensor,
    z: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    D: Tensor,
    state: Tensor,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Compute `niah.scan.reference.scan_sequence` on the CPU in float32; once differentiable; same arguments.

    Returns:
        y (batch, L, E) of `output_dtype`, and the final state (batch, E, N) float32.
    """
    y, after = _ScanSequence.apply(*as_float32(u, z, B, C, A, D, state), reverse)
    return y.to(output_dtype(u.dtype)), after
