"""EfficientAT checkpoints: the released state dicts of its MobileNets and dynamic MobileNets."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.frontends.stft import PASST
from niah.networks.config import network_config
from niah.networks.dynamic_mobilenet import DynamicMobileNet as DynamicMobileNetNetwork
from niah.networks.dynamic_mobilenet import DynamicMobileNetConfig
from niah.networks.mobilenet import MobileNet as MobileNetNetwork
from niah.networks.mobilenet import MobileNetConfig, largest_map


class MobileNet(NetworkAdapter):
    """MN (`niah.networks.mobilenet`), whose front end is PaSST's. Any length has logits."""

    network: MobileNetNetwork | DynamicMobileNetNetwork
    head = "classifier.5"
    default_frontend = PASST

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return MobileNetNetwork(network_config(MobileNetConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Return the official state as it is: the network has the authors' names."""
        return state

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, or the largest map of a widened block."""
        config = self.network.config
        widest = largest_map(config.width, frames, config.mels)
        return batch * max(frames * config.mels, widest)


class DynamicMobileNet(MobileNet):
    """DyMN (`niah.networks.dynamic_mobilenet`)."""

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return DynamicMobileNetNetwork(network_config(DynamicMobileNetConfig, config, classes))
