"""Scans of tensors with shapes but no data (torch's `meta` device): shapes of the outputs, and a count of operations.

A network on that device runs without computing anything; `counted` collects the operations of its scans.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

MAP_OPERATIONS = 20  # a position, channel and direction
STATE_OPERATIONS = 6  # a step, channel and state
_DIRECTIONS = 4

_operations: ContextVar[list[float] | None] = ContextVar("operations", default=None)


@contextmanager
def counted() -> Iterator[list[float]]:
    """Collect the operations of each scan of tensors without data."""
    operations: list[float] = []
    token = _operations.set(operations)
    try:
        yield operations
    finally:
        _operations.reset(token)


def _count(operations: float) -> None:
    collected = _operations.get()
    if collected is not None:
        collected.append(operations)


def cross_scan(u: Tensor) -> Tensor:
    """Return an output of the shape of u (B, T, F, C), and count the operations."""
    _count(float(_DIRECTIONS * MAP_OPERATIONS) * u.numel())
    return torch.empty_like(u)


def scan_sequence(u: Tensor, states: int) -> tuple[Tensor, Tensor]:
    """Return an output of the shape of u (batch, L, E) and a state (batch, E, states), and count the operations."""
    _count(float(STATE_OPERATIONS) * u.numel() * states)
    return torch.empty_like(u), u.new_empty(len(u), u.shape[-1], states)
