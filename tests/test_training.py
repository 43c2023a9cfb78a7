"""Training: losses, schedules and augmentation against numbers worked out by hand, exact resume, the command.

The numbers are of DASS's recipe as its authors' code has it (arXiv 2407.04082, `run.sh`, `traintest.py`).
"""

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
from torch import Tensor, nn

import niah
from niah.cards import cards_folder
from niah.errors import NiahError
from niah.features import EPS, KaldiFrontend
from niah.training.augmentation import draw_mixup, gain, mixup, roll, spec_augment
from niah.training.command import start_from, train_recipe, with_settings
from niah.training.dataset import Clips
from niah.training.loop import _parameter_groups, augment, epoch_order, train
from niah.training.losses import distillation_loss, tagging_loss
from niah.training.recipes import Recipe, read_recipe
from niah.training.schedule import learning_rate
from niah.vocabularies import vocabulary
from tests import tiny

FRONTEND = KaldiFrontend()
PLAIN: dict[str, Any] = {
    "mixup_rate": 0.0,
    "frequency_mask": 0,
    "time_mask": 0,
    "roll": False,
    "warmup_steps": 0,
    "weight_decay": 0.0,
}


def recipe(**given: Any) -> Recipe:
    return Recipe(**{"model": "m", "train": "t", "validation": "v", "name": "made", **given})


def clips(count: int = 12, frames: int = 64) -> Clips:
    """Clips whose class is a loud band of mels."""
    rng = np.random.default_rng(0)
    log_mel = rng.normal(-6, 1, (count, frames, 128)).astype(np.float16)
    targets = np.zeros((count, 3), dtype=np.float32)
    for row in range(count):
        band = row % 3
        log_mel[row, :, 40 * band : 40 * band + 40] += 4
        targets[row, band] = 1
    return Clips(log_mel, targets)


def network(seed: int = 0) -> tiny.Network:
    torch.manual_seed(seed)
    return tiny.Network(3)


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


# --- losses


def test_the_tagging_loss_is_the_mean_over_batch_and_classes() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]])
    targets = torch.tensor([[1.0, 1.0], [0.0, 0.5]])
    # -log of 1/2, 3/4, 3/4 and, for the half label, of 1/2
    expected = (2 * math.log(2) + 2 * math.log(4 / 3)) / 4
    assert float(tagging_loss(logits, targets)) == pytest.approx(expected, abs=1e-6)


def test_distillation_is_kl_over_the_class_softmax() -> None:
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)  # 0.1308
    assert float(distillation_loss(student, teacher)) == pytest.approx(expected, abs=1e-6)


def test_the_temperature_divides_the_teacher_alone_and_is_not_squared() -> None:
    student = torch.tensor([[math.log(2), 0.0]])  # q = 2/3, 1/3
    teacher = torch.tensor([[math.log(9), 0.0]])  # at temperature 2: p = 3/4, 1/4
    expected = 0.75 * math.log(0.75 * 3 / 2) + 0.25 * math.log(0.25 * 3)
    assert float(distillation_loss(student, teacher, 2.0)) == pytest.approx(expected, abs=1e-6)


def test_distillation_is_the_mean_over_the_batch_and_the_sum_over_classes() -> None:
    student = torch.zeros(3, 2)
    teacher = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [0.0, 0.0]])
    one = float(distillation_loss(student[:1], teacher[:1]))
    assert float(distillation_loss(student, teacher)) == pytest.approx(one / 3, abs=1e-7)


def test_half_of_each_loss_is_trained_on(tmp_path: Path) -> None:
    """The logged loss of one step is 0.5 BCE + 0.5 KL of the network as it was."""
    data = clips(6)
    targets = torch.from_numpy(data.targets)
    features = FRONTEND.normalise(torch.from_numpy(data.log_mel.astype(np.float32)))
    before = network()(features).detach()
    wanted = before.flip(1) * 2
    given = recipe(epochs=1, batch_size=6, **PLAIN)
    trained = train(
        given, network(), FRONTEND, data, data, tmp_path, teacher=lambda _: wanted.clone()
    )
    p, q = torch.softmax(wanted.double(), 1), torch.softmax(before.double(), 1)
    kl = float((p * (p / q).log()).sum() / 6)
    s = torch.sigmoid(before.double())
    bce = float(-(targets * s.log() + (1 - targets) * (1 - s).log()).mean())
    assert trained.log["loss"] == pytest.approx(0.5 * bce + 0.5 * kl, abs=1e-5)


# --- learning rate


