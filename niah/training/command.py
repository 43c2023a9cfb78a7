"""`niah train`: a recipe with its clips, its network and its teacher, to a weights file."""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from niah.adapters.importing import code_sha256
from niah.adapters.loading import choose_device
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.sources import may_have_card
from niah.cards import ModelCard, find_model
from niah.errors import NiahError, one_line
from niah.frontends import Frontend
from niah.frontends.kaldi import KaldiFrontend
from niah.needles import NeedleSet, load_needles
from niah.networks.outline import outline
from niah.randomness import torch_seed
from niah.records.lock import acquire_lock
from niah.records.run_parts import LOCK, refuse_links
from niah.system.atomic import one_line_os_errors, remove_leftovers
from niah.system.download import cache_folder
from niah.training.checkpoint import CHECKPOINT, CODE, Origin
from niah.training.data.batch import Clips
from niah.training.data.clips import SoundClips
from niah.training.data.labels import SparseLabels
from niah.training.data.row_store import remove_former_leftovers
from niah.training.data.shard_clips import BadClips, ShardClips
from niah.training.data.shard_plan import ShardLayout, ShardPlanner
from niah.training.data.stored_features import LARGEST_FEATURES_GB, load_features
from niah.training.data.usable_clips import (
    LARGEST_EXCLUDED_SHARE,
    content_checksum,
    sizes_checksum,
    sounds_checksum,
    usable_clips,
)
from niah.training.initial_weights import network_family, start_from, start_from_imagenet
from niah.training.log import EVENTS, LOG
from niah.training.loop import train as run_loop
from niah.training.processes import Processes
from niah.training.recipes import Recipe, read_recipe, with_settings
from niah.training.teachers import (
    LiveTeachers,
    LoadedTeacher,
    PrecomputedTeacher,
    Teacher,
    check_teachers,
    load_teachers,
    precompute,
    teachers_checksum,
)
from niah.training.trained_model import (
    CARD,
    WEIGHTS,
    own_code,
    refuse_foreign,
    write_card,
    write_weights,
)
from niah.vocabularies import SUFFIXES, Vocabulary, vocabulary

