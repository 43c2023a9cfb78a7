"""`niah train`: a recipe with its clips, its network and its teacher, to a weights file."""

import dataclasses
import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from niah.adapters.checkpoints import load_strictly, read_state
from niah.adapters.loading import choose_device, import_adapter, load_model
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter
from niah.adapters.self_supervised import SelfSupervised
from niah.adapters.weights import resolve
from niah.cards import ModelCard, find_model
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import KaldiFrontend
from niah.needles import NeedleSet, load_needles
from niah.needles.needle import FileSource
from niah.system.atomic import atomic_write
from niah.system.download import cache_folder
from niah.system.folders import published
from niah.training.card import write_card
from niah.training.clips import Clips, SoundClips, load_features
from niah.training.imagenet import start_from_imagenet
from niah.training.loop import Trained
from niah.training.loop import train as run_loop
from niah.training.recipes import EMA, Recipe, read_recipe, recipe_from
from niah.training.teachers import LiveTeachers, PrecomputedTeacher, Teacher, precompute
from niah.vocabularies import Vocabulary, vocabulary

WEIGHTS = "weights.safetensors"
IMAGENET = "imagenet"
MOST_WORKERS = 8


def train_recipe(
    spec: str,
    out: Path,
    *,
    train: str | None = None,
    validation: str | None = None,
    settings: list[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
) -> Path:
    """Train by a recipe; resumes in `out`. Returns the weights file, which names the recipe and the last log line.

    `workers` processes read sound ahead under `pipeline = "waveform"`: by default a core each, at most 8.

    Raises:
        NiahError: see `read_recipe`, `load_needles`, `load_model` and the loop.
    """
    recipe = with_settings(read_recipe(spec), settings or [])
    recipe = dataclasses.replace(
        recipe, train=train or recipe.train, validation=validation or recipe.validation
    )
    if not (recipe.train and recipe.validation):
        raise NiahError(
            f"recipe '{recipe.name}' names no clips: give --train MANIFEST and --eval MANIFEST"
        )
    card = trained_card(recipe)
    labels = vocabulary(card.labels_source)
    family: type[NetworkAdapter] = import_adapter(card)
    frontend = family.default_frontend
    chosen = choose_device(device)
    teachers = _teachers(recipe, labels, chosen)
    needles = load_needles(recipe.train, vocabulary=labels, limit=recipe.clips or None)
    checked = load_needles(
        recipe.validation, vocabulary=labels, limit=recipe.validation_clips or None
    )
    cache = cache_folder() / "training"
    clips = _clips(recipe, needles, frontend, cache, chosen)
    torch.manual_seed(recipe.seed)
    network = _network(family, card, len(labels))
    if recipe.start == IMAGENET:
        start_from_imagenet(network, recipe.start_file, card.name)
    elif recipe.start:
        start_from(network, recipe.start, recipe.start_file)
    trained = run_loop(
        recipe,
        network,
        frontend,
        clips,
        load_features(checked, frontend, cache),
        out,
        device=chosen,
        teaching=_teaching(recipe, teachers, needles, frontend, cache),
        workers=_workers(recipe, workers),
    )
    write_card(card, out, WEIGHTS)
    return _write(out / WEIGHTS, trained, recipe)


def _network(family: type[NetworkAdapter], card: ModelCard, classes: int) -> torch.nn.Module:
    try:
        return family.build(card.config, classes)
    except (TypeError, ValueError) as error:
        raise NiahError(
            f"[config] of the card and the recipe does not fit {card.adapter}: {error}"
        ) from None


def trained_card(recipe: Recipe) -> ModelCard:
    """The card of what a recipe trains: its model's, with the recipe's labels and [config], without weights."""
    card, _ = find_model(recipe.model)
    return dataclasses.replace(
        card,
        labels=recipe.labels or card.labels,
        path=Path(recipe.labels).absolute() if recipe.labels.endswith(".csv") else card.path,
        config={**card.config, **recipe.config},
        weights={},
        published={},
        aliases=(),
    )


def with_settings(recipe: Recipe, settings: list[str]) -> Recipe:
    """`--set key=value` or `--set config.key=value`, the value in TOML or, failing that, as text."""
    table: dict[str, Any] = dataclasses.asdict(recipe)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise NiahError(f"--set {setting}: must read key=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        if key.startswith("config."):
            table["config"] = {**table["config"], key.removeprefix("config."): value}
        else:
            table[key] = value
    return recipe_from(table, "--set")


def start_from(network: torch.nn.Module, model: str, file: str = "") -> None:
    """Weights of another model of the same architecture; a head of another size keeps its fresh start."""
    card, weights = find_model(model)
    family: type[NetworkAdapter] = import_adapter(card)
    path = Path(file) if file else resolve(card, weights)
    if issubclass(family, SelfSupervised):  # released without a head
        family.load_body(network, path)
        return
    state = family.official_state(read_state(path), network)
    own = network.state_dict()
    head = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    classes = {own[key].shape[0] for key in head}
    if len(classes) > 1 or any(own[key].shape[1:] != state[key].shape[1:] for key in head):
        raise NiahError(f"start '{model}' is of another architecture: {', '.join(head[:5])} differ")
    load_strictly(
        network,
        {key: own[key] if key in head else value for key, value in state.items()},
        str(path),
    )


def _clips(
    recipe: Recipe, needles: NeedleSet, frontend: Frontend, cache: Path, device: torch.device
) -> Clips:
    if recipe.pipeline == "waveform":
        _refuse_missing(needles)
        targets = needles.targets().astype("float32")
        return SoundClips(needles, frontend, targets, on_device=device.type == "cuda")
    if not isinstance(frontend, KaldiFrontend):
        raise NiahError(
            f"recipe '{recipe.name}': mixing features is for Kaldi's natural logarithm: set pipeline = \"waveform\""
        )
    return load_features(needles, frontend, cache)


def _refuse_missing(needles: NeedleSet) -> None:
    """Sound is read in the steps; a file that is not there must not be found in the third hour."""
    missing = [
        str(needle.source.path)
        for needle in needles.needles
        if isinstance(needle.source, FileSource) and not needle.source.path.is_file()
    ]
    if missing:
        raise NiahError(
            f"{needles.name}: {len(missing)} of {len(needles)} files are missing, the first: {missing[0]}"
        )


def _teachers(recipe: Recipe, labels: Vocabulary, device: torch.device) -> list[Adapter]:
    if recipe.teacher == (EMA,):
        return []
    for teacher in recipe.teacher:  # all of them, before any weights are fetched
        card, _ = find_model(teacher)
        taught = vocabulary(card.labels_source)
        if taught.ids != labels.ids:
            raise NiahError(
                f"teacher '{card.name}' scores {taught.name}, the student {labels.name}: "
                "they must be the same"
            )
    return [load_model(teacher, device=str(device)) for teacher in recipe.teacher]


def _teaching(
    recipe: Recipe,
    teachers: Sequence[Adapter],
    needles: NeedleSet,
    frontend: Frontend,
    cache: Path,
) -> Teacher | None:
    if not teachers:
        return None
    if recipe.teaching == "precomputed":
        return PrecomputedTeacher(precompute(teachers, needles, cache))
    return LiveTeachers(teachers, frontend)


def _workers(recipe: Recipe, asked: int | None) -> int:
    if asked is not None:
        return asked
    return min(MOST_WORKERS, os.cpu_count() or 1) if recipe.pipeline == "waveform" else 0


def _write(path: Path, trained: Trained, recipe: Recipe) -> Path:
    from safetensors.torch import save

    # under one key: several are written in a random order, and the same training gives the same file
    told = {
        "training": json.dumps(
            {"recipe": published(dataclasses.asdict(recipe), paths=True), "log": trained.log}
        )
    }
    state = {key: value.contiguous().cpu() for key, value in trained.state.items()}
    with atomic_write(path) as stream:
        stream.write(save(state, metadata=told))
    return path
