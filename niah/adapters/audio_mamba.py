"""Audio Mamba (Lin and Hu): trained by this project only, as its authors released neither weights nor model code."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.learned_mean import with_learned_mean
from niah.adapters.network_adapter import NetworkAdapter
from niah.frontends.stft import HTSAT
from niah.networks.audio_mamba import AudioMamba as AudioMambaNetwork
from niah.networks.audio_mamba import AudioMambaConfig
from niah.networks.config import network_config
from niah.scan import DIRECTIONS, choose_backend


class AudioMamba(NetworkAdapter):
    """Audio Mamba as its paper describes it (`niah.networks.audio_mamba`); native at any length."""

    network: AudioMambaNetwork
    head = "tscam_conv"
    default_frontend = HTSAT

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return AudioMambaNetwork(network_config(AudioMambaConfig, config, classes))

    @property
    def kernel(self) -> str:  # type: ignore[override]
        chosen = choose_backend(next(self.network.parameters()), self.network.scan_backend)
        return f"scan-{chosen}"

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Return the state as it is: this project's layout is the only one."""
        return state

    def _ready(self) -> None:
        self.frontend = with_learned_mean(self.frontend, self.network.bn0)
        super()._ready()

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the first stage's map: the hidden layer of an MLP, the scans' parameters, or the image itself.

        An upper bound: without gradients the hidden layer exists for one tile at a time.
        """
        config = self.network.config
        pixels = config.chunks(frames) * config.mels * config.side // config.patch**2
        hidden = int(config.dims[0] * config.mlp_ratio)
        scanned = DIRECTIONS * (-(-config.dims[0] // 16) + 2)
        return batch * pixels * max(hidden, scanned, config.patch**2)
