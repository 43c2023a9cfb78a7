"""From what a user calls a model to its card, its labels and the way to make it.

A spec is a card's name (`NAME`, `NAME:WEIGHTS`), the path of a card, a text that one of `SOURCES` takes, or (from
Python) an object. A source beside these is one entry in `SOURCES` and one function. No torch until a model is made.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from niah.adapters.model_source import ModelRequest, ModelSource
from niah.cards import ModelCard, find_model
from niah.errors import NiahError
from niah.vocabularies import vocabulary

Factory = Callable[[str, ModelRequest], ModelSource]

HUB = "hf:"
_PYTHON_FILE = re.compile(r".+\.py:[^\W\d]\w*")

SOURCES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda spec: bool(_PYTHON_FILE.fullmatch(spec)), "niah.adapters.python_models:source_of_file"),
    (lambda spec: spec.startswith(HUB), "niah.adapters.hugging_face:source_of_repository"),
    (lambda spec: _is_model_folder(spec), "niah.adapters.hugging_face:source_of_folder"),
)
"""(whether it takes a spec, import string of its `Factory`), tried in this order before the cards."""


def find_source(
    spec: object,
    request: ModelRequest | None = None,
    known: Mapping[str, ModelCard] | None = None,
) -> ModelSource:
    """Find the model of a spec.

    Args:
        spec: text or a path, or an object: an adapter, a waveform model or a function of waveforms.
        request: what the run says of models without a card.
        known: cards that are read already (`niah.cards.known_models`).

    Raises:
        NiahError: no such model, or an object that is none.
    """
    request = request or ModelRequest()
    if not isinstance(spec, str | Path):
        from niah.adapters.python_models import source_of

        return source_of(spec, request)
    for takes, factory in SOURCES:
        if takes(str(spec)):
            module, _, name = factory.partition(":")
            return cast(Factory, getattr(importlib.import_module(module), name))(str(spec), request)
    if reason := _not_a_card(str(spec)):
        raise NiahError(f"model '{spec}': {reason}")
    card, weights = find_model(spec, known)
    return ModelSource(card, weights, vocabulary(card.labels_source))


def may_have_card(spec: str) -> bool:
    """Return whether a spec is a card's, or of no other kind that is known."""
    return not any(takes(spec) for takes, _ in SOURCES)


def may_be_own_network(spec: str) -> bool:
    """Return whether a spec is a card's with a `NetworkAdapter`, or an adapter's in a Python file.

    No other is a network of this package.

    Raises:
        NiahError: an unknown model, or a Python file that is not there or has no such name.
    """
    if _PYTHON_FILE.fullmatch(spec):
        from niah.adapters.python_models import is_adapter_in_file

        return is_adapter_in_file(spec)
    if not may_have_card(spec):
        return False
    from niah.adapters.importing import import_adapter
    from niah.adapters.network_adapter import NetworkAdapter

    adapter = import_adapter(find_source(spec).card)
    return isinstance(adapter, type) and issubclass(adapter, NetworkAdapter)


def _not_a_card(spec: str) -> str:
    """Return what a spec should be that is near one of another kind; "" for what may be a card."""
    if spec.startswith(("http://", "https://")):
        return "an address is none; a model of the Hugging Face hub is hf:OWNER/NAME"
    file, ending, after = spec.rpartition(".py")
    if file and ending and not after:
        return f"say which object of the file it is, {spec}:NAME"
    if file and after.startswith(":"):
        return f"after {file}.py: stands the name of one object of the file, not '{after[1:]}'"
    return ""


def _is_model_folder(spec: str) -> bool:
    """Return whether a spec is a folder of `save_pretrained`; a plain name is one if it has a configuration."""
    folder = Path(spec).expanduser()
    return folder.is_dir() and ("/" in spec or (folder / "config.json").is_file())
