"""Device functions of all Triton kernels: one step of a selective scan, and pairs of (decay, value).

Everything here is float32. Notes on precision: softplus is max(z, 0) + log1p(exp(-|z|)) with log1p by the atanh series
in t / (2 + t), 2.7e-7 relative over [-30, 30]; log(1 + exp(z)) would lose all digits of small steps.
"""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
import triton
import triton.language as tl

from niah.errors import NiahError

LOG2_E = tl.constexpr(1.4426950408889634)


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
