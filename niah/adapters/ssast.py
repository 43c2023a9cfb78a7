"""SSAST checkpoints: the authors' layout (`ast_models.py`, `ASTModel`), fine-tuned for tagging."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from niah.adapters.ast import largest_of_blocks
from niah.adapters.self_supervised import SelfSupervised
from niah.networks.config import network_config
from niah.networks.ssast import Ssast as SsastNetwork
from niah.networks.ssast import SsastConfig


class Ssast(SelfSupervised):
    """SSAST tiny, small and base, of patches or frames (`niah.networks.ssast`)."""

    network: SsastNetwork
    head = "mlp_head.1"
    kernel = "sdpa"
    class_tokens = 2

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return SsastNetwork(network_config(SsastConfig, config, classes))

    def largest_tensor(self, batch: int, frames: int) -> int:
        config = self.network.config
        rows, columns = config.grid(max(frames, config.patch[1]))
        tokens = self.class_tokens + rows * columns
        largest = largest_of_blocks(batch, tokens, config.width, config.patch)
        return max(batch * frames * config.mels, largest)
