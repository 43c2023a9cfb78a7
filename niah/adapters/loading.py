"""From a card's import string to an adapter, the package's own or a user's.

`"package.module:Class"` is imported as Python would, with the card's own folder first on the path where the module
lies there: a card and a file beside it are all that a model of one's own needs (docs/your-model.md).
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import torch

from niah.adapters.contract import lacking
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter, AdapterInfo
from niah.adapters.weights import resolve
from niah.cards import RANDOM, ModelCard, find_model
from niah.errors import NiahError
from niah.system.download import sha256_of

OWN_PACKAGE = "niah."


def load_model(
    model: str | Path,
    checkpoint: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
) -> Adapter:
    """A ready adapter.

    Args:
        model: a card's name, `NAME:WEIGHTS`, or the path of a card (`mine.toml`).
        checkpoint: None for the card's own weights (embedded, cached, or fetched), `"random"` for seeded random ones
            (efficiency only), else a file in the authors' or this project's layout.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `float32`, `bfloat16` or `float16`.
        seed: of random weights.

    Raises:
        NiahError: unknown model, weights that do not fit or cannot be had, no such device.
    """
    card, weights = find_model(model)
    return load_card(card, weights, checkpoint, device=device, dtype=dtype, seed=seed)


def load_card(
    card: ModelCard,
    weights: str,
    checkpoint: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
) -> Adapter:
    """Load `card` as `load_model` does; `weights` is a key of `card.weights`, "" where it has none.

    Raises:
        NiahError: weights that do not fit or cannot be had, no such device.
    """
    adapter = unloaded(card, device=device, dtype=dtype)
    if not isinstance(adapter, NetworkAdapter):
        return own_adapter(adapter, card, weights, checkpoint)
    if str(checkpoint) == RANDOM:
        adapter.randomise(seed)
    else:
        adapter.load(Path(checkpoint) if checkpoint else resolve(card, weights))
    return adapter


def adapter_info(adapter: Adapter, card: ModelCard | None = None) -> AdapterInfo:
    """Collect what the record says of a loaded model: the one place that reads an adapter's optional attributes.

    Args:
        adapter: of this package or a user's own.
        card: says the number of parameters where the adapter does not.
    """
    optional: dict[str, Any] = {
        "weights_sha256": "",
        "weights_source": "",
        "random": False,
        "parameters": 0 if card is None else card.parameters,
    }
    stated = {name: getattr(adapter, name, default) for name, default in optional.items()}
    return AdapterInfo(
        weights_sha256=str(stated["weights_sha256"]),
        weights_source=str(stated["weights_source"]),
        random=bool(stated["random"]),
        parameters=int(stated["parameters"]),
        kernel=adapter.kernel,
    )


def unloaded(card: ModelCard, *, device: str = "cpu", dtype: str = "float32") -> Any:
    """Make a card's adapter without weights: its front end and labels are there.

    Raises:
        NiahError: an adapter that cannot be imported, no such device or dtype.
    """
    return import_adapter(card)(card, device=choose_device(device), dtype=_dtype(dtype))


def choose_device(device: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise NiahError(f"unknown device '{device}': use auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda" and (
        not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()
    ):
        raise NiahError(
            f"device '{device}' is not on this machine: {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    return chosen


def import_adapter(card: ModelCard) -> Any:
    """The class that a card's import string names.

    Raises:
        NiahError: the string, the module or the class is wrong, or another module of that name was imported before.
    """
    module_name, _, attribute = card.adapter.partition(":")
    where = f"card {card.path}: adapter '{card.adapter}'"
    if not (module_name and attribute):
        raise NiahError(f"{where} must read 'package.module:Class'")
    beside = _beside(card.folder.resolve(), module_name)
    if beside is not None:
        _put_first(beside)
    try:
        module = importlib.import_module(module_name)
        if beside is not None and not _lies_in(module, beside):
            raise NiahError(
                f"{where}: a module '{module_name}' from elsewhere is loaded already; give yours another name"
            )
        return getattr(module, attribute)
    except ImportError as error:
        raise NiahError(f"{where} cannot be imported: {error}") from None
    except AttributeError:
        raise NiahError(f"card {card.path}: module '{module_name}' has no '{attribute}'") from None
    except SyntaxError as error:
        raise NiahError(f"{where}: {error.filename}, line {error.lineno}: {error.msg}") from None


def code_sha256(card: ModelCard) -> str:
    """Checksum of the file of a user's adapter, for cell keys; "" for this package's own, which have a version."""
    module_name = card.adapter.partition(":")[0]
    file = getattr(sys.modules.get(module_name), "__file__", None)
    if module_name.startswith(OWN_PACKAGE) or file is None:
        return ""
    return sha256_of(Path(file))


def own_adapter(
    adapter: Any, card: ModelCard, weights: str, checkpoint: str | Path | None
) -> Adapter:
    """A user's adapter, its parts looked at and its weights loaded (`load_own_weights`).

    Raises:
        NiahError: the adapter is none (everything that it lacks is named), or takes no checkpoint.
    """
    if problems := list(lacking(adapter, card)):
        raise NiahError(f"{type(adapter).__name__} is no adapter: {'; '.join(problems)}")
    load_own_weights(adapter, card, weights, checkpoint)
    found: Adapter = adapter
    return found


def load_own_weights(
    adapter: Any, card: ModelCard, weights: str, checkpoint: str | Path | None
) -> None:
    """A user's adapter loads as it likes, through `load_checkpoint(path)` if it has that.

    It is given `checkpoint` (a path, or "random"), else the file of the card's own weights, else not called. The file's
    checksum is noted on the adapter where that has none.
    """
    random = str(checkpoint) == RANDOM
    path = Path(checkpoint) if checkpoint and not random else None
    if path is None and weights and not random:
        path = resolve(card, weights)
    if path is None and not random:
        return
    if not hasattr(adapter, "load_checkpoint"):
        raise NiahError(
            f"{type(adapter).__name__} takes no checkpoint: give it a method load_checkpoint(path), or leave out "
            "--checkpoint and [weights]"
        )
    if path is not None and not path.is_file():
        raise NiahError(f"checkpoint {path} not found")
    adapter.load_checkpoint(RANDOM if path is None else path)
    _note(adapter, "random", random)
    if path is not None:
        _note(adapter, "weights_sha256", sha256_of(path))
        _note(adapter, "weights_source", str(path))


def _note(adapter: Any, name: str, value: object) -> None:
    """Set what the record wants to know, unless the adapter says it itself or takes no attributes."""
    if not getattr(adapter, name, None) and hasattr(adapter, "__dict__"):
        setattr(adapter, name, value)


def _beside(folder: Path, module_name: str) -> Path | None:
    """The card's folder, if the module lies in it."""
    top = module_name.partition(".")[0]
    there = (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()
    return folder if there else None


def _put_first(folder: Path) -> None:
    """On the path for good: an adapter may import its neighbours when it is first run."""
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)


def _dtype(name: str) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise NiahError(f"unknown dtype '{name}': use {', '.join(known)}")
    return known[name]
