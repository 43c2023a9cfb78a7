"""Checkpoint files: read a state dict safely, strip wrappers, and load it strictly.

Formats: `.safetensors`, the `.pth` / `.pt` / `.ckpt` / `.bin` pickles that authors release, and the variables of a
TensorFlow model (`niah.adapters.tensor_bundle`). The first bytes of a file decide, not its suffix; TensorFlow's data
have none, and an index beside them. Pickles are read without what is code in them (`niah.adapters.pickles`).

A file may have several sets of weights, the trained one and its moving average (`model` and `model_ema`, `net.` and
`net_swa.`). The trained one is read, as the authors' loaders do; `FILE:SET` names another.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from niah.adapters.hub_folder import weights_file
from niah.adapters.other_formats import other_format
from niah.adapters.pickles import read_pickle
from niah.adapters.tensor_bundle import is_bundle, read_bundle
from niah.errors import NiahError, nearest
from niah.system.download import how_to_fetch_again, why_no_binary

State = dict[str, Tensor]

_CONTAINERS = (  # the first one present has the trained weights
    *("state_dict", "model", "net", "model_state_dict"),
    *("state_dict_ema", "model_ema", "ema"),
)
_AVERAGED = ("net_swa", "net_ema")  # beside `net.`: PaSST's trainer
_WRAPPERS = ("module.", "sed_model.", "_orig_mod.", "_forward_module.", "model.", "net.")
_SHOWN = 5


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file; `note` names the set of weights where the file has several, else ""."""

    state: State
    note: str = ""


