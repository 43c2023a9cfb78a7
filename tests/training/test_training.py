"""Training as a whole: the loop learns, resumes exactly, is the same in several processes; the command."""

import csv
import dataclasses
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

import niah
from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.needles import load_needles
from niah.training.batch_plan import BatchPlanner
from niah.training.clips import SoundClips, load_features, log_mel_of
from niah.training.command import train_recipe
from niah.training.initial_weights import start_from
from niah.training.loop import train
from niah.vocabularies import vocabulary
from tests.helpers import tiny
from tests.helpers.tiny_training import PLAIN, clips, network, recipe

FRONTEND = KaldiFrontend()


class Failing(tiny.Network):
    """Raises, or answers NaN, in the n-th training step."""

    def __init__(self, step: int, error: type[BaseException] | None = None) -> None:
        super().__init__(3)
        self.steps = 0
        self.step = step
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        out: Tensor = super().forward(x)
        if self.training and self.steps == self.step:
            if self.error is not None:
                raise self.error
            return out * math.nan
        return out


def failing(step: int, error: type[BaseException] | None = None) -> Failing:
    torch.manual_seed(0)
    return Failing(step, error)


# --- the loop


def test_half_of_each_loss_is_trained_on(tmp_path: Path) -> None:
    """The logged loss of one step is 0.5 BCE + 0.5 KL of the network as it was."""
    data = clips(6)
    targets = torch.from_numpy(data.targets)
    features = FRONTEND.normalise(torch.from_numpy(data.log_mel.astype(np.float32)))
    before = network()(features).detach()
    wanted = before.flip(1) * 2
    given = recipe(epochs=1, batch_size=6, **PLAIN)
    trained = train(
        given,
        network(),
        FRONTEND,
        data,
        data,
        tmp_path,
        teacher=lambda _, plan: wanted[plan.rows],
    )
    p, q = torch.softmax(wanted.double(), 1), torch.softmax(before.double(), 1)
    kl = float((p * (p / q).log()).sum() / 6)
    s = torch.sigmoid(before.double())
    bce = float(-(targets * s.log() + (1 - targets) * (1 - s).log()).mean())
    assert trained.log["loss"] == pytest.approx(0.5 * bce + 0.5 * kl, abs=1e-5)


def test_a_tiny_network_learns_one_batch_by_heart(tmp_path: Path) -> None:
    data = clips(6)
    given = recipe(epochs=60, batch_size=6, learning_rate=0.03, **PLAIN)
    trained = train(given, network(), FRONTEND, data, data, tmp_path)
    lines = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert float(lines[0]["loss"]) > 0.3
    assert trained.log["loss"] < 0.02
    assert trained.log["validation_mAP"] == 1
    assert [int(line["epoch"]) for line in lines] == list(range(1, 61))


