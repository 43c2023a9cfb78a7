"""The scan on a CPU: numba kernels, vectorised over channels, with a backward pass for training.

A step handles all channels of a block at once (channels are last in memory), in two inner loops: the step
sizes first, then the recurrence. One loop holding both is not vectorised by LLVM. exp and log1p are
polynomials for the same reason (libm calls stop the vectoriser).

Notes on precision: exp 1.4e-7 relative, softplus 2.7e-7 relative over [-30, 30] against float64; the state is
float32 as in the official kernel. Threads split (batch item, channel block) pairs and so never change a sum's
order: results do not depend on their number.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

CHANNEL_BLOCK = 48

_LOG2_E = np.float32(math.log2(math.e))
_LN2_HIGH = np.float32(0.693359375)  # few bits, so that k * _LN2_HIGH is exact
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_EXP_COEFFICIENTS = tuple(np.float32(1 / math.factorial(i)) for i in range(2, 8))
_C2, _C3, _C4, _C5, _C6, _C7 = _EXP_COEFFICIENTS
_S3, _S5, _S7, _S9, _S11, _S13 = (np.float32(2 / i) for i in (3, 5, 7, 9, 11, 13))
_ONE, _TWO, _HALF, _ZERO = np.float32(1), np.float32(2), np.float32(0.5), np.float32(0)
_EXP_LOWEST = np.float32(-87.0)

_options: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
}


@njit(inline="always", **_options)
def _exp_of_non_positive(x):  # type: ignore[no-untyped-def]
    """exp(x) for x <= 0: 2^k times a polynomial on [-ln 2 / 2, ln 2 / 2]."""
    x = max(x, _EXP_LOWEST)
    k = np.floor(x * _LOG2_E + _HALF)
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    tail = _C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7))))
    scale = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (_ONE + r + r * r * tail) * scale


@njit(inline="always", **_options)
def _softplus(z):  # type: ignore[no-untyped-def]
    """max(z, 0) + log1p(exp(-|z|)), log1p by the atanh series in t / (2 + t)."""
    t = _exp_of_non_positive(-abs(z))
    s = t / (_TWO + t)
    q = s * s
    series = _TWO + q * (_S3 + q * (_S5 + q * (_S7 + q * (_S9 + q * (_S11 + q * _S13)))))
    return max(z, _ZERO) + s * series


@njit(
    nogil=True, cache=True, fastmath={"contract", "reassoc"}
)  # a sum is only vectorised if it may be reordered
def _dot(x, y):  # type: ignore[no-untyped-def]
    total = _ZERO
    for n in range(x.shape[0]):
        total += x[n] * y[n]
    return total


@njit(**_options)
def _forward(u, z, B, C, A, y, states, item, first, last, order):  # type: ignore[no-untyped-def]
    """Scan channels first..last of one batch item. `states` keeps h for the backward pass if it is not empty."""
    start, outer, outer_stride, inner, inner_stride = order
    keep = states.shape[0] > 0
    if (
        first < 0 or item < 0
    ):  # tells LLVM that no index wraps around, without which nothing is vectorised
        return
    width = last - first
    delta = np.empty(width, np.float32)
    h = np.zeros(width, np.float32)
    a = A[first:last].copy()
    for i in range(outer):
        for j in range(inner):
            position = start + i * outer_stride + j * inner_stride
            if position < 0:
                return
            b, c = B[item, position], C[item, position]
            for n in range(width):
                delta[n] = _softplus(z[item, position, first + n])
            for n in range(width):
                push = delta[n] * b * u[item, position, first + n]
                h[n] = _exp_of_non_positive(a[n] * delta[n]) * h[n] + push
                y[item, position, first + n] = c * h[n]
            if keep:
                for n in range(width):
                    states[item, position, first + n] = h[n]


@njit(**_options)
def _backward(u, z, B, C, A, states, gy, gu, gz, gB, gC, gA, item, order):  # type: ignore[no-untyped-def]
    """Adjoint of `_forward` for one batch item, from the last step to the first.

    g_s = C_s gy_s + exp(delta_{s+1} A) g_{s+1}; `carry` holds the second term.
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
                delta[n] = _softplus(z[item, position, n])
            for n in range(width):
                # sigmoid(z) = 1 - exp(-softplus(z))
                sigmoid[n] = _ONE - _exp_of_non_positive(-delta[n])
            for n in range(width):
                decay = _exp_of_non_positive(A[n] * delta[n])
                g = c * gy[item, position, n] + carry[n]
                carry[n] = decay * g
                kept = decay * h_before[n]
                pushed[n] = g * delta[n]
                gz[item, position, n] = g * (b * u[item, position, n] + A[n] * kept) * sigmoid[n]
                gA[item, n] += pushed[n] * kept
            for n in range(width):
                gu[item, position, n] = pushed[n] * b
            gB[item, position] = _dot(pushed, u[item, position])
            gC[item, position] = _dot(gy[item, position], states[item, position])


def _order(columns: int, rows: int, direction: int) -> tuple[int, int, int, int, int]:
    """(start, outer count, outer stride, inner count, inner stride) in positions t * rows + f."""
    end = columns * rows - 1
    along_time = (rows, 1, columns, rows)
    along_frequency = (columns, rows, rows, 1)
    outer, outer_stride, inner, inner_stride = (
        along_time if direction in (0, 2) else along_frequency
    )
    if direction >= 2:
        return end, outer, -outer_stride, inner, -inner_stride
    return 0, outer, outer_stride, inner, inner_stride


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="niah-scan")


def _run(function: Any, jobs: list[tuple[Any, ...]]) -> None:
    """Call `function` with each job's arguments on as many threads as torch uses."""
    threads = torch.get_num_threads()
    if threads == 1 or len(jobs) == 1:
        for job in jobs:
            function(*job)
        return
    for future in [_pool(threads).submit(function, *job) for job in jobs]:
        future.result()


def _flat(x: Tensor) -> NDArray[np.float32]:
    """(batch, T, F, ...) tensor as a contiguous numpy array (batch, T F, ...)."""
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
        _run(
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
        _run(
            _backward,
            [
                (*arrays, a, ctx.states, gy, *outputs, gA, item, ctx.order)
                for item in range(u.shape[0])
            ],
        )
        return gu, gz, gB, gC, torch.from_numpy(gA.sum(0)), None


def scan_direction(u: Tensor, z: Tensor, B: Tensor, C: Tensor, A: Tensor, direction: int) -> Tensor:
    """As `niah.scan.reference.scan_direction`, for float32 tensors on the CPU; once differentiable."""
    if u.dtype != torch.float32 or u.device.type != "cpu":
        raise TypeError(f"the cpu scan takes float32 on the CPU, got {u.dtype} on {u.device}")
    y: Tensor = _ScanDirection.apply(u, z, B, C, A, direction)
    return y
