"""Weights over time: the plain mean of the last epochs, and a moving average of every step."""

import copy

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def add_to_mean(mean: State, network: nn.Module, count: int) -> State:
    """Return the mean of `count` states and the network's own: mean + (state - mean) / (count + 1), on the CPU.

    Args:
        mean: state dict, the mean so far.
        network: its state is added.
        count: number of states in `mean`.
    """
    state = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
    if count == 0:
        return state
    return {
        k: mean[k] + (v - mean[k]) / (count + 1) if v.is_floating_point() else v
        for k, v in state.items()
    }


class MovingAverage:
    """m <- momentum m + (1 - momentum) w after every step; a separate network, in evaluation mode."""

    def __init__(self, network: nn.Module, momentum: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._momentum = momentum

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network's present weights."""
        weights = network.state_dict()
        for key, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(weights[key], 1 - self._momentum)
            else:
                mean.copy_(weights[key])
