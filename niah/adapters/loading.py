"""Loading: from a card, or another description of a model, to a ready adapter."""

from pathlib import Path
from typing import Any

import torch

from niah.adapters.contract import part_problems, takes_waveforms
from niah.adapters.importing import import_adapter, make
from niah.adapters.loaded_weights import remember_loaded
from niah.adapters.model_source import ModelSource
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter, AdapterInfo
from niah.adapters.sources import find_source
from niah.adapters.waveform import WaveformAdapter
from niah.adapters.weights import resolve
from niah.cards import RANDOM, ModelCard
from niah.errors import NiahError
from niah.system.devices import check_device_name, check_dtype_name
from niah.system.download import sha256_of
from niah.system.shortage import is_shortage
from niah.system.torch_settings import fresh_settings
from niah.vocabularies import Vocabulary, vocabulary


def load_model(
    model: str | Path,
    checkpoint: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    seed: int = 0,
) -> Adapter:
    """Load a model: build its adapter and fill in its weights.

    Args:
        model: a card's name, `NAME:WEIGHTS`, the path of a card (`mine.toml`), or another of `niah.adapters.sources`.
        checkpoint: None for the card's own weights (embedded, cached, or fetched), `"random"` for seeded random ones
            (efficiency only), else a file in the authors' or this project's layout.
        device: `auto`, `cpu`, `cuda` or `cuda:N`, or torch's.
        dtype: `float32`, `bfloat16` or `float16`, or torch's.
        seed: of random weights.

    Returns:
        The adapter, in evaluation mode (`niah.adapters.Adapter`). Cells of one whose network a script changes
        afterwards are those of other weights.

    Raises:
        NiahError: unknown model, weights that do not fit or cannot be had, no such device.
    """
    if checkpoint == "":
        raise NiahError("checkpoint is empty: leave it out, or name a file")
    source = find_source(model)
    type_name = str(dtype).removeprefix("torch.")
    with fresh_settings():  # parameters and buffers are made in the default dtype
        adapter = load_source(source, checkpoint, device=str(device), dtype=type_name, seed=seed)
    remember_loaded(adapter)
    return adapter


def load_source(
    source: ModelSource,
    checkpoint: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    bare: bool = False,
) -> Adapter:
    """Load a model that was found (`niah.adapters.sources`), as `load_model` does.

    With `bare`, weights are left out where they can be; the front end and the labels are usable.

    Raises:
        NiahError: weights that do not fit or cannot be had, a checkpoint for a model that has its own, no such device.
    """
    card = source.card
    if source.make is None:
        return load_card(card, source.weights, checkpoint, device=device, dtype=dtype, seed=seed)
    if checkpoint:
        raise NiahError(f"model '{card.name}' comes with its weights: leave --checkpoint out")
    make_it = source.make_bare if bare and source.make_bare is not None else source.make
    made = make_it(choose_device(device), _dtype(dtype))
    return as_adapter(made, source.labels)


def load_card(
    card: ModelCard,
    weights: str,
    checkpoint: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
) -> Adapter:
    """Load `card` as `load_model` does.

    Args:
        card: the model.
        weights: a key of `card.weights`; "" where it has none.
        checkpoint: None, "random" or a file, as in `load_model`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `float32`, `bfloat16` or `float16`.
        seed: of random weights.

    Returns:
        The adapter, in evaluation mode.

    Raises:
        NiahError: weights that do not fit or cannot be had, no such device.
    """
    adapter = make(import_adapter(card), card, device=choose_device(device), dtype=_dtype(dtype))
    if not isinstance(adapter, NetworkAdapter):
        return load_own_adapter(adapter, card, weights, checkpoint)
    try:
        if str(checkpoint) == RANDOM:
            adapter.randomise(seed)
        else:
            adapter.load(Path(checkpoint) if checkpoint else resolve(card, weights))
    except (MemoryError, RuntimeError) as error:  # torch's allocator raises the latter
        if not is_shortage(error):
            raise
        raise NiahError(
            f"model '{card.name}' does not fit into memory: it has {adapter.parameters / 1e6:,.0f} million weights"
        ) from error
    return adapter


def takes_random_weights(source: ModelSource) -> bool:
    """Return whether a model can be made with random weights, for measurements of speed; some come with their own."""
    if source.make is not None:
        return False
    family = import_adapter(source.card)
    if isinstance(family, type) and issubclass(family, NetworkAdapter):
        return True
    return bool(getattr(family, "takes_random", hasattr(family, "load_checkpoint")))


