"""exp and softplus for the numba kernels as polynomials, since a call of libm prevents LLVM's vectorisation.

    exp(x)       = 2^k (1 + r + r^2 P(r)),   k = round(x / ln 2),  r = x - k ln 2,  P of degree 4
    softplus(z)  = max(z, 0) + log1p(t),     t = exp(-|z|) in (0, 1],  log1p(t) = t Q(t),  Q of degree 8

A loop should have one of the two parts, not both: with more constants than registers it reloads them in every
iteration (softplus in one loop 1.1 ns an element, in two 0.75). Precision against float64: exp 1.2e-7 relative,
softplus 1.6e-7 over [-30, 30].
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Chebyshev, Polynomial
from torch import Tensor

from niah.scan.cpu.compile import OPTIONS as OPTIONS
from niah.scan.cpu.compile import kernel


def _polynomial(
    function: Callable[[Any], Any], low: float, high: float, degree: int
) -> list[np.float32]:
    """Return the coefficients, lowest first, of the polynomial through an interval's Chebyshev points."""
    fitted = Chebyshev.interpolate(function, degree, domain=[low, high])
    return [np.float32(c) for c in fitted.convert(kind=Polynomial).coef]


_HALF_LN2 = math.log(2) / 2
_P0, _P1, _P2, _P3, _P4 = _polynomial(
    lambda r: sum(r**k / math.factorial(k + 2) for k in range(15)), -_HALF_LN2, _HALF_LN2, 4
)
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7, _Q8 = _polynomial(lambda t: np.log1p(t) / t, 0.0, 1.0, 8)
_LOG2_E = np.float32(math.log2(math.e))
_LN2_HIGH = np.float32(0.693359375)  # few bits, so that k * _LN2_HIGH is exact
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LOWEST = np.float32(-87.0)


@kernel(inline="always")
def exp_of_non_positive(x):  # type: ignore[no-untyped-def]
    """Compute exp(x) for x <= 0; results below float32's normal numbers are 1.6e-38."""
    x = max(x, _LOWEST)
    k = np.floor(x * _LOG2_E + _HALF)
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    tail = _P0 + r * (_P1 + r * (_P2 + r * (_P3 + r * _P4)))
    scale = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (
        _ONE + (r + r * r * tail)
    ) * scale  # next to 1 a single rounding: steps by the million add up


@kernel(inline="always")
def log1p_of_unit(t):  # type: ignore[no-untyped-def]
    """Compute log(1 + t) for t in [0, 1], to full relative precision near 0."""
    high = _Q4 + t * (_Q5 + t * (_Q6 + t * (_Q7 + t * _Q8)))
    return t * (_Q0 + t * (_Q1 + t * (_Q2 + t * (_Q3 + t * high))))


@kernel()
def softplus_in_place(z, scratch, width):  # type: ignore[no-untyped-def]
    """Compute z[:width] = softplus(z[:width]); `scratch` has the same length."""
    for n in range(width):
        scratch[n] = exp_of_non_positive(-abs(z[n]))
    for n in range(width):
        z[n] = max(z[n], _ZERO) + log1p_of_unit(scratch[n])


@kernel(fastmath={"contract", "reassoc"})
def dot(x, y):  # type: ignore[no-untyped-def]
    """Sum products in any order, without which the loop is not vectorised."""
    total = _ZERO
    for n in range(x.shape[0]):
        total += x[n] * y[n]
    return total


def as_float32(*tensors: Tensor) -> list[Tensor]:
    """Convert tensors to float32 for the kernels.

    Raises:
        TypeError: float64, which would lose precision, or another device.
    """
    for tensor in tensors:
        if tensor.dtype == torch.float64 or tensor.device.type != "cpu":
            raise TypeError(
                f"the cpu scan takes float32 or 16-bit tensors on the CPU, got {tensor.dtype} on {tensor.device}"
            )
    return [tensor.float() for tensor in tensors]
