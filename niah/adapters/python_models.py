"""Models that are Python objects: an adapter, a waveform model, or a plain function of waveforms.

`niah.run(models=[tagger])` takes the object itself, `niah run --model tagger.py:tagger` the name of one in a file.
"""

import functools
import hashlib
import inspect
import numbers
import os
from pathlib import Path
from typing import Any

import torch

from niah.adapters.identity import identity_of
from niah.adapters.importing import import_adapter, is_factory
from niah.adapters.in_use import in_training_mode, is_training
from niah.adapters.loaded_weights import count_changes
from niah.adapters.model_source import ModelRequest, ModelSource
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.prompt_code import source_file
from niah.adapters.protocol import network_of
from niah.adapters.waveform import FunctionModel
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.vocabularies import NAMES, Vocabulary, vocabulary


def name_of(model: object) -> str:
    """Return the name of an object's rows in one line: its `name`, its `__name__`, else that of its class."""
    plain = model.func if isinstance(model, functools.partial) else model
    for attribute in ("name", "__name__"):
        name = getattr(plain, attribute, None)
        if isinstance(name, str) and (name := " ".join(name.split())):
            return "lambda" if name == "<lambda>" else name
    return type(plain).__name__


def source_of(model: object, request: ModelRequest, name: str | None = None) -> ModelSource:
    """Describe a Python object as a model.

    Args:
        model: an adapter (`logits`), a waveform model (`waveform_logits`) or a function of waveforms.
        request: the labels and the rate of a function.
        name: of its rows; None: its own (`name_of`).

    Raises:
        NiahError: no model, or a function whose labels or rate are not known.
    """
    name = name or name_of(model)
    if isinstance(model, type):
        raise NiahError(f"models: '{name}' is a class: give an object of it, {name}(..)")
    if hasattr(model, "logits") or hasattr(model, "waveform_logits"):
        made: Any = model
    elif callable(model):
        made = _of_function(model, name, request)
    else:
        raise NiahError(
            "models are names, cards, adapters or functions of waveforms, "
            f"not {type(model).__name__} (docs/your-model.md)"
        )
    network = network_of(model) or getattr(model, "__self__", None) or model
    if is_training(network):
        raise NiahError(f"model '{name}' is in training mode: call .eval() on it first")
    if used := in_training_mode(model):
        raise NiahError(
            f"model '{name}': its network '{used}' is in training mode: call .eval() on it first"
        )
    count_changes(made)
    labels = getattr(made, "labels", None)
    if not isinstance(labels, Vocabulary):
        raise NiahError(f"model '{name}': labels must be a niah.vocabularies.Vocabulary")
    return ModelSource(
        _card(made, model, name, labels),
        "",
        labels,
        lambda device, dtype: _placed(made, name, device, dtype),
        code_sha256="" if isinstance(model, NetworkAdapter) else identity_of(model),
        random=bool(getattr(model, "random", False)),
    )


def source_of_file(spec: str, request: ModelRequest) -> ModelSource:
    """Find `FILE.py:NAME`: an object, a function of waveforms, or a class made as a card's is.

    Raises:
        NiahError: no such file or name, or what `source_of` refuses.
    """
    card = _card_of_file(spec, request.labels)
    target = import_adapter(card)
    if not is_factory(target):
        return source_of(target, request, card.name)
    if not card.labels:
        raise NiahError(f"model {spec} is a class: say its classes with --labels NAME or FILE")
    return ModelSource(card, "", vocabulary(card.labels_source))


def is_adapter_in_file(spec: str) -> bool:
    """Return whether `FILE.py:NAME` is an object that is an adapter already, neither a function nor a class.

    Raises:
        NiahError: no such file or name.
    """
    target = import_adapter(_card_of_file(spec))
    return not isinstance(target, type) and hasattr(target, "logits")


def _card_of_file(spec: str, labels: str = "") -> ModelCard:
    text, _, name = spec.rpartition(":")
    file = Path(text).expanduser()
    if not file.is_file():
        raise NiahError(f"model {spec}: {text} not found")
    if Path(labels).is_file():
        labels = os.path.relpath(labels, file.parent)  # as on a card beside it
    return ModelCard(name, f"{file.stem}:{name}", labels, path=file)


def _module(defining: Any) -> str:
    """The module's name; of a script that is being run, the name that importing it would give."""
    name: str = getattr(defining, "__module__", "") or ""
    file = source_file(defining)
    return file.stem if name == "__main__" and file else name


def _of_function(function: Any, name: str, request: ModelRequest) -> FunctionModel:
    rate = getattr(function, "sample_rate", None) or request.sample_rate
    labels = getattr(function, "labels", None) or request.labels
    if not rate or not labels:
        missing = "sample_rate=16000" if labels else 'labels="audioset-527"'
        raise NiahError(
            f"model '{name}' is a function of waveforms: say its {'rate' if labels else 'classes'}, "
            f"{missing} (--sample-rate, --labels)"
        )
    if isinstance(labels, str | Path):
        labels = vocabulary(Path(labels) if Path(labels).is_file() else str(labels))
    if not isinstance(labels, Vocabulary):
        raise NiahError(
            f"model '{name}': labels must be a Vocabulary, its name or a file of labels, not {type(labels).__name__}"
        )
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not float(rate).is_integer():
        raise NiahError(f"model '{name}': sample_rate must be whole Hz, as 16000, not {rate!r:.40}")
    longest, fixed = (getattr(function, name, None) for name in ("max_seconds", "fixed_seconds"))
    return FunctionModel(function, name, int(float(rate)), labels, longest, fixed)


def _card(made: Any, model: object, name: str, labels: Vocabulary) -> ModelCard:
    """An adapter of a card keeps it, so that its cells are those of the card's name."""
    card = getattr(made, "card", None)
    if isinstance(card, ModelCard) and isinstance(made, NetworkAdapter):
        return card
    plain = model.func if isinstance(model, functools.partial) else model
    owner = plain if inspect.isroutine(plain) else type(plain)
    adapter = f"{_module(owner)}:{getattr(owner, '__qualname__', '')}"
    config: dict[str, Any] = {
        limit: value
        for limit in ("sample_rate", "max_seconds", "fixed_seconds")
        if (value := getattr(made, limit, None)) is not None
    }
    if labels.name not in NAMES:
        config["labels_sha256"] = hashlib.sha256("\n".join(labels.ids).encode()).hexdigest()
    parameters = int(getattr(made, "parameters", 0))
    return ModelCard(name, adapter, labels.name, parameters=parameters, config=config)


def _placed(made: Any, name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the object, if it computes where and how the run's rows say."""
    own_device, own_dtype = getattr(made, "device", None), getattr(made, "dtype", None)
    if isinstance(own_device, torch.device) and own_device.type != device.type:
        raise NiahError(
            f"model '{name}' is on {own_device} and the run on {device}: give device='{own_device}'"
        )
    if isinstance(own_dtype, torch.dtype) and own_dtype != dtype:
        wanted = str(own_dtype).removeprefix("torch.")
        raise NiahError(f"model '{name}' computes in {wanted}: give dtype='{wanted}'")
    return made
