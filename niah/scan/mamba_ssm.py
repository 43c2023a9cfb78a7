"""The official CUDA scan of the package `mamba-ssm`, for comparison; it is never chosen automatically.

It takes (batch, channels, L) tensors, so a map's four directions and a reversed sequence are copied into that layout
first, as the official networks do. It indexes with 32 bits, so 2^31 elements or more are refused. It computes in
float32; float16 inputs are converted to float32, since outputs of 1e4 to 1e6 occur.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, softplus

from niah.errors import NiahError
from niah.scan import DIRECTIONS
from niah.scan.reference import to_map, to_sequence

MOST_ELEMENTS = 2**31 - 1  # of a tensor that 32 bits index
STEPS_AT_A_TIME = 256  # in the contribution of an initial state


def cross_scan(
    u: Tensor, p: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> Tensor:
    """Compute `niah.scan.cross_scan` through mamba-ssm; same arguments.

    Returns:
        (batch, T, F, C).

    Raises:
        NiahError: 2^31 elements or more, or mamba-ssm is not installed.
    """
    columns, rows, channels = u.shape[1:]
    check_size(len(u), channels, states=1, steps=columns * rows)
    scan = _official()
    rank = dt_weight.shape[-1]
    x, part = (t.float() if t.dtype == torch.float16 else t for t in (u, p))
    y = torch.zeros_like(x)
    for k in range(DIRECTIONS):
        z = linear(part[..., k, :rank], dt_weight[k].to(part.dtype))
        y_of_direction = scan(
            _channels_first(to_sequence(x, k)),
            _channels_first(to_sequence(z.to(x.dtype), k)),
            A[k].float()[:, None].contiguous(),
            _channels_first(to_sequence(part[..., k, rank, None].to(x.dtype), k)),
            _channels_first(to_sequence(part[..., k, rank + 1, None].to(x.dtype), k)),
            D[k].float(),
            delta_bias=dt_bias[k].float(),
            delta_softplus=True,
        )
        y = y + to_map(y_of_direction.transpose(1, 2), columns, rows, k)
    assert y.shape[-1] == channels
    return y


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
    """Compute `niah.scan.reference.scan_sequence` through mamba-ssm; same arguments.

    The official kernel starts from zero. The scan is linear in its state, so the contribution of an initial state is
    its decayed read-out, computed here in torch: slow, but exact.

    Returns:
        y (batch, L, E), and the final state (batch, E, N).

    Raises:
        NiahError: 2^31 elements or more, or mamba-ssm is not installed.
    """
    check_size(u.shape[0], A.shape[0], A.shape[1], u.shape[1])
    scan = _official()
    kind = torch.float32 if u.dtype == torch.float16 else u.dtype
    u, z, B, C = (x.to(kind).flip(1) if reverse else x.to(kind) for x in (u, z, B, C))
    first = (_channels_first(x) for x in (u, z))
    last = (_channels_first(x) for x in (B, C))
    outputs, final = scan(
        *first, A.float(), *last, D.float(), delta_softplus=True, return_last_state=True
    )
    y = outputs.transpose(1, 2)
    if bool(state.any()):
        more, remaining = _from_state(z, C, A.float(), state.float())
        y, final = y + more.to(kind), final + remaining
    return (y.flip(1) if reverse else y), final


def check_size(batch: int, channels: int, states: int, steps: int) -> None:
    """Check that 32 bits can index (batch, channels, steps), and B and C (batch, states, steps).

    Args:
        batch: number of clips.
        channels: E.
        states: N.
        steps: L.

    Raises:
        NiahError: they cannot.
    """
    elements = batch * max(channels, states) * steps
    if elements > MOST_ELEMENTS:
        raise NiahError(
            f"the scan 'mamba_ssm' indexes with 32 bits and would wrap: {batch} x {max(channels, states)} x {steps} "
            f"elements are past 2^31: --kernel triton takes any number, or take fewer clips at once"
        )


def _from_state(z: Tensor, C: Tensor, A: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute sum_n C_t exp(A sum_{i <= t} delta_i) state, (batch, L, E), and the rest of the state at the end."""
    parts = []
    for first in range(0, z.shape[1], STEPS_AT_A_TIME):
        segment = slice(first, first + STEPS_AT_A_TIME)
        passed = softplus(z[:, segment].float()).cumsum(1)
        states = torch.exp(passed[..., None] * A) * state[:, None]  # (batch, steps, E, N)
        parts.append(torch.einsum("bten,btn->bte", states, C[:, segment].float()))
        state = states[:, -1]
    return torch.cat(parts, dim=1), state


def _channels_first(x: Tensor) -> Tensor:  # (batch, L, channels) -> (batch, channels, L)
    return x.transpose(1, 2).contiguous()


def _official() -> Callable[..., Any]:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError as error:
        raise NiahError(
            f"the scan 'mamba_ssm' needs the package mamba-ssm built for this CUDA ({error}): "
            "pip install 'audio-niah[cuda]', or leave --kernel at auto"
        ) from None
    scan: Callable[..., Any] = selective_scan_fn
    return scan
