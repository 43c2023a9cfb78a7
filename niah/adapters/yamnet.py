"""YAMNet in full precision: the variables of a TensorFlow saved model (`niah.adapters.tensor_bundle`)."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.patches import PatchScorer
from niah.frontends.log_mel import LogMelFrontend
from niah.networks.config import network_config
from niah.networks.layers.pooling import pool
from niah.networks.yamnet import STEM, YamnetConfig
from niah.networks.yamnet import Yamnet as YamnetNetwork

YAMNET = LogMelFrontend(
    sample_rate=16000,
    n_fft=512,
    win_length=400,
    window_pad="end",
    hop_length=160,
    center=False,
    power=1,
    n_mels=64,
    f_min=125.0,
    f_max=7500.0,
    mel_scale="kaldi",
    log="ln",
    offset=0.001,
    mean_log_mel=(-1.206,),
    patch_frames=96,
    patch_hop=48,
)
"""YAMNet's; the mean log-mel is that of models/yamnet.toml, measured here."""

_VARIABLE = re.compile(r"(?:.*/)?layer_with_weights-(\d+)/(\w+)(?:/\.ATTRIBUTES/VARIABLE_VALUE)?")
_NORM = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_AXES = {"kernel": (3, 2, 0, 1), "depthwise_kernel": (2, 3, 0, 1)}  # of TensorFlow's convolutions
_AT_ONCE = 8  # patches, exactly: with fewer an answer differs in its last bits


class Yamnet(NetworkAdapter):
    """YAMNet (`niah.networks.yamnet`). Patches of equal content are scored once; their probabilities are averaged."""

    network: YamnetNetwork
    head = "classifier"
    default_frontend: ClassVar[LogMelFrontend] = YAMNET

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return YamnetNetwork(network_config(YamnetConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:
        """Name the variables of a Keras model, numbered from input to output, and turn their axes to torch's.

        Metrics of its training are dropped.
        """
        last = 2 * sum(isinstance(module, nn.Conv2d) for module in network.modules())
        variables = {key: value for key, value in state.items() if not key.startswith("keras_api/")}
        return dict(_renamed(key, value, last) for key, value in variables.items())

    def _ready(self) -> None:
        super()._ready()
        config = self.network.config
        self._patches = PatchScorer(
            self._answers, config.patch_frames, config.patch_hop, at_once=_AT_ONCE
        )

    def forget_answers(self) -> None:
        """Score every patch anew from now on."""
        self._patches.forget()

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, or the largest map of the patches that are scored together."""
        config = self.network.config
        first = (config.patch_frames // 2 + 1) * (config.mels // 2 + 1)  # filled up
        maps = _AT_ONCE * first * config.channels(2 * STEM)
        return max(batch * frames * config.mels, maps)

    def position_logits(self, features: Tensor) -> Tensor:
        """Compute the logits of every patch: (B, frames, mels) -> (B, patches, classes) float32."""
        fill = self.network.config.silence
        clips = features.detach().float().cpu().contiguous().numpy()
        return torch.stack([torch.from_numpy(self._patches(clip, fill)) for clip in clips])

    def _forward(self, features: Tensor) -> Tensor:
        return pool(self.position_logits(features), "mean-probability", 1.0).to(self.device)

    @torch.inference_mode()
    def _answers(self, patches: NDArray[np.generic]) -> NDArray[np.generic]:
        """(n, 96, mels) -> (n, classes) float32."""
        answers = self.network.patch_logits(torch.from_numpy(patches).to(self.device, self.dtype))
        return answers.float().cpu().numpy()


def _renamed(key: str, value: Tensor, last: int) -> tuple[str, Tensor]:
    """Return the network's name and tensor of a variable; an unknown one stays as it is."""
    match = _VARIABLE.fullmatch(key)
    if match is None:
        return key, value
    number, variable = int(match[1]), match[2]
    if number == last and variable in ("kernel", "bias"):
        weight = variable == "kernel" and value.ndim == 2
        return f"classifier.{'weight' if weight else variable}", value.t() if weight else value
    layer = f"layers.{number // 2}"
    if number % 2 and variable in _NORM:
        return f"{layer}.norm.{_NORM[variable]}", value
    if variable in _AXES and value.ndim == 4:
        return f"{layer}.conv.weight", value.permute(_AXES[variable])
    return key, value
