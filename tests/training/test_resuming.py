"""A training that was interrupted or killed goes on as if nothing had happened."""

import dataclasses
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from niah.errors import NiahError
from niah.records.lock import acquire_lock
from niah.training.command import train_recipe
from niah.training.loop import train
from tests.helpers import tiny
from tests.helpers.tiny_training import (
    FRONTEND,
    Material,
    clips,
    equal,
    failing,
    network,
    recipe,
    weights_of,
)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("step", [4, 8, 11])  # three steps an epoch: in the second to fourth
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, step: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With checkpoints written between steps, as on a CPU, and in a thread, as on a GPU."""
    monkeypatch.setattr("niah.training.loop.writes_beside", lambda _: beside)
    data, small_recipe = clips(), recipe(epochs=4, batch_size=4, average_last=2, gain_db=3.0)
    undisturbed = train(small_recipe, network(), FRONTEND, data, data, tmp_path / "quiet")
    with pytest.raises(KeyboardInterrupt):
        train(
            small_recipe, failing(step, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut"
        )
    resumed = train(small_recipe, network(seed=9), FRONTEND, data, data, tmp_path / "cut")
    assert equal(undisturbed.state, resumed.state)
    assert equal(weights_of(tmp_path / "quiet"), weights_of(tmp_path / "cut"))
    logs = [(tmp_path / name / "log.csv").read_text() for name in ("quiet", "cut")]
    assert logs[0] == logs[1]
    assert undisturbed.log == resumed.log


def test_a_line_whose_checkpoint_was_lost_is_not_told_twice(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=3, batch_size=4)
    train(small_recipe, network(), FRONTEND, data, data, tmp_path / "quiet")
    with pytest.raises(KeyboardInterrupt):
        train(small_recipe, failing(4, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    log = tmp_path / "cut" / "log.csv"
    log.write_text(
        log.read_text() + "2,6,9.9,0.1,0.5,0.5,0.5,nan\n"
    )  # killed before its checkpoint
    train(small_recipe, network(), FRONTEND, data, data, tmp_path / "cut")
    assert log.read_text() == (tmp_path / "quiet" / "log.csv").read_text()


def test_a_finished_run_is_not_trained_on(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=2, batch_size=4, average_last=2)
    first = train(small_recipe, network(), FRONTEND, data, data, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    again = train(small_recipe, network(seed=5), FRONTEND, data, data, tmp_path)
    assert equal(first.state, again.state)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=1, batch_size=4)
    train(small_recipe, network(), FRONTEND, data, data, tmp_path)
    other = dataclasses.replace(small_recipe, learning_rate=0.5)
    reason = "checkpoint of another recipe, which differs in learning_rate: give another --out"
    with pytest.raises(NiahError, match=reason):
        train(other, network(), FRONTEND, data, data, tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del saved["fields"], saved["sha256"]  # of an earlier version
    torch.save(saved, tmp_path / "checkpoint.pt")
    with pytest.raises(NiahError, match="checkpoint of another recipe: give another --out"):
        train(other, network(), FRONTEND, data, data, tmp_path)
    train(small_recipe, network(), FRONTEND, data, data, tmp_path)


def test_a_training_whose_teacher_changed_is_not_resumed(
    material: Material, tmp_path: Path
) -> None:
    """The student would learn from two: the file's name, which the recipe has, says nothing of its weights."""
    weights = [tiny.checkpoint(tmp_path, seed=seed) for seed in (0, 1)]
    taught = tmp_path / "teacher.safetensors"
    shutil.copyfile(weights[0], taught)
    teacher = {"teacher": str(material.card), "teacher_file": str(taught)}
    small_recipe = str(material.recipe("taught", **teacher))
    train_recipe(small_recipe, tmp_path / "out", device="cpu")
    train_recipe(small_recipe, tmp_path / "out", device="cpu")
    shutil.copyfile(weights[1], taught)
    with pytest.raises(
        NiahError, match="checkpoint of other weights or another card of the teacher"
    ):
        train_recipe(small_recipe, tmp_path / "out", device="cpu")


@pytest.mark.parametrize("pipeline", ["features", "waveform"])
@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_training_whose_sounds_changed_is_not_resumed(
    material: Material, tmp_path: Path, pipeline: str, part: str
) -> None:
    """A WAV that is made again has the size that it had: the training went on with other sounds in silence."""
    clips = tiny.manifest(tmp_path / "clips", 6)
    small_recipe = str(material.recipe("sounds", pipeline=pipeline, epochs=2))
    options: dict[str, Any] = {part: str(clips), "device": "cpu", "workers": 0}
    train_recipe(small_recipe, tmp_path / "out", **options)
    train_recipe(small_recipe, tmp_path / "out", **options)
    shutil.copyfile(clips.with_name("clip03.wav"), clips.with_name("clip00.wav"))
    name = {"train": "training", "validation": "validation"}[part]
    with pytest.raises(NiahError, match=f"checkpoint of other {name} clips"):
        train_recipe(small_recipe, tmp_path / "out", **options)


