"""A network without memory for its weights, to check a card's sizes before anything is allocated."""

from collections.abc import Callable

import torch
from torch import nn

from niah.networks.layers.init import without_random_start

MOST_ELEMENTS = 1 << 30  # of all parameters and constants: three times the largest model here


def outline(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on torch's meta device: its parameters have shapes, but no values and no memory.

    Args:
        build: makes the network.

    Returns:
        The network.

    Raises:
        ValueError: sizes of which no network can be made, or more than `MOST_ELEMENTS` in all.
    """
    with torch.device("meta"), without_random_start():
        network = build()
    tensors = [*network.named_parameters(), *network.named_buffers()]
    if empty := [name for name, tensor in tensors if tensor.numel() == 0]:
        raise ValueError(f"{empty[0]} would have no elements")
    if (total := sum(tensor.numel() for _, tensor in tensors)) > MOST_ELEMENTS:
        raise ValueError(f"the network would have {total:.3g} elements, more than 2^30")
    return network
