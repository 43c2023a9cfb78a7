"""The four scans of a map on a CPU with a backward pass, for training: numba, vectorised over channels.

Directions 1 and 3 follow the map's memory; 0 and 2 follow that of a copy with mel rows outermost. So every direction
runs through contiguous arrays of L = T F steps, forwards or backwards. A job does one of the two orders of one clip;
results do not depend on the number of threads. Steps delta and states of all directions are stored for the backward
pass, which has

    g_t = C_t gy_t + exp(delta_{t+1} A) g_{t+1}

The step projection and its gradients are matrix products outside the kernels. LLVM vectorises a loop only if it can
tell the arrays in it apart with few checks: intermediate values therefore share one array, at fixed offsets, and loops
have few other arrays. Without gradients `niah.scan.cpu.map` does all four directions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.scan.cpu.compile import kernel
from niah.scan.cpu.math import as_float32, dot, exp_of_non_positive, softplus_in_place
from niah.system.threads import run_jobs

WIDTH = 1024  # channels of a sweep at most; elements whose steps are made at a time
_ONE = np.float32(1)
_DECAY, _SIGMOID, _CARRY, _PUSHED, _STEP, _A = (n * WIDTH for n in range(6))  # offsets in `work`


@kernel()
def _scan(u, delta, B, C, A, D, y, states, first, last, reverse, adds):  # type: ignore[no-untyped-def]
    """Scan channels first..last; u, delta, y, states (L, C) flat, B and C (L,), A and D (C,).

    `delta` enters before its softplus and leaves after it; y is set to D u + the scan's output, or the latter added.
    """
    channels, width = A.shape[0], last - first
    length = B.shape[0]
    at_once = max(1, WIDTH // channels)
    scratch, h = np.empty(max(WIDTH, channels), np.float32), np.zeros(WIDTH, np.float32)
    for j in range(0, length, at_once):
        count = min(at_once, length - j)
        low = length - j - count if reverse else j
        if first == 0:
            softplus_in_place(delta[low * channels :], scratch, count * channels)
        for i in range(count):
            t = low + count - 1 - i if reverse else low + i
            at = t * channels + first
            if at < 0:  # tells LLVM that no index wraps around, without which nothing is vectorised
                return
            b, c = B[t], C[t]
            for n in range(width):
                step = delta[at + n]
                h[n] = exp_of_non_positive(step * A[first + n]) * h[n] + step * b * u[at + n]
            if adds:
                for n in range(width):
                    y[at + n] += c * h[n]
            else:
                for n in range(width):
                    y[at + n] = D[first + n] * u[at + n] + c * h[n]
            for n in range(width):
                states[at + n] = h[n]


@kernel()
def _adjoint(  # type: ignore[no-untyped-def]
    u, delta, B, C, A, D, states, gy, gu, gz, gB, gC, gA, gbias, gD, first, last, reverse, adds
):
    """Adjoint of `_scan`, from its last step to its first; adds to gB, gC, gA, gbias and gD, and to gu if `adds`."""
    channels, width = A.shape[0], last - first
    length = B.shape[0]
    work = np.zeros(6 * WIDTH, np.float32)
    sums = np.zeros(3 * WIDTH, np.float32)
    nothing = np.zeros(channels, np.float32)
    for n in range(width):
        work[_A + n] = A[first + n]
    for i in range(length):
        t = i if reverse else length - 1 - i
        before = t + 1 if reverse else t - 1
        at = t * channels + first
        if at < 0:  # as above
            return
        entering = nothing
        if 0 <= before < length:
            entering = states[before * channels + first : before * channels + last]
        b, c = B[t], C[t]
        for n in range(width):
            work[_DECAY + n] = exp_of_non_positive(work[_A + n] * delta[at + n])
        for n in range(width):  # sigmoid(z) = 1 - exp(-softplus(z))
            work[_SIGMOID + n] = _ONE - exp_of_non_positive(-delta[at + n])
        for n in range(width):
            g = c * gy[at + n] + work[_CARRY + n]
            decay = work[_DECAY + n]
            decayed = decay * entering[n]
            work[_CARRY + n] = decay * g
            work[_PUSHED + n] = g * delta[at + n]
            work[_STEP + n] = g * (b * u[at + n] + work[_A + n] * decayed) * work[_SIGMOID + n]
            work[_DECAY + n] = g * delta[at + n] * decayed
        for n in range(width):
            sums[n] += work[_DECAY + n]
            sums[WIDTH + n] += work[_STEP + n]
        for n in range(width):
            gz[at + n] = work[_STEP + n]
        if adds:
            for n in range(width):
                gu[at + n] += b * work[_PUSHED + n]
        else:
            for n in range(width):
                gu[at + n] = D[first + n] * gy[at + n] + b * work[_PUSHED + n]
            for n in range(width):
                sums[2 * WIDTH + n] += gy[at + n] * u[at + n]
        gB[t] += dot(work[_PUSHED : _PUSHED + width], u[at : at + width])
        gC[t] += dot(gy[at : at + width], states[at : at + width])
    for n in range(width):
        gA[first + n] += sums[n]
        gbias[first + n] += sums[WIDTH + n]
        gD[first + n] += sums[2 * WIDTH + n]


def _skips(D: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the D that the scans in each order add: the four together belong to the map's own."""
    total: NDArray[np.float32] = D.sum(0).numpy()
    return np.zeros_like(total), total