def test_a_training_whose_card_changed_is_not_resumed(material: Material, tmp_path: Path) -> None:
    """Entries that leave the weights' shapes alone (DASS's drop_path, initial_A) had changed in silence."""
    card = material.card.with_name("changed.toml")  # beside its labels
    text = material.card.read_text()
    assert "[config]" in text
    card.write_text(text.replace("[config]", "[config]\ndelay_s = 0.0"))
    small_recipe = str(material.recipe("carded", model=str(card)))
    train_recipe(small_recipe, tmp_path / "out", device="cpu")
    train_recipe(small_recipe, tmp_path / "out", device="cpu")
    card.write_text(text.replace("[config]", "[config]\ndelay_s = 0.001\nlongest = 9000"))
    reason = r"another model card, which differs in config\.delay_s, config\.longest: give the same"
    with pytest.raises(NiahError, match=reason):
        train_recipe(small_recipe, tmp_path / "out", device="cpu")


def test_a_training_whose_own_adapter_was_edited_is_not_resumed(
    material: Material, tmp_path: Path
) -> None:
    """Half of its steps would be another network's; `niah run` refuses such weights' cells too."""
    code, card = (
        material.card.with_name(name) for name in ("edited_tagger.py", "edited_card.toml")
    )
    code.write_text("from tests.helpers.tiny import TinyTagger as Edited\n")
    text = material.card.read_text()
    card.write_text(text.replace("tests.helpers.tiny:TinyTagger", "edited_tagger:Edited"))
    small_recipe = str(material.recipe("edited", model=str(card)))
    train_recipe(small_recipe, tmp_path / "out", device="cpu")
    code.write_text(code.read_text() + "\n")
    with pytest.raises(NiahError, match="another model card, which differs in code: give the same"):
        train_recipe(small_recipe, tmp_path / "out", device="cpu")


def test_a_training_whose_classes_changed_is_not_resumed(tmp_path: Path) -> None:
    """Weights of a finished one got the names of a label file that was sorted anew."""
    clips = tiny.manifest(tmp_path, 6)
    made = Material(tiny.card(tmp_path), clips, tmp_path)
    small_recipe, labels = str(made.recipe("named", epochs=2)), tmp_path / "labels.csv"
    train_recipe(small_recipe, tmp_path / "out", device="cpu")
    low, middle, high = tiny.IDS
    rows = [f"{index},{id_},{id_[3:]}" for index, id_ in enumerate((high, middle, low))]
    labels.write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    with pytest.raises(NiahError, match="checkpoint of other classes, or of these in another"):
        train_recipe(small_recipe, tmp_path / "out", device="cpu")
    assert (tmp_path / "out" / "labels.csv").read_text() != labels.read_text()


def test_a_loss_that_is_nan_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=3, batch_size=4)
    with pytest.raises(NiahError, match=r"the loss is nan at step 4.*; the last good .*checkpoint"):
        train(small_recipe, failing(5), FRONTEND, data, data, tmp_path)
    assert all(torch.isfinite(value).all() for value in weights_of(tmp_path).values())
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["standing"]["step"] == 3


def test_broken_weights_are_not_stored(tmp_path: Path) -> None:
    """A finite loss whose step breaks the weights: told before they replace the good checkpoint, or without one."""
    data = clips()
    wild = recipe(epochs=2, batch_size=4, learning_rate=1e38, warmup_steps=0, checkpoint_steps=1)
    with pytest.raises(
        NiahError, match=r"the training has diverged, .* there is no checkpoint yet"
    ):
        train(wild, network(), FRONTEND, data, data, tmp_path / "new")
    assert not (tmp_path / "new" / "checkpoint.pt").exists()


def test_two_trainings_in_one_folder_are_refused(material: Material, tmp_path: Path) -> None:
    lock = acquire_lock(tmp_path, "niah train")
    with pytest.raises(NiahError, match="another niah train is writing to"):
        train_recipe(str(material.recipe("one")), tmp_path, device="cpu")
    lock.release()
    assert train_recipe(str(material.recipe("one")), tmp_path, device="cpu").is_file()


def test_a_checkpoint_within_an_epoch_is_gone_on_from(tmp_path: Path) -> None:
    data = clips()
    small_recipe = recipe(
        epochs=3, batch_size=3, gain_db=3.0, checkpoint_steps=3
    )  # four steps an epoch
    undisturbed = train(small_recipe, network(), FRONTEND, data, data, tmp_path / "quiet")
    with pytest.raises(KeyboardInterrupt):  # in step 8, after the checkpoint of 6 steps
        train(small_recipe, failing(8, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    saved = torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)
    assert saved["standing"]["step"] == 6
    resumed = train(small_recipe, network(seed=9), FRONTEND, data, data, tmp_path / "cut")
    assert equal(undisturbed.state, resumed.state)
    assert undisturbed.log == resumed.log


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kill_9_and_the_same_command(
    material: Material, cache: Path, tmp_path: Path, seed: int
) -> None:
    slow = tiny.card(tmp_path, delay_s=0.03)
    small_recipe = material.recipe("slow", model=str(slow), epochs=20)
    quiet = train_recipe(str(small_recipe), tmp_path / "quiet", device="cpu")
    arguments = ["train", str(small_recipe), "--out", str(tmp_path / "cut"), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "niah", *arguments],
        env=tiny.environment(cache),
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "cut" / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(np.random.default_rng(seed).uniform(0, 1.5))
    process.kill()
    process.wait()
    resumed = train_recipe(str(small_recipe), tmp_path / "cut", device="cpu")
    assert resumed.read_bytes() == quiet.read_bytes()
    assert pd.read_csv(tmp_path / "cut/log.csv").equals(pd.read_csv(tmp_path / "quiet/log.csv"))
