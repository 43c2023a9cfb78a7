"""The models of a run, each resolved once: what the user typed, the name of its rows, where it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from niah.adapters.model_source import ModelRequest, ModelSource
from niah.adapters.sources import find_source
from niah.cards import RANDOM, ModelCard, known_models
from niah.errors import NiahError
from niah.vocabularies import Vocabulary


@dataclass(frozen=True)
class ModelSpec:
    """One model of a run.

    `name` is the card's, with `:WEIGHTS` unless they are its first: rows, tables and run.json use it. Random weights
    are a name of their own, for a run may hold the same model with trained ones.
    """

    spec: str  # as typed: a name, NAME:WEIGHTS, a path, or the name of a Python object
    name: str
    source: ModelSource

    @property
    def card(self) -> ModelCard:
        return self.source.card

    @property
    def weights(self) -> str:
        """A key of `card.weights`; "" if the card has none."""
        return self.source.weights

    @property
    def labels(self) -> Vocabulary:
        """The classes that it scores."""
        return self.source.labels


def resolve_models(
    specs: Sequence[str],
    checkpoint: str | None = None,
    *,
    request: ModelRequest | None = None,
    objects: Mapping[str, Any] | None = None,
) -> tuple[ModelSpec, ...]:
    """Resolve specs to models, in order; the package's cards are read once.

    Args:
        specs: as typed, or names of `objects`.
        checkpoint: a file, "random", or None for each model's own weights.
        request: what the run says of models without a card.
        objects: Python objects by name.

    Raises:
        NiahError: an unknown model, or one that is given twice.
    """
    cards = known_models()
    objects = objects or {}
    models: dict[str, ModelSpec] = {}
    for spec in specs:
        source = find_source(objects.get(spec, spec), request, cards)
        model = ModelSpec(spec, _name(source, checkpoint), source)
        if model.name in models:
            raise NiahError(f"model '{model.name}' was given twice")
        models[model.name] = model
    return tuple(models.values())


def common_labels(models: Sequence[ModelSpec]) -> Vocabulary:
    """Return the classes that all models score; label files in two folders may be the same.

    Raises:
        NiahError: models of different classes, or none.
    """
    if len({model.labels.ids for model in models}) != 1:
        names = ", ".join(f"{model.name} ({model.labels.name})" for model in models)
        raise NiahError(
            f"models with different label sets cannot share a run: {names or '(none)'}. Run them one by one"
        )
    return models[0].labels


def _name(source: ModelSource, checkpoint: str | None) -> str:
    card = source.card
    if checkpoint == RANDOM or source.random:
        return f"{card.name}:{RANDOM}"
    first = next(iter(card.weights), "")
    return f"{card.name}:{source.weights}" if source.weights not in ("", first) else card.name