def _segments(channels: int) -> list[tuple[int, int]]:
    return [(a, min(a + WIDTH, channels)) for a in range(0, channels, WIDTH)]


def _orders(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return a map (B, T, F, ..) as (B, L, ..) with mel rows outermost, and with time outermost."""
    return x.transpose(1, 2).flatten(1, 2).contiguous(), x.flatten(1, 2).contiguous()


def _directions(p: Tensor) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Yield each direction, its coordinates (B L, R), and B and C (B, L), in the order of its array."""
    orders = _orders(p)
    for k in range(4):
        here = orders[k % 2][:, :, k]
        coordinates, b, c = here[..., :-2], here[..., -2], here[..., -1]
        yield k, coordinates.flatten(0, 1).contiguous(), b.contiguous(), c.contiguous()


class _CrossScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        u, p, dt_weight, dt_bias, A, D = (x.detach() for x in arguments)
        batch, columns, rows, channels = u.shape
        length = columns * rows
        skips, a = _skips(D), A.contiguous().numpy()
        deltas, states = (torch.empty(4, batch, length, channels) for _ in range(2))
        ys = torch.empty(2, batch, length, channels)
        projections = []
        for k, coordinates, b, c in _directions(p):
            torch.addmm(dt_bias[k], coordinates, dt_weight[k].mT, out=deltas[k].flatten(0, 1))
            projections.append((b.numpy(), c.numpy()))
        us = [_by_item(x) for x in _orders(u)]
        made = [_by_item(x) for x in (deltas, states, ys)]

        def scan(item: int, order: int) -> None:
            for k in (order, order + 2):
                delta, state, y = made[0][k, item], made[1][k, item], made[2][order, item]
                b, c = (x[item] for x in projections[k])
                for segment in _segments(channels):
                    flags = (*segment, k > 1, k > 1)
                    _scan(us[order][item], delta, b, c, a[k], skips[order], y, state, *flags)

        run_jobs(scan, [(item, order) for item in range(batch) for order in (0, 1)])
        ctx.save_for_backward(*arguments)
        ctx.deltas, ctx.states = made[:2]
        return _together(ys, u)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        u, p, dt_weight, _, A, D = (x.detach() for x in ctx.saved_tensors)
        batch, columns, rows, channels = u.shape
        skips, a = _skips(D), A.contiguous().numpy()
        gus, gz = (torch.empty(2, batch, columns * rows, channels) for _ in range(2))
        gp, gW = torch.empty_like(p), torch.empty_like(dt_weight)
        gA, gbias, gD = (torch.zeros(batch, 4, channels) for _ in range(3))
        directions = list(_directions(p))
        projections = [(b.numpy(), c.numpy()) for _, _, b, c in directions]
        us, gys = ([_by_item(x) for x in _orders(x)] for x in (u, gradients[0]))
        outputs, sums = [_by_item(x) for x in (gus, gz)], [x.numpy() for x in (gA, gbias, gD)]

        def adjoint(item: int, k: int) -> None:
            order = k % 2
            b, c = (x[item] for x in projections[k])
            inputs = (us[order][item], ctx.deltas[k, item], b, c, a[k], skips[order])
            rest = (ctx.states[k, item], gys[order][item], *(x[order, item] for x in outputs))
            made = (gB[order, item], gC[order, item], *(x[item, k] for x in sums))
            for segment in _segments(channels):
                _adjoint(*inputs, *rest, *made, *segment, k > 1, k > 1)

        for pair in ((0, 1), (2, 3)):
            gB, gC = (np.zeros((2, batch, columns * rows), np.float32) for _ in range(2))
            run_jobs(adjoint, [(item, k) for item in range(batch) for k in pair])
            for k in pair:
                flat = gz[k % 2].flatten(0, 1)
                gW[k] = flat.mT @ directions[k][1]
                own = flat.new_empty(batch, columns * rows, p.shape[-1])
                own[..., :-2] = (flat @ dt_weight[k]).view(batch, columns * rows, -1)
                own[..., -2], own[..., -1] = (torch.from_numpy(x[k % 2]) for x in (gB, gC))
                gp[:, :, :, k] = _map(own, k % 2, u)
        total = gD[:, 1].sum(0).expand_as(D)
        return _together(gus, u), gp, gW, gbias.sum(0), gA.sum(0), total


def _by_item(x: Tensor) -> NDArray[np.float32]:
    """Return (.., L, C) as an array (.., L C)."""
    array: NDArray[np.float32] = x.flatten(-2).numpy()
    return array


def _map(x: Tensor, order: int, like: Tensor) -> Tensor:
    """Return (B, L, ..) in one of the orders as a map (B, T, F, ..)."""
    batch, columns, rows, _ = like.shape
    if order:
        return x.view(batch, columns, rows, -1)
    return x.view(batch, rows, columns, -1).transpose(1, 2)


def _together(parts: Tensor, like: Tensor) -> Tensor:
    """Add maps in both orders, (2, B, L, C), to one of the shape of `like`."""
    return _map(parts[1], 1, like).add_(_map(parts[0], 0, like))


def cross_scan(
    u: Tensor, p: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> Tensor:
    """Compute `niah.scan.cross_scan` on the CPU in float32; once differentiable; same arguments."""
    y: Tensor = _CrossScan.apply(*as_float32(u, p, dt_weight, dt_bias, A, D))
    return y.to(u.dtype)
