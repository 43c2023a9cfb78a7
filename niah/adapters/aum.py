"""AuM checkpoints: the official `best_audio_model.pth`, whose keys show the design."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import nn

from niah.adapters.checkpoints import State, read_state
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.networks.aum import Aum as AumNetwork
from niah.networks.aum import AumConfig
from niah.networks.config import network_config
from niah.networks.layers.mamba_mixer import Design, backend_of, largest_of_mixer, use_backend
from niah.scan import Backend, choose_backend

DETECT = "auto"  # a card's design: that of the checkpoint, Bi-Bi without one
_SHOWN: Mapping[Design, str] = {"fo-fo": "Fo-Fo", "fo-bi": "Fo-Bi", "bi-bi": "Bi-Bi"}


class Aum(NetworkAdapter):
    """AuM of any design and size (`niah.networks.aum`)."""

    network: AumNetwork
    head = "head"
    runs_in_threads = True

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        design = config.get("design", DETECT)
        design = "bi-bi" if design == DETECT else design
        return AumNetwork(network_config(AumConfig, {**config, "design": design}, classes))

    def load(self, path: Path) -> None:
        """Load a checkpoint; its design and trained length are used where the card leaves them open.

        Raises:
            NiahError: another design than the card's, or a checkpoint of no known design.
        """
        state = read_state(path)
        built = self.network.config
        design, expected = design_of(state, path), self.card.config.get("design", DETECT)
        if expected not in (DETECT, design):
            raise NiahError(
                f"checkpoint {path} is {_SHOWN[design]} and model '{self.name}' is {_SHOWN[expected]}: "
                f'give a card with design = "{design}"'
            )
        frames = _trained_frames(state, built)
        if (design, frames) != (built.design, built.trained_frames):
            self.config = {**self.config, "design": design, "trained_frames": frames}
            self.network = cast(AumNetwork, self.outline())
        super().load(path)

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Return the state as it is: the official keys are ours."""
        return dict(state)

    @property
    def kernel(self) -> str:  # type: ignore[override]
        chosen = choose_backend(self.network.head.weight, backend_of(self.network))
        return f"scan-{chosen}"

    def set_scan_backend(self, backend: Backend) -> None:
        use_backend(self.network, backend)

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        config = self.network.config
        tokens = config.tokens(max(frames, config.patch[1]))
        return batch * max(frames * config.mels, largest_of_mixer(config.width, tokens))


def design_of(state: State, path: Path) -> Design:
    """Detect the design: Bi-Bi where a second convolution is stored, else Fo-Bi where a second A is, else Fo-Fo.

    Args:
        state: the tensors of a checkpoint.
        path: of its file, for errors.

    Returns:
        "bi-bi", "fo-bi" or "fo-fo".

    Raises:
        NiahError: no mixers, or layers of different designs.
    """
    layers: dict[str, set[str]] = {}
    for key in state:
        layer, separator, parameter = key.partition(".mixer.")
        if separator:
            layers.setdefault(layer, set()).add(parameter)
    if not layers:
        raise NiahError(f"checkpoint {path} is no AuM: it has no keys layers.*.mixer.*")
    designs = {layer: _design_of(parameters) for layer, parameters in layers.items()}
    first, design = next(iter(designs.items()))
    for layer, other in designs.items():
        if other != design:
            raise NiahError(
                f"checkpoint {path} is of no AuM design: {first} is {_SHOWN[design]}, {layer} {_SHOWN[other]}"
            )
    return design


def _design_of(parameters: set[str]) -> Design:
    if any(parameter.startswith("conv1d_b.") for parameter in parameters):
        return "bi-bi"
    return "fo-bi" if "A_b_log" in parameters else "fo-fo"


def _trained_frames(state: State, config: AumConfig) -> int:
    """Return the frames of the stored positions: AuM is also released for 1 s (Speech Commands)."""
    if config.causal:  # whose positions are of rows alone
        return config.trained_frames
    table = state.get("pos_embed.pos_embed")
    rows = config.grid(config.trained_frames)[0]
    if table is None or table.ndim != 3 or table.shape[1] <= 1 or (table.shape[1] - 1) % rows:
        return config.trained_frames  # strict loading names the key
    return int(table.shape[1] - 1) // rows * config.patch[1]
