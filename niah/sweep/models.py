"""The models of a run, each resolved once: what the user typed, the name of its rows, where it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.adapters.model_source import OWN_LABELS, ModelRequest, ModelSource
from niah.adapters.sources import find_source
from niah.cards import RANDOM, ModelCard, known_models
from niah.errors import NiahError
from niah.sweep.options import RunOptions
from niah.vocabularies import Vocabulary, vocabulary
from niah.vocabularies.mapping import part_of

_SHOWN = 6  # classes that a note lists


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


def models_of(options: RunOptions) -> tuple[ModelSpec, ...]:
    """Resolve the models of a run; see `resolve_models`."""
    said = (options.labels, options.sample_rate, options.prompt, options.trust_remote_code)
    return resolve_models(
        options.models, options.checkpoint, request=ModelRequest(*said), objects=options.objects
    )


def shared_labels(models: Sequence[ModelSpec], named: str = "") -> Vocabulary:
    """Return the classes that all models score, by their ids; every model keeps its own outputs in their own order.

    A mean over classes counts those that a clip carries, so scores of models with more classes compare once the clips
    carry shared ones alone.

    Args:
        models: of one run.
        named: a vocabulary's name or file, to count no other classes; "" or "model": all that are shared.

    Returns:
        One of the vocabularies where that is all that is shared, else a part of the first.

    Raises:
        NiahError: there is no such class, or an unknown vocabulary.
    """
    vocabularies = [model.labels for model in models]
    if named not in ("", OWN_LABELS):
        vocabularies.append(vocabulary(Path(named) if Path(named).is_file() else named))
    shared = set.intersection(*(set(each.ids) for each in vocabularies))
    if not shared:
        names = ", ".join(f"{model.name} ({model.labels.name})" for model in models)
        chosen = f" and --labels {named}" if len(vocabularies) > len(models) else ""
        raise NiahError(
            f"models without a common class cannot share a run: {names}{chosen}. Run them one by one"
        )
    for each in vocabularies:
        if len(each) == len(shared):
            return each
    return part_of(vocabularies[0], shared)


def notes_on_labels(models: Sequence[ModelSpec], shared: Vocabulary) -> Iterator[str]:
    """Yield a sentence on each model that scores more classes than count in the run."""
    for model in models:
        others = [
            name
            for id_, name in zip(model.labels.ids, model.labels.names, strict=True)
            if id_ not in shared
        ]
        if others:
            shown = ", ".join(others[:_SHOWN]) + (", .." if len(others) > _SHOWN else "")
            yield (
                f"model '{model.name}': {len(shared)} of its {len(model.labels)} classes count, those of "
                f"'{shared.name}'; not {shown}"
            )


def _name(source: ModelSource, checkpoint: str | None) -> str:
    card = source.card
    if checkpoint == RANDOM or source.random:
        return f"{card.name}:{RANDOM}"
    first = next(iter(card.weights), "")
    return f"{card.name}:{source.weights}" if source.weights not in ("", first) else card.name
