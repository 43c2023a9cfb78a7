"""EAT and SSLAM checkpoints: the Hugging Face safetensors (`model.` before every key) and the fairseq files.

The hub's repositories carry code for `trust_remote_code`; none of it is run or needed.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.frontends.kaldi import EAT
from niah.networks.config import network_config
from niah.networks.eat import Eat as EatNetwork
from niah.networks.eat import EatConfig, sinusoid_2d
from niah.networks.layers.vit import largest_tensor

_POSITIONS = "fixed_positional_encoder.positions"
_SINUSOID_TOLERANCE = 1e-2  # files may store it in half precision
_NAMES = (
    (r"^model\.modality_encoders\.IMAGE\.context_encoder\.norm\.", "pre_norm."),  # fairseq
    (r"^model\.modality_encoders\.IMAGE\.", ""),
    (r"^model\.", ""),  # fairseq's blocks; all of the hub's
)


class Eat(NetworkAdapter):
    """EAT-base, EAT-large and SSLAM (`niah.networks.eat`)."""

    network: EatNetwork
    head = "head"
    kernel = "sdpa"
    default_frontend = EAT

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return EatNetwork(network_config(EatConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:
        """Rename the keys of either layout to ours; check and drop the stored sinusoid.

        The network computes it for each length.

        Raises:
            NiahError: a key in both layouts, or positions that are not the sinusoid.
        """
        assert isinstance(network, EatNetwork)
        renamed: State = {}
        for key, value in state.items():
            name = key
            for pattern, ours in _NAMES:
                name = re.sub(pattern, ours, name)
            if name in renamed:
                raise NiahError(f"the checkpoint has '{name}' in both of EAT's layouts: keep one")
            renamed[name] = value
        if _POSITIONS in renamed:
            _check_positions(renamed.pop(_POSITIONS), network.config)
        return renamed

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Elements of the largest tensor of a forward."""
        config = self.network.config
        return largest_tensor(batch, config.tokens(frames), config.width, config.patch)


def _check_positions(stored: Tensor, config: EatConfig) -> None:
    """Refuse positions (1, t f, D) that are not the fixed sinusoid: learned ones would be dropped silently."""
    rows = config.mels // config.patch
    whole = stored.ndim == 3 and stored.shape[1] % rows == 0 and stored.shape[2] == config.width
    expected = sinusoid_2d(stored.shape[1] // rows, rows, config.width) if whole else None
    if (
        expected is None
        or float((stored.float() - expected.flatten(0, 1)).abs().max()) > _SINUSOID_TOLERANCE
    ):
        raise NiahError(
            f"this checkpoint's {_POSITIONS} {tuple(stored.shape)} is not EAT's fixed two-dimensional sinusoid "
            f"of width {config.width}: it is another model"
        )
