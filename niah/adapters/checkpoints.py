"""Checkpoint files: read a state dict safely, take off wrappers, and load it strictly.

Formats: `.safetensors`, and the `.pth` / `.pt` / `.ckpt` / `.bin` pickles that authors release. Pickles load with
`weights_only=True` and nothing else, so a file with code in it is refused. An `argparse.Namespace`, which trainers of
the MAE family put beside their weights, is named to it as harmless: it holds values and does nothing.
"""

import argparse
import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.system.download import how_to_fetch_again

State = dict[str, Tensor]

_CONTAINERS = ("state_dict", "model", "net", "model_state_dict")
_WRAPPERS = ("module.", "sed_model.")
_SHOWN = 5


def read_state(path: Path) -> State:
    """The tensors of a checkpoint file, wrappers (`module.`, `sed_model.`, `{"model": ..}`) taken off."""
    if not path.is_file():
        raise NiahError(f"checkpoint {path} not found")
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for container in _CONTAINERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(container), Mapping):
            loaded = loaded[container]
    if (
        not isinstance(loaded, Mapping)
        or not all(isinstance(v, Tensor) for v in loaded.values())
        or not loaded
    ):
        raise NiahError(
            f"checkpoint {path} holds no state dict (a mapping from names to tensors){how_to_fetch_again(path)}"
        )
    state = {str(key): value for key, value in loaded.items()}
    for wrapper in (*_WRAPPERS, *_WRAPPERS):  # twice: they nest in either order
        state = strip_prefix(state, wrapper)
    return state


def strip_prefix(state: Mapping[str, Tensor], prefix: str) -> State:
    """Without `prefix`, if every key has it."""
    if all(key.startswith(prefix) for key in state):
        return {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy `state` into `network`; any missing, extra or reshaped key is refused, by name."""
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    problems = []
    if missing := [key for key in wanted if key not in found]:
        problems.append(f"{len(missing)} missing ({_some(missing)})")
    if extra := [key for key in found if key not in wanted]:
        problems.append(f"{len(extra)} not known ({_some(extra)})")
    reshaped = [
        f"{key} is {found[key]}, not {shape}"
        for key, shape in wanted.items()
        if found.get(key, shape) != shape
    ]
    if reshaped:
        problems.append(f"{len(reshaped)} of another shape ({_some(reshaped)})")
    if problems:
        raise NiahError(f"checkpoint {source} does not fit this model: " + "; ".join(problems))
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NiahError(f"checkpoint {source}: {key} holds NaN or infinity")
    network.load_state_dict(dict(state))


def state_sha256(network: nn.Module) -> str:
    """Hash of the weights themselves, for models without a file (random weights)."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", .." if len(names) > _SHOWN else "")


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise NiahError(
            f"checkpoint {path} is not a readable safetensors file: {error}{how_to_fetch_again(path)}"
        ) from None


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise NiahError(
            f"checkpoint {path} is refused: it holds something else than tensors ({reason}). Where you trust the file, "
            "take its state dict out once (torch.load(FILE, weights_only=False), then ['model'] or ['state_dict']) and "
            f"save that alone with torch.save, or as .safetensors{how_to_fetch_again(path)}"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise NiahError(
            f"checkpoint {path} is not a readable torch file: {reason}{how_to_fetch_again(path)}"
        ) from None
