"""Cnn14 checkpoints of PANNs: the official files (`model`), of 32 kHz and of 16 kHz."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.learned_mean import with_learned_mean
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.frontends.stft import HTSAT, PANNS_16K, StftFrontend
from niah.networks.cnn14 import PART, SEEN, Cnn14Config
from niah.networks.cnn14 import Cnn14 as Cnn14Network
from niah.networks.config import network_config

_SPECTRUM = "spectrogram_extractor.stft.conv_"
_COUNTER = ".num_batches_tracked"  # no score depends on it


class Cnn14(NetworkAdapter):
    """Cnn14 (`niah.networks.cnn14`) at 32 kHz, whose front end is HTS-AT's. Any length has logits."""

    network: Cnn14Network
    head = "fc_audioset"
    default_frontend: ClassVar[StftFrontend] = HTSAT

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return Cnn14Network(network_config(Cnn14Config, config, classes))

    @classmethod
    def official_state(cls, state: State, network: nn.Module) -> State:
        """Drop the front end's kernels from the official state, which may lack them.

        Raises:
            NiahError: kernels of another front end: a file of the other sample rate.
        """
        fft, mels = cls.default_frontend.fft_size, cls.default_frontend.mels
        kernels = {
            f"{_SPECTRUM}real.weight": (fft // 2 + 1, 1, fft),
            f"{_SPECTRUM}imag.weight": (fft // 2 + 1, 1, fft),
            "logmel_extractor.melW": (fft // 2 + 1, mels),
        }
        for key in kernels.keys() & state.keys():
            if tuple(state[key].shape) != kernels[key]:
                raise NiahError(
                    f"this checkpoint's {key} is {tuple(state[key].shape)}, not {kernels[key]}: "
                    f"it is of another front end than that of {cls.default_frontend.sample_rate} Hz"
                )
        counters = {key: torch.tensor(0) for key in network.state_dict() if key.endswith(_COUNTER)}
        return counters | {key: value for key, value in state.items() if key not in kernels}

    def _ready(self) -> None:
        self.frontend = with_learned_mean(self.frontend, self.network.bn0)
        super()._ready()

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, or the largest map of one part of it."""
        config = self.network.config
        part = min(frames, (PART + 2 * SEEN + 1) * config.frames_a_position)
        rows = config.channels[-1] * (frames // config.frames_a_position)
        return batch * max(frames * config.mels, config.largest_map(part), rows)


class Cnn14At16k(Cnn14):
    """Cnn14 at 16 kHz."""

    default_frontend = PANNS_16K