def test_warm_up_is_linear() -> None:
    given = recipe(learning_rate=1.0, warmup_steps=4, epochs=2)
    rates = [learning_rate(given, step, 10) for step in range(5)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_the_cosine_ends_at_nothing() -> None:
    given = recipe(learning_rate=2.0, warmup_steps=4, epochs=2)
    assert learning_rate(given, 4, 10) == 2.0
    assert learning_rate(given, 12, 10) == pytest.approx(1.0)  # half way from 4 to 20
    assert learning_rate(given, 19, 10) == pytest.approx(1 + math.cos(math.pi * 15 / 16))
    assert learning_rate(given, 20, 10) == pytest.approx(0, abs=1e-12)
    rates = [learning_rate(given, step, 10) for step in range(4, 21)]
    assert rates == sorted(rates, reverse=True)


def test_milestones_halve_as_in_the_recipe_of_dass() -> None:
    """Five epochs, milestones 2, 3, 4: lr, lr, lr/2, lr/4, lr/8."""
    given = recipe(
        learning_rate=1e-4,
        warmup_steps=0,
        epochs=5,
        schedule="milestones",
        milestones=(2, 3, 4, 5),
    )
    for step_in_epoch in (0, 6):
        rates = [learning_rate(given, 7 * epoch + step_in_epoch, 7) for epoch in range(5)]
        assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5])


# --- augmentation


def log_mel_of(samples: Tensor) -> Tensor:
    return FRONTEND.log_mel(FRONTEND.energies(samples[None]))


def test_mixup_in_the_power_domain_is_mixing_the_sounds() -> None:
    """Where two sounds do not overlap in frequency, frame by frame; where they do, on average."""
    t = torch.arange(48000) / 16000
    low, high = 0.3 * torch.sin(2 * math.pi * 300 * t), 0.2 * torch.sin(2 * math.pi * 4000 * t)
    generator = torch.Generator().manual_seed(0)
    noises = 0.1 * torch.randn(2, 48000, generator=generator)
    for (a, b), largest in (((low, high), 0.02), ((noises[0], noises[1]), 0.25)):
        for weight in (0.3, 0.5, 0.8):
            true = log_mel_of(weight * a + (1 - weight) * b)
            pair = torch.cat([log_mel_of(a), log_mel_of(b)])
            weights = torch.tensor([weight, 1.0])
            mixed, _ = mixup(pair, torch.eye(2), torch.tensor([1, 0]), weights)
            ratio = mixed[0].exp().mean(0) / true[0].exp().mean(0)
            loud = true[0].exp().mean(0) > 1e-6 * true[0].exp().max()
            assert float((ratio[loud] - 1).abs().max()) < largest
            assert float((ratio[loud] - 1).abs().mean()) < 0.06


def test_mixup_mixes_labels_by_the_same_weight() -> None:
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    log_mel = torch.zeros(2, 3, 128)
    weights = torch.tensor([0.3, 1.0])
    mixed, y = mixup(log_mel, targets, torch.tensor([1, 0]), weights)
    torch.testing.assert_close(y, torch.tensor([[0.3, 0.7, 0.7], [0.0, 1.0, 1.0]]))
    # exp(0) twice: log(0.09 + 0.49)
    torch.testing.assert_close(mixed[0], torch.full((3, 128), math.log(0.58)))
    torch.testing.assert_close(mixed[1], log_mel[1])  # weight 1 leaves a clip alone


