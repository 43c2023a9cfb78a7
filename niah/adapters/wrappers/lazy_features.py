"""Scenes too long to be held whole, in blocks through a network that reads its input so."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from niah.adapters.protocol import Adapter
from niah.scenes.lazy import FeatureBlocks


@runtime_checkable
class ReadsBlocks(Protocol):
    """An adapter whose network never needs its input whole (`niah.adapters.dass`)."""

    def block_logits(self, features: FeatureBlocks) -> Tensor:
        """(B, frames, mels) -> (B, classes) float32: `logits` of the whole, to the last bit."""


class InBlocks:
    """`adapter` on scenes whose rows are made as its network reads them; itself an adapter.

    Its time of a forward pass has the making of the rows in it: the latency is an upper bound.

    Raises:
        TypeError: an adapter that reads no blocks.
    """

    def __init__(self, adapter: Adapter) -> None:
        if not isinstance(adapter, ReadsBlocks):
            raise TypeError(f"{adapter.name} reads no blocks")
        self._blocks: ReadsBlocks = adapter
        self._whole = adapter
        self.name = adapter.name
        self.sample_rate = adapter.sample_rate
        self.frontend = adapter.frontend
        self.labels = adapter.labels
        self.kernel = f"{adapter.kernel}+blocks"

    def logits(self, features: Tensor | FeatureBlocks) -> Tensor:
        """(B, frames, mels) -> (B, classes) float32."""
        if isinstance(features, Tensor):
            return self._whole.logits(features)
        return self._blocks.block_logits(features)