_PARTS = (LOCK, CHECKPOINT, LOG, WEIGHTS, CARD, *(f"labels{suffix}" for suffix in SUFFIXES))

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
    largest_excluded: float = LARGEST_EXCLUDED_SHARE,
    features_gb: float = LARGEST_FEATURES_GB,
) -> Path:
    """Train by a recipe; resumes in `out`.

    Args:
        spec: a recipe's name or path.
        out: folder of the log, the checkpoint, the weights and their card.
        train: needle spec of the training clips instead of the recipe's.
        validation: needle spec of the validation clips instead of the recipe's.
        settings: `key=value` over the recipe.
        device: auto, cpu, cuda or cuda:N.
        workers: processes that read sound ahead under `pipeline = "waveform"`; by default a core each, at most 8.
        largest_excluded: share of the clips, 0 to 1, that may be unreadable and are left out; 0 refuses any.
        features_gb: largest feature store (GB) that is made under `pipeline = "features"`.

    Returns:
        The weights file, which names the recipe and the last log line.

    Raises:
        NiahError: see `read_recipe`, `load_needles`, `usable_clips`, `load_model` and the loop.
    """
    recipe = with_settings(read_recipe(spec), settings or [])
    recipe = dataclasses.replace(
        recipe, train=train or recipe.train, validation=validation or recipe.validation
    )
    if not (recipe.train and recipe.validation):
        raise NiahError(
            f"recipe '{recipe.name}' names no clips: give --train MANIFEST and --eval MANIFEST"
        )
    refuse_links(out, _PARTS, (EVENTS,), "training")
    _check_cards(recipe)
    card = trained_card(recipe)
    labels = vocabulary(card.labels_source)
    family = network_family(card)
    code = own_code(card)
    refuse_foreign(out, code)
    frontend = family.default_frontend
    check_teachers(recipe, labels)
    processes = Processes(recipe, choose_device(device))
    teachers = load_teachers(recipe, processes.device)
    cache = _ready_cache(processes, out)
    notes: set[str] = set()

    def note(text: str) -> None:
        if processes.is_first and text not in notes:  # training and validation may be one set
            notes.add(text)
            _note(text)

    bad = BadClips(largest_excluded, _note)

    def usable(needles: NeedleSet) -> tuple[NeedleSet, str]:
        clips = usable_clips(needles, frontend, cache, largest_share=largest_excluded, note=note)
        return clips, content_checksum(clips, sounds_checksum(needles, frontend, cache))

    needles = load_needles(recipe.train, vocabulary=labels, limit=recipe.clips or None)
    if recipe.shuffle_buffer:  # no first pass over millions of clips
        trained_on = content_checksum(needles, sizes_checksum(needles))
    else:
        needles, trained_on = usable(needles)
    checked, validated_on = usable(
        load_needles(recipe.validation, vocabulary=labels, limit=recipe.validation_clips or None)
    )
    network = _initial_network(recipe, card, family, labels)
    clips = _clips(recipe, needles, frontend, cache, processes, features_gb, bad)
    scored = load_features(checked, frontend, cache, share=processes.blocks, largest_gb=features_gb)
    teacher = _teacher(recipe, teachers, needles, frontend, cache, processes)
    with _locked(out) if processes.is_first else nullcontext():
        trained = run_loop(
            recipe,
            network,
            frontend,
            clips,
            scored,
            out,
            processes=processes,
            teacher=teacher,
            workers=_workers(recipe, workers),
            head=family.head,
            origin=Origin(
                trained_on,
                validated_on,
                teachers_checksum(teachers),
                card_sha256(card),
                hashlib.sha256("\n".join(labels.ids).encode()).hexdigest(),
            ),
        )
        parameters = sum(parameter.numel() for parameter in network.parameters())
        if processes.is_first:
            weights = write_weights(out, trained, recipe)
            write_card(
                card,
                out,
                recipe,
                weights,
                parameters=parameters,
                clips=len(needles),
                code={**own_code(card), **code},  # what was edited meanwhile was not trained
            )
    return out / WEIGHTS


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other trainings out of the folder.

    Raises:
        NiahError: one is writing to it.
    """
    with one_line_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = acquire_lock(out, "niah train")
    try:
        yield
    finally:
        (out / LOCK).unlink(missing_ok=True)  # still locked: who opens it now opens a new one
        lock.release()


def _check_cards(recipe: Recipe) -> None:
    """Check that the models which a recipe names have cards.

    Raises:
        NiahError: one is of the hub, or an object of a Python file.
    """
    models = [("model", recipe.model), ("start", recipe.start)]
    for key, spec in (*models, *(("teacher", each) for each in recipe.teacher)):
        if spec and not may_have_card(spec):
            raise NiahError(
                f"recipe '{recipe.name}': {key} '{spec}' has no card: give a model's name or a card's path"
            )


def trained_card(recipe: Recipe) -> ModelCard:
    """Return the card of the model that a recipe trains: with the recipe's labels and [config], without weights."""
    card, _ = find_model(recipe.model)
    labels = recipe.labels
    if labels.lower().endswith(SUFFIXES):  # of the working directory, not of the card's folder
        labels = str(Path(labels).absolute())
    return dataclasses.replace(
        card,
        labels=labels or card.labels,
        config={**card.config, **recipe.config},
        weights={},
        published={},
        aliases=(),
    )


def card_sha256(card: ModelCard) -> dict[str, str]:
    """Return a hash of the adapter, of its file if it is a user's, and of each entry of [config], by its name."""
    parts = {"adapter": card.adapter, **{f"config.{key}": v for key, v in card.config.items()}}
    if code := code_sha256(card):
        parts[CODE] = code
    return {name: hashlib.sha256(repr(value).encode()).hexdigest() for name, value in parts.items()}


