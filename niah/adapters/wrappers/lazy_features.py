"""Scenes too long for memory: blocks of features through a network that reads its input in parts."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from niah.adapters.protocol import Adapter
from niah.scenes.lazy import FeatureBlocks


@runtime_checkable
class ReadsBlocks(Protocol):
    """An adapter whose network reads its input in parts (`niah.adapters.dass`)."""

    def block_logits(self, features: FeatureBlocks) -> Tensor:
        """Compute `logits` of the whole input, to the last bit: (B, frames, mels) -> (B, classes) float32."""


class InBlocks:
    """`adapter` on scenes whose features are rendered when its network reads them; itself an adapter.

    The time of a forward pass includes that of rendering: the latency is an upper bound.

    Raises:
        TypeError: the adapter has no `block_logits`.
    """

    def __init__(self, adapter: Adapter) -> None:
        if not isinstance(adapter, ReadsBlocks):
            raise TypeError(f"{adapter.name} has no block_logits")
        self._blocks: ReadsBlocks = adapter
        self._whole = adapter
        self.name = adapter.name
        self.sample_rate = adapter.sample_rate
        self.frontend = adapter.frontend
        self.labels = adapter.labels
        self.kernel = f"{adapter.kernel}+blocks"

    def logits(self, features: Tensor | FeatureBlocks) -> Tensor:
        """Compute logits: (B, frames, mels), in memory or in blocks -> (B, classes) float32."""
        if isinstance(features, Tensor):
            return self._whole.logits(features)
        return self._blocks.block_logits(features)
