"""DASS checkpoints: the official `.pth` (keys `module.v.`), and the port in transformers-DASS (`models/dass`)."""

import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from niah.adapters.checkpoints import State, strip_prefix
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import INDEXED_BY_64_BITS
from niah.networks.config import network_config
from niah.networks.dass.network import DassConfig
from niah.networks.dass.tiled import TiledDass, feature_map
from niah.networks.dass.tiling import largest_tensor
from niah.scan import choose_backend
from niah.scenes.lazy import FeatureBlocks

_HUB_STEM = {"0": "0", "1": "2", "3": "5", "4": "7"}  # port's index -> official index
_HUB_NAMES = (
    (r"^dass\.layers\.", "layers."),
    (r"^dass\.norm\.", "classifier.norm."),
    (r"^head\.", "classifier.head."),
    (r"\.downsample\.down\.", ".downsample.1."),
    (r"\.downsample\.norm\.", ".downsample.3."),
    (r"\.op\.x_proj\.weight$", ".op.x_proj_weight"),
    (r"\.op\.dt_projs\.weight$", ".op.dt_projs_weight"),
)


class Dass(NetworkAdapter):
    """DASS-small, DASS-medium, and our nano size (`niah.networks.dass.network`)."""

    network: TiledDass
    head = "classifier.head"
    runs_in_threads = True
    safe_elements = INDEXED_BY_64_BITS  # whole maps meet only our scans and pointwise operators

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return TiledDass(network_config(DassConfig, config, classes))

    @property
    def kernel(self) -> str:  # type: ignore[override]
        chosen = choose_backend(next(self.network.parameters()), self.network.scan_backend)
        return f"scan-{chosen}"

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the first stage's map, or the hidden layer of one slab of it; everything else is tiled.

        See `niah.networks.dass.tiled`.
        """
        return largest_tensor(self.network.config, batch, frames, self.frontend.mels)

    def _forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.network(features).float()  # brings a tile at a time to its device
        return out

    @torch.inference_mode()
    def block_logits(self, features: FeatureBlocks) -> Tensor:
        """Compute `logits` of scenes that are not in memory: the stem reads one window of frames at a time.

        Args:
            features: (B, frames, mels), rendered when they are read.

        Returns:
            (B, classes) float32.
        """
        # `feature_map` only slices its input, and so do blocks
        last_map = feature_map(self.network, cast(Tensor, features))
        return self.network.classifier.pooled(last_map, features.shape[1]).float()

    def position_logits(self, features: Tensor) -> Tensor:
        """Compute logits at each position of the last map; pooled over T and F, they are `logits`.

        Args:
            features: (B, frames, mels) normalised.

        Returns:
            (B, T, F, classes) float32.
        """
        return self.network.position_logits(features).float()

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:
        """Rename official keys (prefix `v.`) or the port's (`dass.`); 1 x 1 convolutions become linear weights."""
        state = strip_prefix(state, "v.")
        if any(key.startswith("dass.") for key in state):
            state = {_from_hub(key): value for key, value in state.items()}
        shapes = {key: value.shape for key, value in network.state_dict().items()}
        return {key: _viewed(value, shapes.get(key)) for key, value in state.items()}


def _from_hub(key: str) -> str:
    if match := re.match(r"^dass\.patch_embeddings\.projection\.(\d+)\.(.*)$", key):
        return f"patch_embed.{_HUB_STEM.get(match[1], match[1])}.{match[2]}"
    for pattern, official in _HUB_NAMES:
        key = re.sub(pattern, official, key)
    return key


def _viewed(value: Tensor, shape: Any) -> Tensor:
    """Reshape a tensor that differs in the grouping of axes only: (out, in, 1, 1) linear layers, flat projections."""
    if shape is None or value.shape == shape or value.numel() != shape.numel():
        return value
    squeezed = [n for n in value.shape if n != 1] == [n for n in shape if n != 1]
    flattened = value.ndim == 2 and len(shape) == 3 and value.shape[1] == shape[2]
    return value.reshape(shape) if squeezed or flattened else value