def _initial_network(
    recipe: Recipe, card: ModelCard, family: type[NetworkAdapter], labels: Vocabulary
) -> torch.nn.Module:
    """Draw the network's weights by the recipe's seed, and load those that it starts from."""
    with torch_seed(recipe.seed):
        try:
            # refuses sizes before memory is taken
            outline(lambda: family.build(card.config, len(labels)))
            network = family.build(card.config, len(labels))
        except (
            Exception
        ) as error:  # torch raises by what does not fit: RuntimeError, IndexError, ..
            reason = one_line(error)
            raise NiahError(
                f"[config] of the card and the recipe does not fit {card.adapter}: {reason}"
            ) from None
    if recipe.head_bias:
        _set_head_bias(recipe, network, family.head)  # before a start, which may bring a head
    if recipe.start == IMAGENET:
        start_from_imagenet(network, recipe.start_file, card.name)
    elif recipe.start:
        start_from(network, recipe.start, labels, recipe.start_file)
    return network


def _set_head_bias(recipe: Recipe, network: torch.nn.Module, head: str) -> None:
    """Set the classifier's biases (Lin et al. 2017, arXiv 1708.02002, section 3.3)."""
    bias = network.get_submodule(head).bias if head else None
    if not isinstance(bias, torch.Tensor):
        raise NiahError(f"recipe '{recipe.name}': head_bias: this network has no linear classifier")
    with torch.no_grad():
        bias.fill_(recipe.head_bias)


def _clips(
    recipe: Recipe,
    needles: NeedleSet,
    frontend: Frontend,
    cache: Path,
    processes: Processes,
    features_gb: float,
    bad: BadClips,
) -> Clips | ShardClips:
    on_device = processes.device.type == "cuda"
    if recipe.pipeline == "waveform":
        labels = SparseLabels.from_needles(needles)
        if not recipe.shuffle_buffer:
            return SoundClips(needles, frontend, labels, on_device=on_device)
        layout = ShardLayout.of_needles(needles)
        planner = ShardPlanner(
            recipe, labels, layout, frames=frontend.needle_frames, mels=frontend.mels
        )
        return ShardClips(needles, frontend, labels, planner, bad, on_device)
    if not isinstance(frontend, KaldiFrontend):
        raise NiahError(
            f"recipe '{recipe.name}': mixing features is for Kaldi's natural logarithm: set pipeline = \"waveform\""
        )
    return load_features(needles, frontend, cache, share=processes.blocks, largest_gb=features_gb)


def _teacher(
    recipe: Recipe,
    teachers: Sequence[LoadedTeacher],
    needles: NeedleSet,
    frontend: Frontend,
    cache: Path,
    processes: Processes,
) -> Teacher | None:
    if not teachers:
        return None
    if recipe.teaching == "precomputed":
        are_checked = not recipe.shuffle_buffer
        return PrecomputedTeacher(
            precompute(teachers, needles, cache, processes.blocks, are_checked=are_checked)
        )
    return LiveTeachers(teachers, frontend)


def _workers(recipe: Recipe, workers: int | None) -> int:
    if workers is not None:
        return workers
    return min(MOST_WORKERS, os.cpu_count() or 1) if recipe.pipeline == "waveform" else 0


def _ready_cache(processes: Processes, out: Path) -> Path:
    """Return the folder of features and verdicts, without a killed one's leftovers; in `out` for want of a cache."""
    cache = cache_folder() / "training"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        is_writable = os.access(cache, os.W_OK)
    except OSError:
        is_writable = False
    if not is_writable:
        cache, unwritable = out / "cache", cache
        if processes.is_first:
            _note(
                f"cannot write to {unwritable}: features are kept in {cache} (NIAH_CACHE=FOLDER names another)"
            )
    with one_line_os_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        if processes.is_first:
            remove_leftovers(cache)
            remove_former_leftovers(cache)
    return cache


def _note(text: str) -> None:
    print(f"note: {' '.join(text.split())}", file=sys.stderr)