def test_mixup_weights_are_beta_10_10_for_half_of_the_clips() -> None:
    partners, weights = draw_mixup(20_000, 0.5, 10.0, torch.Generator().manual_seed(0))
    assert sorted(partners.tolist()) == list(range(20_000))
    mixed = weights[weights < 1]
    assert len(mixed) / 20_000 == pytest.approx(0.5, abs=0.02)
    assert float(mixed.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(mixed.var()) == pytest.approx(1 / (4 * 21), rel=0.05)  # 1 / (4 (2 b + 1))


def test_spec_augment_masks_one_band_and_one_stretch_with_zero_log_mel() -> None:
    masked = spec_augment(torch.ones(400, 300, 128), 48, 192, torch.Generator().manual_seed(0))
    hidden = masked == 0
    columns, rows = hidden.all(dim=1), hidden.all(dim=2)  # (B, mels), (B, frames)
    torch.testing.assert_close(hidden, columns[:, None, :] | rows[:, :, None])
    for mask, bound, size in ((columns, 48, 128), (rows, 192, 300)):
        width = mask.sum(1)
        assert int(width.max()) <= bound
        assert float(width.float().mean()) == pytest.approx(bound / 2, rel=0.12)
        edges = torch.diff(mask.int(), dim=1).abs().sum(1)
        assert int(edges.max()) <= 2  # one piece
        assert mask.any(0).float().mean() > 0.9  # anywhere
        assert mask.shape[1] == size
    shown = FRONTEND.normalise(torch.zeros(1))
    assert float(shown) == pytest.approx(0.46703, abs=1e-5)  # as in the official loader


def test_masks_of_no_width_leave_all() -> None:
    x = torch.randn(2, 30, 128)
    assert torch.equal(spec_augment(x, 0, 0, torch.Generator().manual_seed(0)), x)


def test_rolling_moves_frames_and_loses_none() -> None:
    x = torch.arange(50.0)[None, :, None].expand(4, 50, 128).contiguous()
    rolled = roll(x, torch.Generator().manual_seed(3))
    for row in rolled[:, :, 0]:
        shift = int(row[0])
        assert torch.equal(row, torch.roll(torch.arange(50.0), -shift))
    assert len({int(row[0, 0]) for row in rolled}) > 1


def test_gain_is_in_decibels_of_power() -> None:
    x = torch.zeros(2000, 1, 4)
    shifted = gain(x, 6.0, torch.Generator().manual_seed(0))[:, 0, 0] * 10 / math.log(10)
    assert float(shifted.abs().max()) <= 6.0
    assert float(shifted.abs().max()) > 5.9
    assert float(shifted.mean()) == pytest.approx(0, abs=0.25)
    quiet = gain(torch.full((50, 1, 1), math.log(EPS)), 6.0, torch.Generator().manual_seed(0))
    assert float(quiet.min()) >= math.log(EPS) - 1e-4


def test_augmentation_depends_on_the_generator_alone() -> None:
    data = clips(4)
    x, y = torch.from_numpy(data.log_mel.astype(np.float32)), torch.from_numpy(data.targets)
    given = recipe(gain_db=6.0)
    first, second, third = (
        augment(given, x, y, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], third[0])


# --- the loop


def test_a_tiny_network_learns_one_batch_by_heart(tmp_path: Path) -> None:
    data = clips(6)
    given = recipe(epochs=60, batch_size=6, learning_rate=0.03, **PLAIN)
    trained = train(given, network(), FRONTEND, data, data, tmp_path)
    lines = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert float(lines[0]["loss"]) > 0.3
    assert trained.log["loss"] < 0.02
    assert trained.log["validation_mAP"] == 1
    assert [int(line["epoch"]) for line in lines] == list(range(1, 61))


def test_every_clip_is_seen_once_an_epoch() -> None:
    first, second = epoch_order(100, 0, 0), epoch_order(100, 0, 1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(100, 0, 0))


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
    log.write_text(log.read_text() + "2,6,9.9,0.1,0.5,nan\n")  # killed before its checkpoint
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
    assert saved["epoch"] == 1


def test_vectors_and_the_memory_of_the_scan_do_not_decay() -> None:
    module = nn.Linear(3, 2)
    module.A_logs = nn.Parameter(torch.zeros(4, 1))
    decayed, others = _parameter_groups(module, 0.05)
    assert [tuple(p.shape) for p in decayed["params"]] == [(2, 3)]
    assert sorted(tuple(p.shape) for p in others["params"]) == [(2,), (4, 1)]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)


# --- recipes


@pytest.mark.parametrize("path", sorted(cards_folder("models").glob("recipes/*.toml")))
def test_every_shipped_recipe_parses(path: Path) -> None:
    assert read_recipe(path.stem).name == path.stem


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("epoch = 3", "unknown key 'epoch'. Did you mean 'epochs'"),
        ("epochs = 'three'", "key 'epochs' must be int, got 'three'"),
        ("epochs = 0", "epochs must be 1 or more, got 0"),
        ("batch_size = 0", "batch_size must be 1 or more, got 0"),
        ("roll = 1", "key 'roll' must be bool, got 1"),
        ("learning_rate = 0", "learning_rate must be above 0"),
        ("schedule = 'cosin'", "unknown schedule 'cosin'. Did you mean 'cosine'"),
        ("milestones = ['two']", "milestones must be whole epochs"),
        ("average_last = 11", "average_last must be 1 to epochs, got 11"),
        ("mixup_rate = 1.5", "mixup_rate must be 0 to 1"),
        ("epochs = ", "is not valid TOML"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_told(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'model = "m"\ntrain = "t"\nvalidation = "v"\n{line}\n')
    with pytest.raises(NiahError, match=told):
        read_recipe(path)


def test_a_recipe_without_clips_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('model = "m"\n')
    with pytest.raises(NiahError, match="missing train, validation"):
        read_recipe(path)


def test_settings_replace_keys() -> None:
    changed = with_settings(recipe(), ["epochs=3", "learning_rate=1e-4", "model=dass-nano"])
    assert (changed.epochs, changed.learning_rate, changed.model) == (3, 1e-4, "dass-nano")
    for setting, told in (("epoch=3", "--set: unknown key 'epoch'"), ("epochs", "key=value")):
        with pytest.raises(NiahError, match=told):
            with_settings(recipe(), [setting])


# --- the command


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


def test_what_is_trained_can_be_run(material: Material, tmp_path: Path) -> None:
    weights = train_recipe(str(material.recipe(epochs=25)), tmp_path / "trained", device="cpu")
    assert {file.name for file in (tmp_path / "trained").iterdir()} == {
        "log.csv",
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
    teacher = tiny.card(tmp_path, "teacher", labels="synthetic", hidden=8)
    own_weights(teacher, tiny.checkpoint(tmp_path, len(vocabulary("synthetic")), 8))
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
    with pytest.raises(NiahError, match=r"clip01\.wav: no such file"):
        train_recipe(str(material.recipe()), tmp_path / "out", train=str(clips), device="cpu")
    assert not (tmp_path / "out").exists()


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