def weights_of(run: Path) -> dict[str, Tensor]:
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    model: dict[str, Tensor] = saved["model"]
    return model


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("step", [4, 8, 11])  # three steps an epoch: in the second to fourth
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, step: int) -> None:
    data, given = clips(), recipe(epochs=4, batch_size=4, average_last=2, gain_db=3.0)
    undisturbed = train(given, network(), FRONTEND, data, data, tmp_path / "quiet")
    with pytest.raises(KeyboardInterrupt):
        train(given, failing(step, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    resumed = train(given, network(seed=9), FRONTEND, data, data, tmp_path / "cut")
    assert equal(undisturbed.state, resumed.state)
    assert equal(weights_of(tmp_path / "quiet"), weights_of(tmp_path / "cut"))
    logs = [(tmp_path / name / "log.csv").read_text() for name in ("quiet", "cut")]
    assert logs[0] == logs[1]
    assert undisturbed.log == resumed.log


def test_a_line_whose_checkpoint_was_lost_is_not_told_twice(tmp_path: Path) -> None:
    data, given = clips(), recipe(epochs=3, batch_size=4)
    train(given, network(), FRONTEND, data, data, tmp_path / "quiet")
    with pytest.raises(KeyboardInterrupt):
        train(given, failing(4, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    log = tmp_path / "cut" / "log.csv"
    log.write_text(
        log.read_text() + "2,6,9.9,0.1,0.5,0.5,0.5,nan\n"
    )  # killed before its checkpoint
    train(given, network(), FRONTEND, data, data, tmp_path / "cut")
    assert log.read_text() == (tmp_path / "quiet" / "log.csv").read_text()


def test_a_finished_run_is_not_trained_on(tmp_path: Path) -> None:
    data, given = clips(), recipe(epochs=2, batch_size=4, average_last=2)
    first = train(given, network(), FRONTEND, data, data, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    again = train(given, network(seed=5), FRONTEND, data, data, tmp_path)
    assert equal(first.state, again.state)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_the_average_is_the_plain_mean_of_the_last_epochs(tmp_path: Path) -> None:
    data, given = clips(), recipe(epochs=3, batch_size=4, average_last=2)
    averaged = train(given, network(), FRONTEND, data, data, tmp_path / "averaged").state
    with pytest.raises(KeyboardInterrupt):
        train(given, failing(7, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    second, third = weights_of(tmp_path / "cut"), weights_of(tmp_path / "averaged")
    for key, value in averaged.items():
        torch.testing.assert_close(value, (second[key] + third[key]) / 2)
    last = dataclasses.replace(given, average_last=1)
    assert equal(train(last, network(), FRONTEND, data, data, tmp_path / "last").state, third)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    data, given = clips(), recipe(epochs=1, batch_size=4)
    train(given, network(), FRONTEND, data, data, tmp_path)
    other = dataclasses.replace(given, learning_rate=0.5)
    with pytest.raises(NiahError, match="checkpoint of another recipe: give another --out"):
        train(other, network(), FRONTEND, data, data, tmp_path)


def test_a_loss_that_is_nan_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    data, given = clips(), recipe(epochs=3, batch_size=4)
    with pytest.raises(NiahError, match=r"the loss is nan at step 4; the last good .*checkpoint"):
        train(given, failing(5), FRONTEND, data, data, tmp_path)
    assert all(torch.isfinite(value).all() for value in weights_of(tmp_path).values())
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["standing"]["step"] == 3


@pytest.mark.parametrize("accumulate", [3, 4])  # parts of 2; of 1, 2, 1 and 2
def test_parts_of_a_batch_add_up_to_the_batch(tmp_path: Path, accumulate: int) -> None:
    data, whole = clips(), recipe(epochs=2, batch_size=6, **PLAIN)
    one = train(whole, network(), FRONTEND, data, data, tmp_path / "one")
    parts = dataclasses.replace(whole, accumulate=accumulate)
    several = train(parts, network(), FRONTEND, data, data, tmp_path / "several")
    assert several.log["loss"] == pytest.approx(one.log["loss"], rel=1e-5)
    for key, value in one.state.items():
        torch.testing.assert_close(several.state[key], value, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_within_an_epoch_is_gone_on_from(tmp_path: Path) -> None:
    data = clips()
    given = recipe(epochs=3, batch_size=3, gain_db=3.0, checkpoint_steps=3)  # four steps an epoch
    undisturbed = train(given, network(), FRONTEND, data, data, tmp_path / "quiet")
    with pytest.raises(KeyboardInterrupt):  # in step 8, after the checkpoint of 6 steps
        train(given, failing(8, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    saved = torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)
    assert saved["standing"]["step"] == 6
    resumed = train(given, network(seed=9), FRONTEND, data, data, tmp_path / "cut")
    assert equal(undisturbed.state, resumed.state)
    assert undisturbed.log == resumed.log


def test_patience_ends_a_run_but_never_before_there_is_an_average(tmp_path: Path) -> None:
    """mAP is 1 from the start here, so no epoch is better than the first one that counts."""
    data = clips()
    given = recipe(epochs=9, batch_size=6, learning_rate=1e-4, average_last=5, patience=2, **PLAIN)
    first = train(
        dataclasses.replace(given, learning_rate=0.03),
        network(),
        FRONTEND,
        data,
        data,
        tmp_path / "learnt",
    )
    learnt = network()
    learnt.load_state_dict(first.state)
    trained = train(given, learnt, FRONTEND, data, data, tmp_path / "patient")
    assert trained.log["validation_mAP"] == 1
    assert trained.log["epoch"] == 7  # averaging begins with epoch 5: best there, then 2 more
    saved = torch.load(tmp_path / "patient" / "checkpoint.pt", weights_only=True)
    assert saved["standing"]["averaged_epochs"] == 3
    again = train(given, network(), FRONTEND, data, data, tmp_path / "patient")
    assert again.log["epoch"] == 7
    assert equal(again.state, trained.state)


def test_a_student_can_be_its_own_teacher(tmp_path: Path) -> None:
    data = clips()
    given = recipe(epochs=3, batch_size=4, teacher=("ema",), ema_momentum=0.5, distillation="l2")
    alone = dataclasses.replace(given, teacher=())
    first = train(given, network(), FRONTEND, data, data, tmp_path / "own")
    assert not equal(
        first.state, train(alone, network(), FRONTEND, data, data, tmp_path / "alone").state
    )
    with pytest.raises(KeyboardInterrupt):
        train(given, failing(8, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    resumed = train(given, network(seed=9), FRONTEND, data, data, tmp_path / "cut")
    assert equal(first.state, resumed.state)  # the moving average is in the checkpoint too


def test_bfloat16_trains_and_float16_asks_for_a_gpu(tmp_path: Path) -> None:
    data, given = clips(), recipe(epochs=20, batch_size=6, learning_rate=0.03, **PLAIN)
    half = dataclasses.replace(given, precision="bfloat16")
    trained = train(half, network(), FRONTEND, data, data, tmp_path / "bfloat16")
    full = train(given, network(), FRONTEND, data, data, tmp_path / "float32")
    assert trained.log["loss"] == pytest.approx(full.log["loss"], rel=0.3)
    assert trained.log["loss"] != full.log["loss"]
    with pytest.raises(NiahError, match="precision float16 needs a GPU"):
        train(
            dataclasses.replace(given, precision="float16"),
            network(),
            FRONTEND,
            data,
            data,
            tmp_path,
        )


SHARED_TRAINING = """
import sys
from pathlib import Path
import torch
from niah.frontends.kaldi import KaldiFrontend
from niah.training.command import train_recipe
from niah.training.loop import train
from tests.helpers.tiny_training import clips, network, recipe

out, distilled = Path(sys.argv[1]), sys.argv[2]
given = recipe(epochs=3, batch_size=6, gain_db=6.0, mixup_rate=0.5, accumulate=3, average_last=2)
data = clips(13)  # an uneven validation set
trained = train(given, network(), KaldiFrontend(), data, data, out)
if torch.distributed.is_initialized() and torch.distributed.get_rank() == 0:
    torch.save(trained.state, out / "state.pt")
train_recipe(distilled, out / "distilled", device="cpu", workers=0)
"""


def test_two_processes_train_as_one(material: "Material", cache: Path, tmp_path: Path) -> None:
    """The same losses and validation scores at the same batch, through accelerate and gloo, and with a teacher.

    (On CPUs `accelerate launch` starts several processes through MPI alone; torchrun starts the same.)
    """
    teacher = own_weights(tiny.card(tmp_path, "teacher", hidden=8), tiny.checkpoint(tmp_path, 3, 8))
    distilled = str(
        material.recipe("distilled", teacher=str(teacher), teaching="precomputed", epochs=2)
    )
    script = tmp_path / "shared_training.py"
    script.write_text(SHARED_TRAINING)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    done = subprocess.run(
        [*launch, str(script), str(tmp_path / "two"), distilled],
        env=tiny.environment(cache),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    data = clips(13)
    given = recipe(
        epochs=3, batch_size=6, gain_db=6.0, mixup_rate=0.5, accumulate=3, average_last=2
    )
    one = train(given, network(), FRONTEND, data, data, tmp_path / "one")
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("one", "two")]
    pd.testing.assert_frame_equal(logs[0], logs[1], rtol=1e-4, atol=2e-6)
    for key, value in torch.load(tmp_path / "two" / "state.pt", weights_only=True).items():
        torch.testing.assert_close(value, one.state[key], rtol=1e-4, atol=1e-6)
    alone = train_recipe(distilled, tmp_path / "alone", device="cpu", workers=0)
    for key, value in load_file(alone).items():
        shared = load_file(tmp_path / "two" / "distilled" / alone.name)[key]
        torch.testing.assert_close(shared, value, rtol=1e-4, atol=1e-6)


# --- clips


@dataclasses.dataclass(frozen=True)
class Material:
    card: Path
    clips: Path
    folder: Path

    def recipe(self, name: str = "made", **given: Any) -> Path:
        """Write a recipe for the tiny tagger; returns its path."""
        table = {
            "model": str(self.card),
            "train": str(self.clips),
            "validation": str(self.clips),
            "epochs": 6,
            "batch_size": 6,
            "learning_rate": 0.02,
            "warmup_steps": 0,
            "mixup_rate": 0.0,
            "average_last": 2,
            **given,
        }
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items()))
        return path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    return Material(tiny.card(folder), tiny.manifest(folder, 12), folder)


def test_sound_and_stored_features_are_the_same_clips(material: Material, tmp_path: Path) -> None:
    """Without augmentation the two pipelines give the network the same input, but for float16."""
    needles = load_needles(material.clips, vocabulary=vocabulary(material.folder / "labels.csv"))
    stored = load_features(needles, FRONTEND, tmp_path)
    sound = SoundClips(needles, FRONTEND, stored.labels)
    step = BatchPlanner(recipe(batch_size=5, **PLAIN), stored.labels, frames=1024, mels=128)[0]
    a, b = stored.batch(step), sound.batch(step)
    on_device = dataclasses.replace(sound, on_device=True).batch(step)
    assert a.log_mel is not None
    assert b.log_mel is not None
    torch.testing.assert_close(a.log_mel, b.log_mel, rtol=0, atol=0.01)
    torch.testing.assert_close(a.targets, b.targets)
    device = torch.device("cpu")
    torch.testing.assert_close(
        log_mel_of(on_device, FRONTEND, device), b.log_mel, rtol=0, atol=1e-4
    )
    assert not b.log_mel[:, 998:].any()  # raw zeros after the sound's end


def test_sound_is_mixed_moved_and_read_by_any_number_of_workers(
    material: Material, tmp_path: Path
) -> None:
    given = material.recipe("sound", pipeline="waveform", mixup_rate=0.7, gain_db=6.0, epochs=2)
    made = [
        train_recipe(str(given), tmp_path / str(n), device="cpu", workers=n).read_bytes()
        for n in (0, 2)
    ]
    assert made[0] == made[1]
    features = material.recipe("features", mixup_rate=0.7, gain_db=6.0, epochs=2)
    logs = [
        float(pd.read_csv(folder / "log.csv")["loss"].iloc[0])
        for folder in (
            tmp_path / "0",
            train_recipe(str(features), tmp_path / "f", device="cpu").parent,
        )
    ]
    assert logs[0] == pytest.approx(logs[1], rel=0.05)  # the power domain's mixup is close to it


# --- the command


def test_what_is_trained_can_be_run(material: Material, tmp_path: Path) -> None:
    weights = train_recipe(str(material.recipe(epochs=25)), tmp_path / "trained", device="cpu")
    assert {file.name for file in (tmp_path / "trained").iterdir()} == {
        "card.toml",
        "labels.csv",
        "log.csv",
        "tensorboard",
        "checkpoint.pt",
        "weights.safetensors",
    }
    table: Any = niah.run(
        models=str(material.card),
        checkpoint=str(weights),
        needles=str(material.clips),
        haystack="zero",
        lengths=[10, 12],
        device="cpu",
        out=tmp_path / "run",
    )
    assert set(table["status"]) == {"ok"}
    last = list(csv.DictReader((tmp_path / "trained" / "log.csv").open()))[-1]
    # training reads float16 features and averages ties alike: the same mAP but for rounding
    base = table.iloc[0].to_dict()
    assert base["mAP"] == pytest.approx(float(last["averaged_mAP"]), abs=0.02)
    assert base["mAP"] > base["chance_mAP"] + 0.2
    again: Any = niah.run(  # the card written beside the weights says it all
        models=str(tmp_path / "trained" / "card.toml"),
        needles=str(material.clips),
        haystack="zero",
        lengths=[10, 12],
        device="cpu",
        out=tmp_path / "again",
    )
    assert again["mAP"].tolist() == table["mAP"].tolist()


def test_a_recipe_may_change_the_cards_labels_and_size(material: Material, tmp_path: Path) -> None:
    labels = material.folder / "other.csv"
    labels.write_text((material.folder / "labels.csv").read_text() + "3,/t/none,none\n")
    given = material.recipe("changed", labels=str(labels), epochs=2)
    weights = train_recipe(str(given), tmp_path, settings=["config.hidden=24"], device="cpu")
    assert load_file(weights)["hidden.weight"].shape == (24, 128)
    assert load_file(weights)["head.weight"].shape == (4, 24)
    adapter = niah.load_model(str(tmp_path / "card.toml"))
    assert len(adapter.labels) == 4
    with pytest.raises(
        NiahError, match=r"\[config\] of the card and the recipe does not fit .*TinyTagger"
    ):
        train_recipe(str(given), tmp_path / "no", settings=["config.hiden=24"], device="cpu")


def test_weights_carry_their_recipe_and_last_log_line(material: Material, tmp_path: Path) -> None:
    weights = train_recipe(str(material.recipe()), tmp_path, settings=["epochs=2"], device="cpu")
    with safe_open(weights, framework="pt") as file:
        told = json.loads(file.metadata()["training"])
    assert told["recipe"]["epochs"] == 2
    assert told["log"]["epoch"] == 2


def own_weights(card: Path, weights: Path) -> Path:
    card.write_text(card.read_text() + f'\n[weights.own]\nfile = "{weights.name}"\n')
    return card


def test_a_student_learns_from_a_teacher(material: Material, tmp_path: Path) -> None:
    """With the distillation loss alone the student's softmax becomes the teacher's."""
    teacher = own_weights(tiny.card(tmp_path, "teacher", hidden=8), tiny.checkpoint(tmp_path, 3, 8))
    given = material.recipe(teacher=str(teacher), distillation_weight=1.0, epochs=40)
    train_recipe(str(given), tmp_path / "out", device="cpu")
    losses = [float(line["loss"]) for line in csv.DictReader((tmp_path / "out/log.csv").open())]
    assert losses[-1] < 0.05 * losses[0]


def test_a_teacher_of_other_labels_is_refused(material: Material, tmp_path: Path) -> None:
    teacher = tiny.card(
        tmp_path, "teacher", labels="synthetic", hidden=8
    )  # its weights are nowhere
    with pytest.raises(NiahError, match="scores synthetic, the student labels: they must be the"):
        train_recipe(str(material.recipe(teacher=str(teacher))), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_start_from_another_model_keeps_a_fresh_head(tmp_path: Path) -> None:
    weights = tiny.checkpoint(tmp_path, 5)
    other = own_weights(tiny.card(tmp_path, "other"), weights)
    student = network()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    start_from(student, str(other))
    after = student.state_dict()
    assert torch.equal(after["hidden.weight"], load_file(weights)["hidden.weight"])
    assert torch.equal(after["head.weight"], before["head.weight"])
    wide = own_weights(tiny.card(tmp_path, "wide"), tiny.checkpoint(tmp_path, 3, 32))
    with pytest.raises(NiahError, match=r"of another architecture: .* differ"):
        start_from(network(), str(wide))


def test_bad_clips_are_refused_before_training(material: Material, tmp_path: Path) -> None:
    clips = tiny.manifest(tmp_path / "clips", 3)
    (clips.parent / "clip01.wav").unlink()
    with pytest.raises(
        NiahError, match=r"1 of 3 clips cannot be used: .*clip01\.wav: no such file"
    ):
        train_recipe(str(material.recipe()), tmp_path / "out", train=str(clips), device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_missing_is_told_before_the_first_step(
    material: Material, tmp_path: Path
) -> None:
    clips = tiny.manifest(tmp_path / "clips", 3)
    (clips.parent / "clip02.wav").unlink()
    given = material.recipe("missing", pipeline="waveform")
    with pytest.raises(NiahError, match=r"1 of 3 clips cannot be used: .*clip02\.wav: no such"):
        train_recipe(str(given), tmp_path / "out", train=str(clips), device="cpu")


def test_teachers_scores_can_be_computed_beforehand(material: Material, tmp_path: Path) -> None:
    """Two teachers' mean; without augmentation, what they say live is what was computed."""
    cards = [
        own_weights(
            tiny.card(tmp_path / str(h), "teacher", hidden=h),
            tiny.checkpoint(tmp_path / str(h), 3, h),
        )
        for h in (8, 24)
    ]
    losses = []
    for teaching in ("live", "precomputed"):
        given = material.recipe(
            teaching,
            teacher=[str(card) for card in cards],
            teaching=teaching,
            distillation_weight=1.0,
            roll=False,
            frequency_mask=0,
            time_mask=0,
            epochs=3,
        )
        train_recipe(str(given), tmp_path / teaching, device="cpu")
        losses.append(pd.read_csv(tmp_path / teaching / "log.csv")["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    assert losses[0].iloc[0] > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kill_9_and_the_same_command(
    material: Material, cache: Path, tmp_path: Path, seed: int
) -> None:
    slow = tiny.card(tmp_path, delay_s=0.03)
    given = material.recipe("slow", model=str(slow), epochs=20)
    quiet = train_recipe(str(given), tmp_path / "quiet", device="cpu")
    arguments = ["train", str(given), "--out", str(tmp_path / "cut"), "--device", "cpu"]
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
    resumed = train_recipe(str(given), tmp_path / "cut", device="cpu")
    assert resumed.read_bytes() == quiet.read_bytes()
    assert pd.read_csv(tmp_path / "cut/log.csv").equals(pd.read_csv(tmp_path / "quiet/log.csv"))
