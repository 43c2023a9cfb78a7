"""Taggers whose faults are known, for whatever is to be found by the harness: no weights to train, no luck.

`Ear` hears the tones of `tests.helpers.tiny` perfectly: the logit of a class is the loudest frame in the mel
bins of its band.
[config] plants the fault:

    deaf_after_s    longer inputs are not heard at all: every clip gets the same logits
    hears_s         only so many seconds at the beginning are heard
    first_s         only so many seconds are heard from the first sound on
    always          index of a class that is said of everything (logit 8), while nothing else is heard; -1: none
    positions       whether it offers per-position logits, the mean of which is then its logit
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from tests.helpers import tiny

LOUD = 0.4  # normalised, 16 dB: as far below the loudest sound of a scene there is a sound
BANDS = ((13, 22), (44, 56), (88, 104))  # mel bins about 300, 1200 and 4000 Hz, 10 % either way


class Ear(nn.Module):
    """(B, frames, 128) -> (B, classes)."""

    def __init__(
        self,
        classes: int,
        deaf_after_s: float = 0.0,
        hears_s: float = 0.0,
        always: int = -1,
        mean: bool = False,
        first_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(classes))
        self.deaf_after_s, self.hears_s, self.always, self.mean = (
            deaf_after_s,
            hears_s,
            always,
            mean,
        )
        self.first_s = first_s

    def heard(self, x: Tensor) -> Tensor:
        """(B, T, classes): how loud each band is in each frame."""
        return self.gain * torch.stack([x[..., a:b].amax(dim=-1) for a, b in BANDS], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        if self.always >= 0:
            said = x.new_full((len(x), len(self.gain)), -8.0)
            said[:, self.always] = 8.0
            return said
        if self.deaf_after_s and x.shape[1] > 100 * self.deaf_after_s:
            return x.new_zeros(len(x), len(self.gain))
        if self.hears_s:
            x = x[:, : round(100 * self.hears_s)]
        heard = self.heard(x)
        if self.first_s:
            loud = heard.amax(dim=2) > heard.amax(dim=(1, 2))[:, None] - LOUD
            begin = loud.int().argmax(dim=1, keepdim=True)
            frame = torch.arange(heard.shape[1], device=heard.device)
            near = (frame >= begin) & (frame < begin + round(100 * self.first_s))
            heard = heard.masked_fill(~near[..., None], float(heard.min()))
        return heard.mean(dim=1) if self.mean else heard.amax(dim=1)


class Planted(NetworkAdapter):
    """The adapter around `Ear`."""

    network: Ear

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return Ear(classes, **config)

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        return state


class PlantedPositions(Planted):
    """With per-position logits: the mean over them is the logit of an `Ear` with `mean`."""

    def position_logits(self, features: Tensor) -> Tensor:
        return self.network.heard(features.to(self.device, self.dtype))


class CountsToOne(PlantedPositions):
    """Each class is heard for 6 s around its loudest frame, and nowhere else."""

    def position_logits(self, features: Tensor) -> Tensor:
        heard = super().position_logits(features)
        away = torch.arange(heard.shape[1])[None, :, None] - heard.argmax(dim=1, keepdim=True)
        return heard.masked_fill(away.abs() > 300, float(heard.min()))


class FiresAtEveryEvent(PlantedPositions):
    """Every class is heard whenever one of them is."""

    def position_logits(self, features: Tensor) -> Tensor:
        heard = super().position_logits(features)
        return heard.amax(dim=2, keepdim=True).expand_as(heard).contiguous()


def card(folder: Path, name: str = "ear", adapter: str = "Planted", **config: Any) -> Path:
    """Write a card with `tests.helpers.tiny`'s labels; returns its path."""
    path = tiny.card(folder, name)
    settings = [f"{key} = {str(value).lower()}" for key, value in config.items()]
    text = path.read_text().replace(
        "tests.helpers.tiny:TinyTagger", f"tests.helpers.planted:{adapter}"
    )
    path.write_text("\n".join([text, *settings]))
    return path


def checkpoint(folder: Path) -> Path:
    """The one parameter there is."""
    path = folder / "ear.safetensors"
    save_file({"gain": torch.ones(len(tiny.IDS))}, path)
    return path
