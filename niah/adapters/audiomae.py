"""Audio-MAE checkpoints: the authors' `finetuned.pth` (keys under `model`), named as the network names them."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.frontends.kaldi import AST
from niah.networks.audiomae import AudioMae as AudioMaeNetwork
from niah.networks.audiomae import AudioMaeConfig
from niah.networks.config import network_config
from niah.networks.layers.vit import largest_tensor


class AudioMae(NetworkAdapter):
    """Audio-MAE's fine-tuned ViT-B (`niah.networks.audiomae`)."""

    network: AudioMaeNetwork
    head = "head"
    kernel = "sdpa"
    default_frontend = AST

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return AudioMaeNetwork(network_config(AudioMaeConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Return the state as it is: the network has the official names, and the fine-tuned file has no other keys."""
        return state

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Elements of the largest tensor of a forward."""
        config = self.network.config
        return largest_tensor(batch, config.tokens(frames), config.width, config.patch)
