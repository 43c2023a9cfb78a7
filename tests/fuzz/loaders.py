"""The list of loaders: how an input of each is made, and how it is read as the commands read it."""

import importlib
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from unittest import mock

import torch

from niah import audio
from niah.adapters.checkpoints import load_strictly, read_state
from niah.adapters.loading import load_model
from niah.cards import find_model
from niah.compare.check import check
from niah.compare.check_formats import formatted
from niah.compare.paired import compare
from niah.diagnosis.localisation import table as localisation
from niah.errors import NiahError
from niah.haystacks import load_haystack
from niah.needles import load_needles
from niah.pages import leaderboard, run_report
from niah.sweep.presets import read_preset
from niah.training import checkpoint
from niah.training.log import read_log, restored_log
from niah.training.recipes import read_recipe
from niah.vocabularies import Vocabulary, vocabulary
from tests.adapters.test_contract import FAMILIES
from tests.fuzz import bundles, caches, cards, needle_files, runs, scene_folders, sounds, tensors
from tests.fuzz.harness import Loader, make_input

RATE = 16000
CLIPS_READ = 3


@cache
def _audioset() -> Vocabulary:
    return vocabulary("audioset-527")


def _read_sound(path: Path) -> None:
    samples = audio.load(path, RATE).samples
    if samples.ndim != 1 or not len(samples):
        raise AssertionError(f"samples of shape {samples.shape}")


def _read_needles(path: Path) -> None:
    needles = load_needles(path, vocabulary=_audioset())
    for needle in needles.needles[:CLIPS_READ]:
        with suppress(NiahError):  # a clip that cannot be read is left out
            needle.source.digest()
            needle.source.waveform(RATE)
    needles.targets()


def _read_vocabulary(path: Path) -> None:
    read = vocabulary(path)
    read.targets([read.ids[:1]])


def _read_model_card(path: Path) -> None:
    find_model(path)
    load_model(path, "random")


def _read_haystack_card(path: Path) -> None:
    load_haystack(path)


def _read_preset(path: Path) -> None:
    for part in read_preset(path).parts:
        part.options()


def _read_recipe(path: Path) -> None:
    _ = read_recipe(path).fingerprint


def _read_weights(path: Path) -> None:
    load_strictly(tensors.network(), read_state(path), str(path))


def _read_checkpoint(path: Path) -> None:
    network = tensors.network()
    optimiser = torch.optim.AdamW(network.parameters())
    checkpoint.resume(path, tensors.RECIPE, network, optimiser)
    network(torch.zeros(1, 4, 128)).sum().backward()
    optimiser.step()


def _read_log(path: Path) -> None:
    if read_log(path):
        restored_log(path, [], {"epoch": 3}, finished=False)


def _leaderboard(run: Path) -> None:
    leaderboard.write([run], run.parent / "site")


def _check(run: Path) -> None:
    for against in (run, "published"):
        with suppress(NiahError):
            result = check(run, against)
            for form in ("markdown", "junit", "github"):
                formatted(result, form)
    check(run, run, unpaired=True)


def _compare(run: Path) -> None:
    compare(run, run, models=("dass-nano", "ast-sin-nano")).markdown()


def _report(run: Path) -> None:
    """Write the report, its figures made but neither fitted nor rendered."""
    unfitted = mock.patch("niah.plots.style.fit")
    unrendered = mock.patch("niah.plots.style.write_as")
    with unfitted, unrendered:
        run_report.write(run)


def _drawn_report(run: Path) -> None:
    run_report.write(run)


def _localisation(run: Path) -> None:
    localisation.write(run)


_READERS = {
    "report": _report,
    "drawn-report": _drawn_report,
    "leaderboard": _leaderboard,
    "check": _check,
    "compare": _compare,
}


def _read_run(run: Path) -> None:
    _READERS[(run.parent / runs.READER).read_text()](run)


LOADERS = (
    Loader("sound", sounds.sound_file, _read_sound),
    Loader("needles-json", needle_files.ast_json, _read_needles),
    Loader("needles-csv", needle_files.table, _read_needles),
    Loader("needles-segments", needle_files.segments, _read_needles),
    Loader("needles-parquet", needle_files.parquet, _read_needles),
    Loader("vocabulary", needle_files.vocabulary, _read_vocabulary),
    Loader("preset", cards.preset, _read_preset),
    Loader("recipe", cards.recipe, _read_recipe),
    Loader("model-card", cards.model_card, _read_model_card),
    Loader("haystack-card", cards.haystack_card, _read_haystack_card),
    Loader("safetensors", tensors.safetensors, _read_weights),
    Loader("pickle", tensors.pickled, _read_weights),
    Loader("tensor-bundle", bundles.bundle, bundles.read_bundle),
    Loader("run-json", runs.run_json, _read_run, writes=True, few=12),
    Loader("row", runs.row, _read_run, writes=True, few=12),
    Loader("cells-csv", runs.cells_csv, _read_run, writes=True, few=12),
    Loader("scores", runs.scores, _read_run, writes=True, few=12),
    Loader("localisation", runs.localisation, _localisation, writes=True),
    Loader("report-names", runs.names, _read_run, writes=True, few=6),
    Loader("predictions", scene_folders.predictions, scene_folders.read_scores),
    Loader(
        "scene-folder", scene_folders.scene_folder, scene_folders.score_folder, writes=True, few=20
    ),
    Loader("feature-cache", caches.feature_entry, caches.read_feature_entry, writes=True),
    Loader("training-cache", caches.row_store, caches.read_row_store, writes=True),
    Loader("training-checkpoint", tensors.training_checkpoint, _read_checkpoint),
    Loader("training-log", tensors.training_log, _read_log, writes=True),
)


def warm_up(loader: Loader) -> None:
    """Import and compile in this process what a loader's children read with, so that none does it again."""
    if loader.read in (_read_model_card, _read_haystack_card):  # either may name an adapter
        for family in FAMILIES.values():
            importlib.import_module(f"niah.adapters.{family.adapter.partition(':')[0]}")
    elif loader.read is _read_run:
        _read_a_whole_run()
    with tempfile.TemporaryDirectory() as name, suppress(Exception):
        loader.read(make_input(loader, 0, Path(name)))


@cache
def _read_a_whole_run() -> None:
    with tempfile.TemporaryDirectory() as name:
        run = runs.whole(Path(name))
        for reader in _READERS.values():
            reader(run)
