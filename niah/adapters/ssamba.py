"""SSAMBA checkpoints: the authors' layout (`amba_models.py`, `AMBAModel`), fine-tuned for tagging."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from niah.adapters.checkpoints import read_state
from niah.adapters.self_supervised import SelfSupervised
from niah.errors import NiahError
from niah.networks.config import network_config
from niah.networks.layers.mamba_mixer import backend_of, largest_of_mixer, use_backend
from niah.networks.ssamba import Ssamba as SsambaNetwork
from niah.networks.ssamba import SsambaConfig
from niah.scan import Backend, choose_backend


class Ssamba(SelfSupervised):
    """SSAMBA tiny, small and base (`niah.networks.ssamba`)."""

    network: SsambaNetwork
    head = "mlp_head.1"
    class_tokens = 1

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return SsambaNetwork(network_config(SsambaConfig, config, classes))

    def load(self, path: Path) -> None:
        """Build the network to the checkpoint's table of positions, and load it.

        Raises:
            NiahError: a self-supervised checkpoint, or one with RMSNorm.
        """
        state = read_state(path)
        if "v.layers.0.norm.weight" in state and "v.layers.0.norm.bias" not in state:
            raise NiahError(
                f"checkpoint {path} has norms without a bias (RMSNorm): the released SSAMBA has LayerNorm "
                "(missing v.layers.0.norm.bias)"
            )
        super().load(path)

    @property
    def kernel(self) -> str:  # type: ignore[override]
        chosen = choose_backend(self.network.v.cls_token, backend_of(self.network))
        return f"scan-{chosen}"

    def set_scan_backend(self, backend: Backend) -> None:
        use_backend(self.network, backend)

    def largest_tensor(self, batch: int, frames: int) -> int:
        config = self.network.config
        rows, columns = config.grid(max(frames, config.patch[1]))
        tokens = self.class_tokens + rows * columns
        pixels = max(frames * config.mels, tokens * math.prod(config.patch))
        return batch * max(pixels, largest_of_mixer(config.width, tokens))
