"""CED checkpoints: the released files (Zenodo) and the hub's (`mispeech/ced-*`). SAT and Dasheng have their layout."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.learned_mean import with_learned_mean
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.frontends.log_mel import LogMelFrontend
from niah.networks.ced import Ced as CedNetwork
from niah.networks.ced import CedConfig
from niah.networks.config import network_config
from niah.networks.layers.decibel_patches import PARTS_AT_ONCE
from niah.networks.layers.vit import largest_tensor

CED = LogMelFrontend(
    sample_rate=16000,
    n_fft=512,
    hop_length=160,
    n_mels=64,
    log="dB",
    floor=1e-10,
    mel_scale="htk",
    f_max=8000.0,
)
"""CED: torchaudio's mel spectrogram in decibels, 1001 frames a 10 s clip; its mean and range are in the network."""

_FRONTEND = {"window": (512,), "fb": (257, 64)}  # torchaudio's window and mel bank, by last part
_BATCHES = "init_bn.num_batches_tracked"  # a counter that no score depends on


class CedFamily(NetworkAdapter):
    """A network of CED's authors: their front end, and a batch norm that has the mean log-mel of the training data."""

    network: nn.Module
    head = "outputlayer.1"
    kernel = "sdpa"
    default_frontend: ClassVar[LogMelFrontend] = CED

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Rename the batch norm, and drop the front end's window and mel bank, which the state may lack.

        Raises:
            NiahError: a window or mel bank of another shape.
        """
        return official_names(state)

    def _ready(self) -> None:
        norm = self.network.init_bn
        assert isinstance(norm, nn.BatchNorm1d)
        self.frontend = with_learned_mean(self.frontend, norm)
        super()._ready()


class Ced(CedFamily):
    """CED (`niah.networks.ced`). Past 10.12 s probabilities of parts are averaged, as the authors' code does."""

    network: CedNetwork

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return CedNetwork(network_config(CedConfig, config, classes))

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, or the largest tensor of the parts that go through the blocks together."""
        config = self.network.config
        frames = max(frames, config.patch)  # what is too short fails in the network
        parts = config.parts(frames)
        together = min(batch * parts, max(batch, PARTS_AT_ONCE))
        tokens = config.tokens(frames) // parts
        blocks = largest_tensor(together, tokens, config.width, config.patch)
        padded = together * config.part_frames if parts > 1 else 0
        return max(batch * frames * config.mels, padded * config.mels, blocks)


def official_names(state: State) -> State:
    """Rename the keys of a state dict of CED, SAT or Dasheng in the authors' layout, or the hub's, to the network's.

    Args:
        state: may have the front end's window and mel bank, which are dropped, and may lack the batch norm's counter.

    Returns:
        The state dict to load; unknown keys stay.

    Raises:
        NiahError: a window or mel bank of another shape.
    """
    weights: State = {}
    for key, value in state.items():
        name = key.removeprefix("encoder.").replace("init_bn.1.", "init_bn.")
        shape = _FRONTEND.get(name.rpartition(".")[2])
        if not name.startswith("front_end.") or shape is None:
            weights[name] = value
        elif tuple(value.shape) != shape:
            raise NiahError(
                f"this checkpoint's {key} is {tuple(value.shape)}, not {shape}: "
                "it is of another front end than CED's"
            )
    return {_BATCHES: torch.tensor(0), **weights}
