"""Gradient checkpointing: blocks keep their inputs alone, and are computed again on the way back.

A training step then needs memory for one block's activations and the inputs of all, and a forward pass more of time.
Gradients are the same bits: the second pass draws what the first drew (drop path), from a copy of torch's generators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from niah.errors import NiahError


@runtime_checkable
class _Block(Protocol):
    """A block, as the roofline of `niah bench` knows it."""

    elements_moved: int
    forward: Callable[..., Any]


@dataclass
class _Recomputed:
    """A block's forward pass; an object, so that a copy of the network has one of its own block."""

    forward: Callable[..., Any]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*inputs, **options)
        return checkpoint(self.forward, *inputs, use_reentrant=False, **options)


def recompute_blocks(network: nn.Module) -> int:
    """Have every block of a network computed again in the backward pass.

    Args:
        network: is changed in place; its parameters and their names are not.

    Returns:
        The number of blocks.

    Raises:
        NiahError: the network is not of blocks.
    """
    blocks = [module for module in network.modules() if isinstance(module, _Block)]
    if not blocks:
        raise NiahError(
            f"gradient_checkpointing: {type(network).__name__} has no blocks that can be computed again"
        )
    for block in blocks:
        block.forward = _Recomputed(block.forward)
    return len(blocks)
