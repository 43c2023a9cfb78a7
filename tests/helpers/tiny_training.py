"""Recipes, clips and a network of a few thousand parameters, for tests of training."""

from typing import Any

import numpy as np
import torch

from niah.training.clips import FeatureClips
from niah.training.recipes import Recipe
from tests.helpers import tiny

PLAIN: dict[str, Any] = {
    "mixup_rate": 0.0,
    "frequency_mask": 0,
    "time_mask": 0,
    "roll": False,
    "warmup_steps": 0,
    "weight_decay": 0.0,
}


def recipe(**given: Any) -> Recipe:
    return Recipe(**{"model": "m", "train": "t", "validation": "v", "name": "made", **given})


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