def read_state(path: Path) -> State:
    """Return the tensors of a checkpoint file (`read_checkpoint`)."""
    return read_checkpoint(path).state


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the tensors of a checkpoint and strip wrappers (`module.`, `_orig_mod.`, `{"model": ..}`).

    Args:
        path: of the file or of a folder with one (`save_pretrained`), or `FILE:SET` for one of several sets in it.

    Returns:
        The state dict, and which set of weights it is.

    Raises:
        NiahError: no such file, no checkpoint, one with code in it, or no such set.
    """
    file, wanted = file_and_set(path)
    if not file.is_file():
        raise NiahError(f"checkpoint {file} not found")
    loaded, sets = _unpacked(_read(file), wanted, file)
    if (
        not isinstance(loaded, Mapping)
        or not all(isinstance(v, Tensor) for v in loaded.values())
        or not loaded
    ):
        raise NiahError(
            f"checkpoint {file} holds no state dict (a mapping from names to tensors){how_to_fetch_again(file)}"
        )
    state = {str(key): value for key, value in loaded.items()}
    prefixes = {key.partition(".")[0] for key in state}
    if "net" in prefixes and (averaged := prefixes.intersection(_AVERAGED)):
        sets = {"net", *averaged}
        chosen = wanted if wanted in sets else "net"
        state = {key: value for key, value in state.items() if key.startswith(f"{chosen}.")}
        state = strip_prefix(state, f"{chosen}.")
    if wanted and wanted not in sets:
        raise NiahError(
            f"checkpoint {file} has no weights '{wanted}'.{nearest(wanted, sets)}"
            + (f" It has {', '.join(sorted(sets))}" if sets else "")
        )
    others = sorted(sets - {wanted or _first(sets)})
    note = f"{wanted or _first(sets)}, not {', '.join(others)}" if others else ""
    return Checkpoint(_unwrapped(state), note)


def file_and_set(path: Path) -> tuple[Path, str]:
    """Split `FILE:SET`, or `FOLDER:SET` for the weights in a folder; the set is "" where none is named.

    Raises:
        NiahError: a folder without weights.
    """
    name, colon, wanted = path.name.rpartition(":")
    if colon and name and not path.exists():
        path = path.with_name(name)
    else:
        wanted = ""
    return (weights_file(path) if path.is_dir() else path), wanted


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors do: the length of a JSON header, then the header.

    A pickle or an archive may have a bracket there too, but then its first bytes are no length that the file has.
    """
    with path.open("rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length + 8 <= path.stat().st_size


TRAINING = "training"  # key of the metadata that `niah train` writes into its weights
FLOAT_TYPES = ("F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16")


def is_trained_here(path: Path) -> bool:
    """Return whether `niah train` wrote a file of weights, whose outputs are in the order of its card's labels."""
    return is_safetensors(path) and TRAINING in _safetensors_header(path).get("__metadata__", {})


def _safetensors_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return header


def stored_types(path: Path) -> dict[str, str]:
    """Return the type of each tensor of a file of weights, as the file calls it; {} for one that is no state dict."""
    if is_safetensors(path):
        header = _safetensors_header(path)
        return {name: str(each["dtype"]) for name, each in header.items() if name != "__metadata__"}
    try:
        state = torch.load(path, map_location="meta", weights_only=True)
    except Exception:  # who loads it says why
        return {}
    if not isinstance(state, Mapping):
        return {}
    tensors = {str(name): each for name, each in state.items() if isinstance(each, torch.Tensor)}
    return {name: str(each.dtype).removeprefix("torch.") for name, each in tensors.items()}


def _unpacked(loaded: Any, wanted: str, file: Path) -> tuple[Any, set[str]]:
    """Descend into the containers; also return the names of the sets where one level has several."""
    sets: set[str] = set()
    while isinstance(loaded, Mapping):
        here = [name for name in _CONTAINERS if isinstance(loaded.get(name), Mapping)]
        here = here or _other_sets(loaded, wanted, file)
        if not here:
            break
        sets |= set(here) if len(here) > 1 or wanted in here else set()
        loaded = loaded[wanted if wanted in here else here[0]]
    return loaded, sets


def _other_sets(loaded: Mapping[Any, Any], wanted: str, file: Path) -> list[str]:
    """Return the name under which a container of another name has weights, or all names with the wanted one.

    Raises:
        NiahError: several, and none is wanted.
    """
    names = [name for name, value in loaded.items() if isinstance(name, str) and _is_state(value)]
    if len(names) > 1 and wanted not in names:
        listed = ", ".join(sorted(names)[:_SHOWN])
        raise NiahError(
            f"checkpoint {file} has several sets of weights ({listed}): name one, as in {file.name}:{names[0]}"
        )
    return names


def _is_state(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(each, Tensor) for each in value.values())


def _first(sets: set[str]) -> str:
    return next((name for name in _CONTAINERS if name in sets), "")


def _unwrapped(state: State) -> State:
    """Strip every prefix that all keys share, however they nest."""
    while True:
        wrapper = next((w for w in _WRAPPERS if all(key.startswith(w) for key in state)), None)
        if wrapper is None:
            return state
        state = strip_prefix(state, wrapper)


def strip_prefix(state: Mapping[str, Tensor], prefix: str) -> State:
    """Strip a prefix that all keys share.

    Args:
        state: tensors by key.
        prefix: to strip.

    Returns:
        The state; unchanged if a key does not start with `prefix`.
    """
    if all(key.startswith(prefix) for key in state):
        return {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy a state dict into a network.

    Args:
        network: is changed in place.
        state: one tensor for each of its parameters and buffers.
        source: the file's name, for errors.

    Raises:
        NiahError: a key is missing, extra, of another shape or type, or not finite.
    """
    check_fit(network, state, source)
    state = _fitting(network.state_dict(), state, source)
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NiahError(f"checkpoint {source}: {key} holds NaN or infinity")
    network.load_state_dict(dict(state))


def _fitting(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> State:
    """Return what lies under the one prefix that all names of the network have in a state, else the state.

    Trainers keep a network as a part of theirs, beside a loss with weights or running metrics.

    Raises:
        NiahError: they are there under several prefixes.
    """
    first = next(iter(own), "")
    ends = [key.removesuffix(first) for key in state if key.endswith(f".{first}")]
    prefixes = [prefix for prefix in ends if all(prefix + key in state for key in own)]
    if not first or own.keys() <= state.keys() or not prefixes:
        return dict(state)
    if len(prefixes) > 1:
        listed = ", ".join(sorted(prefixes)[:_SHOWN])
        raise NiahError(
            f"checkpoint {source} has this model's weights several times ({listed}): save one of them"
        )
    return {key: state[prefixes[0] + key] for key in own}


def check_fit(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Check the names, shapes and types of a state dict against a network, which may be on the meta device.

    Args:
        network: the network.
        state: one tensor for each of its parameters and buffers.
        source: the file's name, for errors.

    Raises:
        NiahError: a key is missing, extra, or of another shape or type.
    """
    own = network.state_dict()
    state = _fitting(own, state, source)
    expected = {key: tuple(value.shape) for key, value in own.items()}
    shapes = {  # a nested tensor has none
        key: () if value.is_nested else tuple(value.shape) for key, value in state.items()
    }
    problems = []
    if missing := [key for key in expected if key not in shapes]:
        problems.append(f"{len(missing)} missing ({_some(missing)})")
    if extra := [key for key in shapes if key not in expected]:
        problems.append(f"{len(extra)} not known ({_some(extra)})")
    reshaped = [
        f"{key} is {shapes[key]}, not {shape}"
        for key, shape in expected.items()
        if shapes.get(key, shape) != shape
    ]
    if reshaped:
        problems.append(f"{len(reshaped)} of another shape ({_some(reshaped)})")
    kinds = [
        f"{key} is {kind}"
        for key, value in state.items()
        if key in own and (kind := _wrong_type(value, own[key]))
    ]
    if kinds:
        problems.append(f"{len(kinds)} of another kind ({_some(kinds)})")
    if problems:
        raise NiahError(f"checkpoint {source} does not fit this model: " + "; ".join(problems))


def state_sha256(network: nn.Module) -> str:
    """Return a hash of the weights themselves, for models without a file (random weights)."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(_content(value))
    return digest.hexdigest()


def _content(value: Any) -> bytes:
    """Return the bytes of a tensor, or of what a quantised network keeps in a tensor's place."""
    if isinstance(value, Tensor):
        plain = value.detach().dequantize() if value.is_quantized else value.detach().to_dense()
        content: bytes = plain.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return content  # by their bytes: numpy has no bfloat16
    if isinstance(value, tuple | list):
        return b"".join(map(_content, value))
    return repr(value).encode()


def _wrong_type(value: Tensor, own: Tensor) -> str:
    """Return the type of a tensor that cannot be a weight of a floating-point network; "" where it can."""
    if value.is_nested:
        return "nested"
    if value.layout != torch.strided or value.is_meta:
        return "meta" if value.is_meta else str(value.layout).removeprefix("torch.")
    if own.is_floating_point() and not value.is_floating_point():
        return str(value.dtype).removeprefix("torch.")
    return ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", .." if len(names) > _SHOWN else "")


def _read(path: Path) -> Any:
    """Read a file in the format that its first bytes show."""
    if reason := why_no_binary(path):
        raise NiahError(f"checkpoint {path} holds no weights: {reason}{how_to_fetch_again(path)}")
    if is_bundle(path):
        return read_bundle(path)
    if is_safetensors(path):  # its first bytes are a length, which may be those of any other format
        return _read_safetensors(path)
    if kind := other_format(path):
        raise NiahError(f"checkpoint {path} {kind}{how_to_fetch_again(path)}")
    return read_pickle(path)


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise NiahError(
            f"checkpoint {path} is not a readable safetensors file: {error}{how_to_fetch_again(path)}"
        ) from None
