"""Another pooling of the same network: per-position logits of an adapter, pooled by `niah.networks.layers.pooling`."""

from collections.abc import Callable

import torch
from torch import Tensor

from niah.adapters.protocol import Adapter
from niah.errors import NiahError
from niah.networks.layers.pooling import pool


class Pooled:
    """`adapter` with its positions pooled by `pooling` ("max", "top-k", ..); itself an adapter.

    With several poolings, of one pass through the network: their logits side by side, in their order.

    Raises:
        NiahError: the adapter (and its network) has no `position_logits(features) -> (B, time, .., classes)`.
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
        """(B, frames, mels) -> (B, poolings x classes) float32."""
        share = min(1.0, self.frontend.needle_frames / features.shape[1])
        z = self._positions(features).float()
        return torch.cat([pool(z, pooling, share) for pooling in self.poolings], dim=1)


def position_logits_of(adapter: Adapter) -> Callable[[Tensor], Tensor]:
    """The adapter's `position_logits`, or its network's."""
    for owner in (adapter, getattr(adapter, "network", None)):
        found: Callable[[Tensor], Tensor] | None = getattr(owner, "position_logits", None)
        if callable(found):
            return found
    raise NiahError(
        f"model '{adapter.name}' has no per-position logits, which --pooling needs: "
        "only a linear head after average pooling (the DASS family) has them"
    )