def adapter_info(adapter: Adapter, card: ModelCard | None = None) -> AdapterInfo:
    """Collect the facts about a loaded model that a run records, from the adapter's optional attributes.

    Args:
        adapter: of this package or a user's own.
        card: gives the number of parameters where the adapter does not.

    Returns:
        The facts, with defaults for attributes that the adapter lacks.
    """
    optional: dict[str, Any] = {
        "weights_sha256": "",
        "weights_source": "",
        "random": False,
        "parameters": 0 if card is None else card.parameters,
        "fixed_seconds": None,
    }
    stated = {name: getattr(adapter, name, default) for name, default in optional.items()}
    return AdapterInfo(
        weights_sha256=str(stated["weights_sha256"]),
        weights_source=str(stated["weights_source"]),
        random=bool(stated["random"]),
        parameters=int(stated["parameters"]),
        kernel=adapter.kernel,
        fixed_seconds=stated["fixed_seconds"],
    )


def make_adapter(card: ModelCard, *, device: str = "cpu", dtype: str = "float32") -> Any:
    """Make a card's adapter without weights and check its parts; its front end and labels are usable.

    Args:
        card: the model.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `float32`, `bfloat16` or `float16`.

    Returns:
        An instance of the class that the card names.

    Raises:
        NiahError: an adapter that cannot be imported or made, no such device or dtype.
    """
    made = make(import_adapter(card), card, device=choose_device(device), dtype=_dtype(dtype))
    return WaveformAdapter(made) if takes_waveforms(made) else made


def as_adapter(made: Any, labels: Vocabulary) -> Adapter:
    """Check the parts of a user's adapter or waveform model, and wrap the latter.

    Raises:
        NiahError: it is none; everything that it lacks is named.
    """
    if problems := list(part_problems(made, labels)):
        kind = "waveform model" if takes_waveforms(made) else "adapter"
        raise NiahError(f"{type(made).__name__} is no {kind}: {'; '.join(problems)}")
    adapter: Adapter = WaveformAdapter(made) if takes_waveforms(made) else made
    return adapter


def choose_device(device: str) -> torch.device:
    """Return the torch device of a name; `auto` is the first CUDA device where there is one, else the CPU.

    Raises:
        NiahError: the name is unknown, or the device is not on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_device_name(device)
    chosen = torch.device(device)
    if chosen.type == "cuda" and (
        not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()
    ):
        raise NiahError(
            f"device '{device}' is not on this machine: {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    return chosen


def load_own_adapter(
    adapter: Any, card: ModelCard, weights: str, checkpoint: str | Path | None
) -> Adapter:
    """Check a user's adapter and load its weights (`load_own_weights`).

    Args:
        adapter: an instance of a user's class.
        card: its card.
        weights: a key of `card.weights`, or "".
        checkpoint: None, "random" or a file.

    Returns:
        The adapter.

    Raises:
        NiahError: it does not meet the protocol (each missing part is named), or takes no checkpoint.
    """
    as_adapter(adapter, vocabulary(card.labels_source))
    load_own_weights(adapter, card, weights, checkpoint)
    return as_adapter(adapter, vocabulary(card.labels_source))  # which knows its weights now


def load_own_weights(
    adapter: Any, card: ModelCard, weights: str, checkpoint: str | Path | None
) -> None:
    """Load a user's adapter through its own `load_checkpoint(path)`.

    The method gets `checkpoint` (a path, or "random"), else the file of the card's weights; an adapter without it
    brings its weights itself. The file's checksum is set on the adapter where the adapter has none.

    Args:
        adapter: an instance of a user's class.
        card: its card.
        weights: a key of `card.weights`, or "".
        checkpoint: None, "random" or a file.

    Raises:
        NiahError: the adapter has no `load_checkpoint`, or has it and no weights are named; a file that does not exist
            or cannot be fetched.
    """
    random = str(checkpoint) == RANDOM
    path = Path(checkpoint) if checkpoint and not random else None
    if path is None and weights and not random:
        path = resolve(card, weights)
    loads = hasattr(adapter, "load_checkpoint")
    if path is None and not random:
        if loads:
            raise NiahError(
                f"model '{card.name}' would score untrained weights: name a file in [weights.NAME] of {card.path}, or "
                "give --checkpoint FILE; a class that brings its weights itself has no method load_checkpoint"
            )
        return
    if not loads:
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
    """Set an attribute for the record, unless the adapter has it or takes no attributes."""
    if not getattr(adapter, name, None) and hasattr(adapter, "__dict__"):
        setattr(adapter, name, value)


def _dtype(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, check_dtype_name(name))
    return dtype
