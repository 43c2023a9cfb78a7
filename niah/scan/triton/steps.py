"""Device functions of all Triton kernels: one step of a selective scan, and pairs of (decay, value).

Everything here is float32. Notes on precision: softplus is max(z, 0) + log1p(exp(-|z|)) with log1p by the atanh series
in t / (2 + t), 2.7e-7 relative over [-30, 30]; log(1 + exp(z)) would lose all digits of small steps.

Step sizes in units of ln 2 save instructions: with d = softplus(z) / ln 2 = log2(1 + 2^(z log2 e)),

    exp(delta A) = 2^(d A),   delta B u = d (ln 2 B) u

With t = 2^-|x|, d = max(x, 0) + t P(t), where P is the polynomial of least relative error for log2(1 + t) / t on
[0, 1]: no logarithm, no division, and small steps keep all their digits. Degree 5 for 16-bit inputs, 9e-6 relative;
degree 8 for float32, 2e-7.
"""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
import triton
import triton.language as tl

from niah.errors import NiahError

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def softplus(z):
    """Compute log(1 + exp(z)), precise for small steps."""
    t = tl.exp(-tl.abs(z))
    s = t / (2.0 + t)
    q = s * s
    series = 0.2222222222 + q * (0.1818181818 + q * 0.1538461538)
    series = 2.0 + q * (0.6666666667 + q * (0.4 + q * (0.2857142857 + q * series)))
    return tl.maximum(z, 0.0) + s * series


@triton.jit
def power_of_2(x, PTX: tl.constexpr):
    """Compute 2^x: on NVIDIA one instruction, which returns 0 for results below 2^-126."""
    if PTX:
        y = tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        y = tl.exp2(x)
    return y


@triton.jit
def power_of_minus_size(x, PTX: tl.constexpr):
    """Compute 2^-|x|: the sign comes for nothing with the device's instruction."""
    if PTX:
        y = tl.inline_asm_elementwise(
            "{ .reg .f32 a; abs.f32 a, $1; neg.f32 a, a; ex2.approx.ftz.f32 $0, a; }",
            "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1,
        )  # fmt: skip
    else:
        y = tl.exp2(-tl.abs(x))
    return y


@triton.jit
def reciprocal(x, PTX: tl.constexpr):
    """Compute 1 / x: on NVIDIA one instruction, with an error of one unit in the last place."""
    if PTX:
        y = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        y = 1.0 / x
    return y


@triton.jit
def widened(x, PTX: tl.constexpr):
    """Convert to float32; bfloat16 two at a time, one instruction each where the compiler needs three for two."""
    if PTX and x.dtype == tl.bfloat16:
        y = tl.inline_asm_elementwise(
            "shl.b32 $0, $2, 16; and.b32 $1, $2, 0xffff0000;",
            "=r,=r,r", [x], dtype=tl.float32, is_pure=True, pack=2,
        )  # fmt: skip
    else:
        y = x.to(tl.float32)
    return y


@triton.jit
def step_size(z, bias, EXACT: tl.constexpr, PTX: tl.constexpr):
    """Compute softplus(z + bias) / ln 2; `EXACT` for float32 inputs."""
    x = z * LOG2_E + bias * LOG2_E
    return _softplus_2(x, power_of_minus_size(x, PTX), EXACT)


@triton.jit
def step_size_and_slope(z, bias, EXACT: tl.constexpr, PTX: tl.constexpr):
    """Compute `step_size` and sigmoid(z + bias), the slope of softplus there."""
    x = z * LOG2_E + bias * LOG2_E
    t = power_of_minus_size(x, PTX)
    slope = tl.where(x >= 0, 1.0, t) * reciprocal(1.0 + t, PTX)
    return _softplus_2(x, t, EXACT), slope


@triton.jit
def _softplus_2(x, t, EXACT: tl.constexpr):
    """Compute log2(1 + 2^x) with t = 2^-|x|."""
    if EXACT:
        q = -0.04256705194711685 + t * 0.007549179717898369
        q = -0.19711895287036896 + t * (0.1128561794757843 + t * q)
        q = -0.35840848088264465 + t * (0.27564141154289246 + t * q)
        q = -0.7213401794433594 + t * (0.48069295287132263 + t * q)
        q = 1.4426950216293335 + t * q
    else:
        q = 0.14603286981582642 + t * -0.03443589806556702
        q = 0.4691740572452545 + t * (-0.3030361831188202 + t * q)
        q = 1.4426828622817993 + t * (-0.7204261422157288 + t * q)
    return tl.maximum(x, 0.0) + t * q


@triton.jit
def quarters(x, M: tl.constexpr, WIDTH: tl.constexpr):
    """Cut (4 M, WIDTH) into four (M, WIDTH)."""
    x = tl.permute(tl.reshape(x, (2, 2, M, WIDTH)), (2, 3, 0, 1))
    even, odd = tl.split(x)
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@triton.jit
def sigmoid(z):
    """Compute 1 / (1 + exp(-z))."""
    t = tl.exp(-tl.abs(z))
    return tl.where(z >= 0, 1.0, t) / (1.0 + t)


@triton.jit
def after(decay, value, next_decay, next_value):
    """Compose two pairs (a, b), which stand for h -> a h + b: the first, then the second."""
    return next_decay * decay, next_decay * value + next_value


def interpreted() -> bool:
    """Return whether Triton runs kernels on the CPU, step by step in numpy (TRITON_INTERPRET=1, tests only)."""
    if hasattr(triton, "knobs"):
        return bool(triton.knobs.runtime.interpret)
    return os.environ.get("TRITON_INTERPRET") == "1"  # Triton before 3.4, with torch 2.6 and 2.7


def has_ptx() -> bool:
    """Return whether kernels may use NVIDIA's instructions: compiled, and not for another maker's device."""
    return torch.version.cuda is not None and not interpreted()


def device_of(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """Launch on the tensor's device: Triton launches on torch's current one, by default cuda:0."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def check_device(kind: str) -> None:
    """Check that Triton has a device to run on.

    Raises:
        NiahError: tensors on another device, and kernels that are not interpreted.
    """
    if kind != "cuda" and not interpreted():
        raise NiahError(
            f"the triton scan needs a CUDA device, and the tensors are on '{kind}': use --device cuda or --kernel auto"
        )
