"""The official code's vectors in the shared folder: weights by rule, inputs by rule, logits stored."""

import importlib.util
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Golden:
    """One model of the shared folder; `state` in the authors' key layout, without the keys that their code keeps."""

    name: str
    document: dict[str, Any]
    state: dict[str, Tensor]
    logits: dict[int, NDArray[np.float32]]  # by frames
    fill: ModuleType

    def cases(self) -> Iterator[tuple[Tensor, NDArray[np.float32]]]:
        mels = self.document.get("input", {}).get("mels", 128)
        for frames, logits in self.logits.items():
            yield torch.from_numpy(self.fill.make_input(frames, mels)), logits


def load_golden(shared: Path, name: str) -> Golden:
    fill = _fill(shared)
    document = json.loads((shared / "golden" / f"{name}.json").read_text())
    arrays = np.load(shared / "golden" / f"{name}.npz")
    tied = document.get("tied", {})  # alias -> the key whose values it shares
    state = {
        key: torch.from_numpy(np.array(fill.fill_value(tied.get(key, key), shape)))
        for key, shape in document["state"].items()
        if key not in document.get("kept", ())
    }
    if name.endswith("-strong"):
        _strengthen(state)
    logits = {case["frames"]: arrays[case["npz_key"]] for case in document["cases"]}
    return Golden(name, document, state, logits, fill)


def _strengthen(state: dict[str, Tensor]) -> None:
    """So that the scan matters (golden/README)."""
    for key, value in state.items():
        if key.endswith(("x_proj_weight", "dt_projs_weight")):
            state[key] = value * math.sqrt(value.shape[1])
        elif key.endswith("Ds"):
            state[key] = value * 0.1


def _fill(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("niah_golden_fill", shared / "golden" / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
