"""Recipes, clips and a network of a few thousand parameters, for tests of training."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from niah.frontends.kaldi import KaldiFrontend
from niah.training.data.clips import FeatureClips
from niah.training.recipes import Recipe
from tests.helpers import tiny

FRONTEND = KaldiFrontend()
PLAIN: dict[str, Any] = {
    "mixup_rate": 0.0,
    "frequency_mask": 0,
    "time_mask": 0,
    "roll": False,
    "warmup_steps": 0,
    "weight_decay": 0.0,
}


def recipe(**values: Any) -> Recipe:
    return Recipe(**{"model": "m", "train": "t", "validation": "v", "name": "made", **values})


def clips(count: int = 12, frames: int = 64) -> FeatureClips:
    """Clips whose class is a loud band of mels."""
    rng = np.random.default_rng(0)
    log_mel = rng.normal(-6, 1, (count, frames, 128)).astype(np.float16)
    targets = np.zeros((count, 3), dtype=np.float32)
    for row in range(count):
        band = row % 3
        log_mel[row, :, 40 * band : 40 * band + 40] += 4
        targets[row, band] = 1
    return FeatureClips(log_mel, targets)


def network(seed: int = 0) -> tiny.Network:
    torch.manual_seed(seed)
    return tiny.Network(3)


class Failing(tiny.Network):
    """Raises, or answers NaN, in the n-th training step."""

    def __init__(self, step: int, error: type[BaseException] | None = None) -> None:
        super().__init__(3)
        self.steps = 0
        self.step = step
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        out: Tensor = super().forward(x)
        if self.training and self.steps == self.step:
            if self.error is not None:
                raise self.error
            return out * math.nan
        return out


def failing(step: int, error: type[BaseException] | None = None) -> Failing:
    torch.manual_seed(0)
    return Failing(step, error)


def weights_of(run: Path) -> dict[str, Tensor]:
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    model: dict[str, Tensor] = saved["model"]
    return model


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def own_weights(card: Path, weights: Path) -> Path:
    card.write_text(card.read_text() + f'\n[weights.own]\nfile = "{weights.name}"\n')
    return card


@dataclass(frozen=True)
class Material:
    card: Path
    clips: Path
    folder: Path

    def recipe(self, name: str = "made", **values: Any) -> Path:
        """Write a recipe for the tiny tagger; returns its path."""
        table = {
            "model": str(self.card),
            "train": str(self.clips),
            "validation": str(self.clips),
            "epochs": 6,
            "batch_size": 6,
            "learning_rate": 0.02,
            "warmup_steps": 0,
            "mixup_rate": 0.0,
            "average_last": 2,
            **values,
        }
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items()))
        return path
