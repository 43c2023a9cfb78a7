"""The reference scan: one torch step at a time, slow and simple, on any device and dtype, differentiable.

Every faster backend is tested against this file, and this file against a plain float64 loop.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus


def scan_direction(u: Tensor, z: Tensor, B: Tensor, C: Tensor, A: Tensor, direction: int) -> Tensor:
    """Run one of the four scans (equations in `niah.scan`), without the D term.

    Args:
        u: (batch, T, F, channels) input.
        z: (batch, T, F, channels) step size before its softplus.
        B: (batch, T, F), shared by all channels.
        C: (batch, T, F), shared by all channels.
        A: (channels,), negative.
        direction: 0 to 3.

    Returns:
        (batch, T, F, channels), in map order.
    """
    columns, rows = u.shape[1:3]
    delta = softplus(to_sequence(z, direction))
    decay = torch.exp(delta * A)
    drive = delta * to_sequence(B[..., None], direction) * to_sequence(u, direction)
    readout = to_sequence(C[..., None], direction)
    state = torch.zeros_like(drive[:, 0])
    outputs = []
    for step in range(columns * rows):
        state = decay[:, step] * state + drive[:, step]
        outputs.append(readout[:, step] * state)
    return to_map(torch.stack(outputs, dim=1), columns, rows, direction)


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
    """Scan one sequence with N states a channel (equations in `niah.scan.selective_scan`).

    Args:
        u: (batch, L, E) input.
        z: (batch, L, E) step size before its softplus.
        B: (batch, L, N), shared by all channels.
        C: (batch, L, N), shared by all channels.
        A: (E, N), negative.
        D: (E,).
        state: (batch, E, N), before the first step of the scan.
        reverse: scan from the last step to the first.

    Returns:
        (batch, L, E), and the state (batch, E, N) after the last step of the scan.
    """
    delta = softplus(z)
    outputs = [torch.empty(0)] * u.shape[1]
    steps = range(u.shape[1])
    for t in reversed(steps) if reverse else steps:
        decay = torch.exp(delta[:, t, :, None] * A)
        state = decay * state + (delta[:, t] * u[:, t])[..., None] * B[:, t, None, :]
        outputs[t] = (state * C[:, t, None, :]).sum(-1) + D * u[:, t]
    return torch.stack(outputs, dim=1), state


def to_sequence(x: Tensor, direction: int) -> Tensor:
    """Reorder a map for a direction: (batch, T, F, channels) -> (batch, L, channels)."""
    if direction in (0, 2):  # along time inside a mel row
        x = x.transpose(1, 2)
    x = x.flatten(1, 2)
    return x.flip(1) if direction >= 2 else x


def to_map(x: Tensor, columns: int, rows: int, direction: int) -> Tensor:
    """Invert `to_sequence`: (batch, L, channels) -> (batch, T, F, channels)."""
    if direction >= 2:
        x = x.flip(1)
    batch, _, channels = x.shape
    if direction in (0, 2):
        return x.reshape(batch, rows, columns, channels).transpose(1, 2)
    return x.reshape(batch, columns, rows, channels)
