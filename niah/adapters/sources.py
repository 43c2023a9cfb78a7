"""From what a user calls a model to its card, its labels and the way to make it.

A spec is a card's name (`NAME`, `NAME:WEIGHTS`), the path of a card, a text that one of `SOURCES` takes, or (from
Python) an object. A source beside these is one entry in `SOURCES` and one function. No torch until a model is made.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from niah.cards import ModelCard, find_model
from niah.vocabularies import Vocabulary, vocabulary

if TYPE_CHECKING:
    import torch

OWN_LABELS = "model"


@dataclass(frozen=True)
class ModelRequest:
    """Options of a run for models without a card."""

    labels: str = (
        ""  # a vocabulary's name or file; "model": the model's own; "": the source's default
    )
    sample_rate: int | None = None  # in Hz, of functions of waveforms


@dataclass(frozen=True)
class ModelSource:
    """A model that was found, not loaded yet.

    Attributes:
        card: as read, or made up for a model without one; its name is the name of the rows.
        weights: a key of `card.weights`; "" if the card has none.
        labels: the classes of the logits, in their order.
        make: makes the adapter or waveform model, weights and all; None: `card.adapter` is imported.
        code_sha256: of the user's code, for cell keys; "" where the card's import string tells.
        revision: of a repository, for run.json.
        random: an object's weights are random: no accuracy is reported.
    """

    card: ModelCard
    weights: str
    labels: Vocabulary
    make: "Callable[[torch.device, torch.dtype], Any] | None" = None
    code_sha256: str = ""
    revision: str = ""
    random: bool = False


Factory = Callable[[str, ModelRequest], ModelSource]

_PYTHON_FILE = re.compile(r".+\.py:[A-Za-z_]\w*")

SOURCES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda spec: bool(_PYTHON_FILE.fullmatch(spec)), "niah.adapters.python_models:source_of_file"),
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
    card, weights = find_model(spec, known)
    return ModelSource(card, weights, vocabulary(card.labels_source))
