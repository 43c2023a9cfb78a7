"""Another pooling of the same network: an adapter's per-position logits, pooled by `niah.networks.layers.pooling`."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from niah.adapters.protocol import Adapter, PositionLogits, network_of
from niah.errors import NiahError
from niah.networks.layers.pooling import pool


class Pooled:
    """`adapter` with its positions pooled by `poolings` ("max", "top-k", ..); itself an adapter.

    Several poolings share one pass through the network: their logits are concatenated, in their order.

    Raises:
        NiahError: neither the adapter nor its network has `position_logits(features) -> (B, time, .., classes)`.
    """

    def __init__(self, adapter: Adapter, *poolings: str) -> None:
        self.adapter = adapter
        self.name = adapter.name
        self.sample_rate = adapter.sample_rate
        self.frontend = adapter.frontend
        self.labels = adapter.labels
        self.poolings = poolings
        self.kernel = f"{adapter.kernel}+pool-{'+'.join(poolings)}"
        self._positions = position_logits_of(adapter)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Compute logits: (B, frames, mels) -> (B, poolings x classes) float32.

        Raises:
            NiahError: the logits at positions are of another shape.
        """
        share = min(1.0, self.frontend.needle_frames / features.shape[1])
        z = self._positions(features).float()
        return torch.cat([pool(z, pooling, share) for pooling in self.poolings], dim=1)


def has_position_logits(adapter: Adapter) -> bool:
    """Return whether the adapter or its network has `position_logits`."""
    return any(isinstance(owner, PositionLogits) for owner in (adapter, network_of(adapter)))


def position_logits_of(adapter: Adapter) -> Callable[[Tensor], Tensor]:
    """Return the adapter's `position_logits`, or its network's; what it answers is checked.

    Raises:
        NiahError: neither has it.
    """
    owners: list[object] = [adapter, network_of(adapter)]
    for owner in owners:
        if isinstance(owner, PositionLogits):
            return partial(_checked, adapter, owner.position_logits)
    raise NiahError(
        f"model '{adapter.name}' has no per-position logits, which --pooling needs: "
        "only a linear head after average pooling (the DASS family) has them"
    )


def _checked(adapter: Adapter, positions: Callable[[Tensor], object], features: Tensor) -> Tensor:
    """Return the logits at positions (B, T, .., classes), checked: a user's class may answer with anything."""
    batch, classes = len(features), len(adapter.labels)
    answer = positions(features)
    shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    if (
        not isinstance(answer, Tensor)
        or answer.ndim < 3
        or (len(answer), answer.shape[-1]) != (batch, classes)
    ):
        raise NiahError(
            f"{adapter.name}: logits at positions of {batch} inputs are {shape}, must be a tensor of ({batch}, "
            f"positions, {classes})"
        )
    return answer
