"""Where a training run stands, on disk: written whole, taken up by the same command after any kill."""

import hashlib
import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from niah.errors import NiahError
from niah.system import atomic
from niah.training.averaging import State
from niah.training.recipes import Recipe

CHECKPOINT = "checkpoint.pt"


@dataclass
class TrainState:
    """What a run knows beside its weights. `step` is the next one, counted over all epochs."""

    step: int = 0
    loss_sum: float = 0.0  # over the steps of the epoch so far
    averaged: State = field(default_factory=dict)
    averaged_epochs: int = 0
    best_mAP: float = -math.inf
    epochs_since_best: int = 0
    finished: bool = False
    log: dict[str, float] = field(default_factory=dict)


def save(
    path: Path,
    recipe: Recipe,
    standing: TrainState,
    network: nn.Module,
    optimiser: Any,
    scaler: Any = None,
    moving: State | None = None,
) -> None:
    content = io.BytesIO()  # torch tells a full disk in its own words, and not in one line
    torch.save(
        {
            "recipe": _fingerprint(recipe),
            "standing": dict(vars(standing)),
            "model": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "moving": moving,
        },
        content,
    )
    with atomic.atomic_write(path) as stream:
        stream.write(content.getbuffer())


def resume(
    path: Path,
    recipe: Recipe,
    network: nn.Module,
    optimiser: Any,
    scaler: Any = None,
    moving: nn.Module | None = None,
) -> TrainState:
    """Load what is there into the given objects; a fresh `TrainState` where nothing is.

    Raises:
        NiahError: a checkpoint of another recipe, or one that cannot be read.
    """
    if not path.is_file():
        return TrainState()
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise NiahError(
            f"{path} cannot be read ({str(error).splitlines()[0]}): remove it to begin anew"
        ) from None
    if saved.get("recipe") not in (_fingerprint(recipe), _told(recipe)):
        raise NiahError(
            f"{path} is a checkpoint of another recipe: give another --out, or remove it"
        )
    network.load_state_dict(saved["model"])
    optimiser.load_state_dict(saved["optimiser"])
    if scaler is not None and saved["scaler"] is not None:
        scaler.load_state_dict(saved["scaler"])
    if moving is not None:
        moving.load_state_dict(saved["moving"])
    return TrainState(**saved["standing"])


def _fingerprint(recipe: Recipe) -> str:
    """A checksum: a recipe names files by their paths, which are nobody else's business."""
    return hashlib.sha256(_told(recipe).encode()).hexdigest()


def _told(recipe: Recipe) -> str:
    """What older checkpoints have in place of the checksum."""
    return repr(sorted(asdict(recipe).items()))
