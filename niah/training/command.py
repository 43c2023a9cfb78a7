"""`niah train`: a recipe with its clips, its network and its teacher, to a weights file."""

import dataclasses
import json
import tomllib
from pathlib import Path

import torch

from niah.adapters import NetworkAdapter, choose_device, import_adapter, load_model
from niah.atomic import writing
from niah.cards import find_model
from niah.checkpoints import load_strictly, read_state
from niah.download import cache_folder
from niah.errors import NiahError
from niah.features import KaldiFrontend
from niah.needles import load_needles
from niah.training.dataset import Clips, load_clips
from niah.training.loop import Teacher, Trained
from niah.training.loop import train as run_loop
from niah.training.recipes import Recipe, read_recipe, recipe_from
from niah.vocabularies import Vocabulary, vocabulary
from niah.weights import resolve

WEIGHTS = "weights.safetensors"


def train_recipe(
    spec: str,
    out: Path,
    *,
    train: str | None = None,
    validation: str | None = None,
    settings: list[str] | None = None,
    device: str = "auto",
) -> Path:
    """Train by a recipe; resumes in `out`. Returns the weights file, which names the recipe and the last log line.

    Raises:
        NiahError: see `read_recipe`, `load_needles`, `load_model` and the loop.
    """
    recipe = with_settings(read_recipe(spec), settings or [])
    recipe = dataclasses.replace(
        recipe, train=train or recipe.train, validation=validation or recipe.validation
    )
    card, _ = find_model(recipe.model)
    labels = vocabulary(card.labels_source)
    frontend = KaldiFrontend()
    clips = _clips(recipe.train, recipe.clips, labels, frontend)
    checked = _clips(recipe.validation, recipe.validation_clips, labels, frontend)
    torch.manual_seed(recipe.seed)
    family: type[NetworkAdapter] = import_adapter(card)
    network = family.build(card.config, len(labels))
    if recipe.start:
        start_from(network, recipe.start)
    chosen = choose_device(device)
    teacher = _teacher(recipe, labels, chosen)
    trained = run_loop(
        recipe, network, frontend, clips, checked, out, device=chosen, teacher=teacher
    )
    return _write(out / WEIGHTS, trained, recipe)


def with_settings(recipe: Recipe, settings: list[str]) -> Recipe:
    """`--set key=value`, the value in TOML or, failing that, as text."""
    table = dataclasses.asdict(recipe)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise NiahError(f"--set {setting}: must read key=value")
        try:
            table[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            table[key] = text
    return recipe_from(table, "--set")


def start_from(network: torch.nn.Module, model: str) -> None:
    """Weights of another model of the same architecture; a head of another size keeps its fresh start."""
    card, weights = find_model(model)
    family: type[NetworkAdapter] = import_adapter(card)
    path = resolve(card, weights)
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


def _clips(spec: str, count: int, labels: Vocabulary, frontend: KaldiFrontend) -> Clips:
    needles = load_needles(spec, vocabulary=labels, limit=count or None)
    return load_clips(needles, frontend, cache_folder() / "training")


def _teacher(recipe: Recipe, labels: Vocabulary, device: torch.device) -> Teacher | None:
    if not recipe.teacher:
        return None
    adapter = load_model(recipe.teacher, device=str(device))
    if adapter.labels.ids != labels.ids:
        raise NiahError(
            f"teacher '{recipe.teacher}' scores {adapter.labels.name}, the student {labels.name}: they must be the same"
        )
    return adapter.logits


def _write(path: Path, trained: Trained, recipe: Recipe) -> Path:
    from safetensors.torch import save

    # under one key: several are written in a random order, and the same training gives the same file
    told = {"training": json.dumps({"recipe": dataclasses.asdict(recipe), "log": trained.log})}
    state = {key: value.contiguous().cpu() for key, value in trained.state.items()}
    with writing(path) as stream:
        stream.write(save(state, metadata=told))
    return path
