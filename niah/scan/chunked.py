"""The scan in plain torch in chunks: the fallback on a GPU when nothing better is installed.

    h_s = a_s h_{s-1} + b_s

is cut into chunks of about sqrt(L) steps that advance together from zero; the state that enters a chunk follows from
the same recurrence over chunks. Without gradients the chunks then advance once more, from their entering states, so
that each step reads its pair twice and writes one state; with gradients the entering state contributes to step s
multiplied by the decays up to s. Pairs (decay, value) only underflow, where dividing by a cumulative decay would
overflow. Any device and dtype, differentiable by autograd; 16-bit inputs are computed in float32.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from niah.scan.reference import to_map, to_sequence

SHORTEST_CHUNKED = 32
SEGMENT = 1024  # steps whose states are in memory at a time, in a scan with many states a channel


def scan_direction(u: Tensor, z: Tensor, B: Tensor, C: Tensor, A: Tensor, direction: int) -> Tensor:
    """Compute `niah.scan.reference.scan_direction` chunk by chunk; same arguments."""
    dtype = u.dtype
    u, z, B, C, A = (_wide(x) for x in (u, z, B, C, A))
    columns, rows = u.shape[1:3]
    delta = softplus(to_sequence(z, direction))
    drive = delta * to_sequence(B[..., None], direction) * to_sequence(u, direction)
    states = recurrence(torch.exp(delta * A), drive)
    y = to_map(to_sequence(C[..., None], direction) * states, columns, rows, direction)
    return y.to(dtype)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.element_size() == 2 else x


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
    """Compute `niah.scan.reference.scan_sequence` one segment at a time; same arguments."""
    dtype = u.dtype
    u, z, B, C, A, D, state = (_wide(x) for x in (u, z, B, C, A, D, state))
    if reverse:
        u, z, B, C = (x.flip(1) for x in (u, z, B, C))
    outputs = []
    for first in range(0, u.shape[1], SEGMENT):
        segment = slice(first, first + SEGMENT)
        delta = softplus(z[:, segment, :, None])
        decay = torch.exp(delta * A)  # (batch, steps, E, N)
        drive = delta * u[:, segment, :, None] * B[:, segment, None, :]
        drive = torch.cat([drive[:, :1] + decay[:, :1] * state[:, None], drive[:, 1:]], dim=1)
        states = recurrence(decay.flatten(2), drive.flatten(2)).view(decay.shape)
        outputs.append(torch.einsum("bten,btn->bte", states, C[:, segment]) + D * u[:, segment])
        state = states[:, -1]
    y = torch.cat(outputs, dim=1)
    return (y.flip(1) if reverse else y).to(dtype), state


def recurrence(decay: Tensor, drive: Tensor) -> Tensor:
    """Compute all states of h_s = decay_s h_{s-1} + drive_s with h_{-1} = 0.

    Args:
        decay: (batch, L, channels).
        drive: (batch, L, channels).

    Returns:
        (batch, L, channels).
    """
    if drive.shape[1] <= SHORTEST_CHUNKED:
        return _advance(decay[:, None], drive[:, None])[0].flatten(1, 2)
    if torch.is_grad_enabled() and (decay.requires_grad or drive.requires_grad):
        return _with_gradients(decay, drive)
    return _without_gradients(decay, drive)


def _without_gradients(decay: Tensor, drive: Tensor) -> Tensor:
    batch, length, channels = drive.shape
    size = _chunk_size(length)
    chunks = length // size
    whole = chunks * size  # the steps of whole chunks, before those of a rest
    shape = (batch, chunks, size, channels)
    decays, drives = (x[:, :whole].view(shape) for x in (decay.contiguous(), drive.contiguous()))
    state, product = drive.new_zeros(batch, chunks, channels), decays[:, :, 0].clone()
    state.copy_(drives[:, :, 0])
    for step in range(1, size):
        torch.addcmul(drives[:, :, step], decays[:, :, step], state, out=state)
        product *= decays[:, :, step]
    after = recurrence(product, state)  # the state at the end of each chunk
    out = drive.new_empty(drive.shape)
    states = out[:, :whole].view(shape)
    state = pad(after[:, :-1], (0, 0, 1, 0))  # that enters each chunk
    for step in range(size):
        torch.addcmul(drives[:, :, step], decays[:, :, step], state, out=states[:, :, step])
        state = states[:, :, step]
    state = after[:, -1]
    for step in range(whole, length):
        torch.addcmul(drive[:, step], decay[:, step], state, out=out[:, step])
        state = out[:, step]
    return out


def _with_gradients(decay: Tensor, drive: Tensor) -> Tensor:
    batch, length, channels = drive.shape
    size = _chunk_size(length)
    chunks = -(-length // size)
    missing = chunks * size - length
    decay = pad(decay, (0, 0, 0, missing), value=1.0).view(batch, chunks, size, channels)
    drive = pad(drive, (0, 0, 0, missing)).view(batch, chunks, size, channels)
    local, decays = _advance(decay, drive)
    after = recurrence(decays[:, :, -1], local[:, :, -1])  # the state at the end of each chunk
    entering = pad(after[:, :-1], (0, 0, 1, 0))
    return (local + decays * entering[:, :, None]).flatten(1, 2)[:, :length]


def _chunk_size(length: int) -> int:
    return math.isqrt(length - 1) + 1


def _advance(decay: Tensor, drive: Tensor) -> tuple[Tensor, Tensor]:
    """Return states from zero and products of decays, (batch, chunks, size, channels) each, for all chunks at once."""
    state, product = torch.zeros_like(drive[:, :, 0]), torch.ones_like(decay[:, :, 0])
    states, products = [], []
    for step in range(drive.shape[2]):
        state = torch.addcmul(drive[:, :, step], decay[:, :, step], state)
        product = decay[:, :, step] * product
        states.append(state)
        products.append(product)
    return torch.stack(states, dim=2), torch.stack(products, dim=2)
