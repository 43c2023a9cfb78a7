"""SAT checkpoints: the released files (Zenodo)."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from niah.adapters.ced import CedFamily
from niah.networks.config import network_config
from niah.networks.layers.vit import TOKENS_AT_ONCE
from niah.networks.sat import CHUNKS_AT_ONCE, SatConfig
from niah.networks.sat import Sat as SatNetwork


class Sat(CedFamily):
    """SAT (`niah.networks.sat`), whose front end is CED's. Any length has logits: probabilities of chunks, averaged."""

    network: SatNetwork

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return SatNetwork(network_config(SatConfig, config, classes))

    def tokens(self, frames: int) -> int:
        config = self.network.config
        return config.chunks(frames) * config.chunk_tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, or of the chunks that go through a block together the keys or an MLP's hidden layer."""
        config = self.network.config
        frames = max(frames, config.patch)  # what is too short fails in the network
        chunks, tokens = config.chunks(frames), config.chunk_tokens(frames)
        together = min(batch * chunks, max(batch, CHUNKS_AT_ONCE))
        seen = tokens if chunks == 1 else 2 * tokens
        hidden = min(together * tokens, max(together, TOKENS_AT_ONCE)) * 4 * config.width
        keys, patches = together * seen * config.width, together * tokens * config.patch**2
        return max(batch * frames * config.mels, keys, hidden, patches)
