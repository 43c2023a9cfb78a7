"""Dasheng checkpoints that were fine-tuned on AudioSet: the released file (Zenodo)."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from niah.adapters.ced import CedFamily
from niah.networks.config import network_config
from niah.networks.dasheng import Dasheng as DashengNetwork
from niah.networks.dasheng import DashengConfig
from niah.networks.layers.decibel_patches import PARTS_AT_ONCE
from niah.networks.layers.vit import largest_tensor


class Dasheng(CedFamily):
    """Dasheng (`niah.networks.dasheng`). Past 10.08 s the tokens of parts are averaged, as the authors' code does."""

    network: DashengNetwork

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return DashengNetwork(network_config(DashengConfig, config, classes))

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, or the largest tensor of the parts that go through the blocks together."""
        config = self.network.config
        tokens = config.tokens(
            max(frames, config.strip_frames)
        )  # what is too short fails in the network
        parts = -(-tokens // config.part_tokens)
        together = min(batch * parts, max(batch, PARTS_AT_ONCE))
        tokens = min(tokens, config.part_tokens)
        patches = together * tokens * config.mels * config.strip_frames
        blocks = largest_tensor(together, tokens, config.width, 1)
        return max(batch * frames * config.mels, patches, blocks)
