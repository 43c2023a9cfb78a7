"""The official codes' vectors in tests/golden: weights by rule, inputs by rule, logits stored."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.networks.ast import sinusoid
from tests.conftest import REPOSITORY
from tests.golden import rule

FOLDER = REPOSITORY / "tests" / "golden"


@dataclass(frozen=True)
class Golden:
    """One model; `state` in the authors' key layout, without the keys that their code keeps."""

    name: str
    document: dict[str, Any]
    state: dict[str, Tensor]
    arrays: dict[str, NDArray[np.float32]]  # logits (1, classes) by the key of a case

    def cases(self) -> Iterator[tuple[Tensor, NDArray[np.float32]]]:
        """Yield features and logits of every length; there is at least one."""
        by_frames = {case["frames"]: self.arrays[case["key"]] for case in self.document["cases"]}
        assert by_frames
        for frames, logits in by_frames.items():
            yield self.features(frames), logits

    def features(self, frames: int) -> Tensor:
        """Return the input of that length, (1, frames, mels)."""
        mels = self.document.get("input", {}).get("mels", 128)
        return torch.from_numpy(rule.features(frames, mels))


def load_golden(name: str) -> Golden:
    """Read a golden of tests/golden and make its weights."""
    document = golden_document(name)
    source = document["state"] if isinstance(document["state"], str) else name
    state = dict(_state(source))
    document["state"] = golden_document(source)["state"]
    for ending, gain in document.get("gains", {}).items():  # so that deep layers hear the input
        state |= {key: gain * value for key, value in state.items() if key.endswith(ending)}
    if name.endswith("-strong"):
        _strengthen(state)
    if name == "ast-sine":  # not filled: the official code makes it
        state["v.pos_embed"] = sinusoid(*state["v.pos_embed"].shape)
    with np.load(FOLDER / f"{name}.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    return Golden(name, document, state, arrays)


def filled(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Return the weights that the rule gives for keys and shapes."""
    return {key: torch.from_numpy(rule.weights(key, shape)) for key, shape in shapes.items()}


def golden_document(name: str) -> dict[str, Any]:
    """Return what the golden's JSON file says: keys and shapes, cases, parameters."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


@lru_cache(maxsize=1)  # goldens of one network come one after another
def _state(name: str) -> dict[str, Tensor]:
    document = golden_document(name)
    tied = document.get("tied", {})  # alias -> the key whose values it shares
    kept = document.get("kept", ())
    return {
        key: torch.from_numpy(rule.weights(tied.get(key, key), shape))
        for key, shape in document["state"].items()
        if key not in kept
    }


def _strengthen(state: dict[str, Tensor]) -> None:
    """Make the scan matter: with the plain rule its state hardly moves the logits."""
    for key, value in state.items():
        if key.endswith(("x_proj_weight", "dt_projs_weight")):
            state[key] = value * math.sqrt(value.shape[1])
        elif key.endswith("Ds"):
            state[key] = value * 0.1
