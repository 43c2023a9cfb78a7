"""HTS-AT checkpoints: the official Lightning files (`state_dict`, keys `sed_model.`)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.learned_mean import with_learned_mean
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.frontends.stft import HTSAT
from niah.networks.config import network_config
from niah.networks.htsat import HtsAt as HtsAtNetwork
from niah.networks.htsat import HtsAtConfig

_FRONTEND = {  # kernels of torchlibrosa's STFT and its mel bank; the front end of this package is HTS-AT's
    "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
    "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
    "logmel_extractor.melW": (513, 64),
}
_CONSTANTS = (".attn_mask", ".relative_position_index")  # made by the network
_UNUSED_HEAD = ("head.weight", "head.bias")  # of the variant without a token-semantic head
_BATCHES = "bn0.num_batches_tracked"  # a counter that no score depends on


class HtsAt(NetworkAdapter):
    """HTS-AT (`niah.networks.htsat`). Past 20.5 s it has no native mode: use a sliding window."""

    network: HtsAtNetwork
    kernel = "sdpa"
    head = "tscam_conv"
    default_frontend = HTSAT

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return HtsAtNetwork(network_config(HtsAtConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:
        """Drop the keys of constants and of the unused head from the official state; it may lack them.

        Raises:
            NiahError: a constant of another shape.
        """
        constants = {
            key: tuple(buffer.shape)
            for key, buffer in network.named_buffers()
            if key.endswith(_CONSTANTS)
        }
        dropped = _FRONTEND | constants
        for key in dropped.keys() & state.keys():
            if tuple(state[key].shape) != dropped[key]:
                raise NiahError(
                    f"this checkpoint's {key} is {tuple(state[key].shape)}, not {dropped[key]}: "
                    "it is of another front end or another window"
                )
        weights = {key: v for key, v in state.items() if key not in (*dropped, *_UNUSED_HEAD)}
        return {_BATCHES: torch.tensor(0), **weights}

    def _ready(self) -> None:
        self.frontend = with_learned_mean(self.frontend, self.network.bn0)
        super()._ready()

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, the image, or in the first stage an MLP's hidden layer or the attention's scores.

        Crops of a long input are run one by one.
        """
        config = self.network.config
        tokens = (config.side // config.patch) ** 2
        hidden, scores = int(config.width * config.mlp_ratio), config.heads[0] * config.window**2
        return batch * max(max(frames, config.frames) * config.mels, tokens * max(hidden, scores))
