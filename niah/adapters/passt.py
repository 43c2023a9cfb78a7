"""PaSST checkpoints: the raw state dicts of the authors' GitHub releases."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.frontends.stft import PASST
from niah.networks.config import network_config
from niah.networks.layers.vit import largest_tensor
from niah.networks.passt import Passt as PasstNetwork
from niah.networks.passt import PasstConfig

_UNUSED = ("head_dist.weight", "head_dist.bias")  # DeiT's second head; the logits come from `head`


class Passt(NetworkAdapter):
    """PaSST-S of any trained length (`niah.networks.passt`)."""

    network: PasstNetwork
    head = "head.1"
    kernel = "sdpa"
    default_frontend = PASST

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return PasstNetwork(network_config(PasstConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Return the state without the unused second head."""
        return {key: value for key, value in state.items() if key not in _UNUSED}

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Elements of the largest tensor of a forward."""
        config = self.network.config
        tokens = config.tokens(max(frames, config.patch))  # what is too short fails in the network
        return largest_tensor(batch, tokens, config.width, config.patch)
