"""Audio-MAE, PaSST and EAT in small: a card of a few thousand parameters, and the official files of the large ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import niah
from niah.adapters.network_adapter import NetworkAdapter
from tests.helpers.largest import LargestTensor as LargestTensor

WIDTH, DEPTH, HEADS = 64, 2, 2


def tiny(folder: Path, adapter: str, **config: float) -> NetworkAdapter:
    """Random weights of a card of one's own; `adapter` is `module:Class` under niah.adapters."""
    settings = {"width": WIDTH, "depth": DEPTH, "heads": HEADS, **config}
    path = folder / "tiny.toml"
    lines = [
        f'name = "tiny"\nadapter = "niah.adapters.{adapter}"\nlabels = "audioset-527"\n[config]'
    ]
    path.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items())]))
    made = niah.load_model(path, checkpoint="random", seed=1)
    assert isinstance(made, NetworkAdapter)
    return made


def official(model: str, folder: Path, content: Mapping[str, Any]) -> NetworkAdapter:
    """`model` with a file that holds `content`; the file, hundreds of megabytes, is gone afterwards."""
    file = folder / "official.pth"
    torch.save(content, file)
    try:
        adapter = niah.load_model(model, checkpoint=file)
    finally:
        file.unlink()
    assert isinstance(adapter, NetworkAdapter)
    return adapter


def random_features(frames: int, batch: int = 1, mels: int = 128, seed: int = 0) -> Tensor:
    return torch.randn(batch, frames, mels, generator=torch.Generator().manual_seed(seed))
