"""The models of a run, each resolved once: what the user typed, the name of its rows, its card, its weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.cards import RANDOM, ModelCard, find_model, known_models
from niah.errors import NiahError
from niah.vocabularies import Vocabulary, vocabulary


@dataclass(frozen=True)
class ModelSpec:
    """One model of a run.

    `name` is the card's, with `:WEIGHTS` unless they are its first: rows, tables and run.json use it. Random weights
    are a name of their own, for a run may hold the same model with trained ones.
    """

    spec: str  # as typed: a name, NAME:WEIGHTS or the path of a card
    name: str
    card: ModelCard
    weights: str  # a key of `card.weights`; "" if the card has none


def resolve_models(specs: Sequence[str], checkpoint: str | None = None) -> tuple[ModelSpec, ...]:
    """Resolve names and card files to models, in order; the package's cards are read once.

    Args:
        specs: names or card files.
        checkpoint: weights for all of them; None for the cards' own.

    Raises:
        NiahError: an unknown model, or one that is given twice.
    """
    cards = known_models()
    models: dict[str, ModelSpec] = {}
    for spec in specs:
        model = _resolve(spec, checkpoint, *find_model(spec, cards))
        if model.name in models:
            raise NiahError(f"model '{model.name}' was given twice")
        models[model.name] = model
    return tuple(models.values())


def common_labels(models: Sequence[ModelSpec]) -> Vocabulary:
    """Return the classes that all models score; label files in two folders may be the same.

    Raises:
        NiahError: models of different classes, or none.
    """
    sets = {model.name: vocabulary(model.card.labels_source) for model in models}
    if len({labels.ids for labels in sets.values()}) != 1:
        names = ", ".join(f"{model.name} ({model.card.labels})" for model in models)
        raise NiahError(
            f"models with different label sets cannot share a run: {names or '(none)'}. Run them one by one"
        )
    return next(iter(sets.values()))


def _resolve(spec: str, checkpoint: str | None, card: ModelCard, weights: str) -> ModelSpec:
    if checkpoint == RANDOM:
        name = f"{card.name}:{RANDOM}"
    else:
        first = next(iter(card.weights), "")
        name = card.name if weights == first else f"{card.name}:{weights}"
    return ModelSpec(spec, name, card, weights)
