"""Training's parts against numbers worked out by hand: losses, rates, sampling, augmentation, recipes, averages.

The numbers are of DASS's recipe as its authors' code has it (arXiv 2407.04082, `run.sh`, `traintest.py`).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from niah.cards import cards_folder, find_model
from niah.errors import NiahError
from niah.frontends.kaldi import EPS, KaldiFrontend
from niah.training.augmentation import (
    gain,
    mix_targets,
    mixup,
    mixup_waveforms,
    move_waveform,
    roll,
    spec_augment,
)
from niah.training.averaging import MovingAverage, add_to_mean
from niah.training.batch_plan import BatchPlanner, epoch_order, sampling_weights
from niah.training.command import train_recipe, trained_card
from niah.training.labels import SparseLabels
from niah.training.losses import (
    bce_loss,
    bce_softmax_loss,
    cosine_loss,
    kl_loss,
    l2_loss,
    l2c_loss,
    tagging_loss,
)
from niah.training.optimiser import learning_rate, make_optimiser, parameter_groups
from niah.training.recipes import read_recipe, with_settings
from niah.training.teachers import PrecomputedTeacher
from niah.vocabularies import vocabulary
from tests.helpers.tiny_training import recipe

FRONTEND = KaldiFrontend()


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
    assert float(kl_loss(student, teacher)) == pytest.approx(expected, abs=1e-6)


def test_the_temperature_divides_the_teacher_alone_and_is_not_squared() -> None:
    student = torch.tensor([[math.log(2), 0.0]])  # q = 2/3, 1/3
    teacher = torch.tensor([[math.log(9), 0.0]])  # at temperature 2: p = 3/4, 1/4
    expected = 0.75 * math.log(0.75 * 3 / 2) + 0.25 * math.log(0.25 * 3)
    assert float(kl_loss(student, teacher, 2.0)) == pytest.approx(expected, abs=1e-6)


def test_distillation_is_the_mean_over_the_batch_and_the_sum_over_classes() -> None:
    student = torch.zeros(3, 2)
    teacher = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [0.0, 0.0]])
    one = float(kl_loss(student[:1], teacher[:1]))
    assert float(kl_loss(student, teacher)) == pytest.approx(one / 3, abs=1e-7)


def test_the_other_distillation_losses() -> None:
    """As DASS's traintest.py has them: no temperature but in the cross-entropies, a sigmoid of the cosine."""
    student, teacher = torch.tensor([[0.0, 2.0]]), torch.tensor([[2 * math.log(3), 0.0]])
    # at temperature 2 the teacher's probabilities are 3/4 and 1/2
    expected = (math.log(2) + math.log1p(math.exp(2)) - 0.5 * 2) / 2
    assert float(bce_loss(student, teacher, 2.0)) == pytest.approx(expected, abs=1e-6)
    chances = 3 / 4, 1 / 4  # the teacher's softmax at temperature 2
    expected = (math.log(2) + math.log1p(math.exp(2)) - chances[1] * 2) / 2
    assert float(bce_softmax_loss(student, teacher, 2.0)) == pytest.approx(expected, abs=1e-6)
    squared = (4 * math.log(3) ** 2 + 4) / 2
    assert float(l2_loss(student, teacher, 2.0)) == pytest.approx(squared, abs=1e-5)
    right_angle, parallel = 0.5, 1 / (1 + math.exp(1))
    assert float(cosine_loss(student, teacher, 2.0)) == pytest.approx(right_angle, abs=1e-6)
    assert float(cosine_loss(teacher, 5 * teacher)) == pytest.approx(parallel, abs=1e-6)
    together = pytest.approx(squared + right_angle, abs=1e-5)
    assert float(l2c_loss(student, teacher, 2.0)) == together


# --- learning rate and optimiser


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


def test_the_released_warm_up_rises_in_stairs_from_nothing() -> None:
    """Every 50 of 1000 steps the rate becomes step / 1000 of itself, as in traintest.py."""
    given = recipe(learning_rate=1e-4, warmup_steps=1000, warmup_stair=50, schedule="milestones")
    rates = [learning_rate(given, step, 10_000) for step in (0, 49, 50, 99, 100, 999, 1000)]
    assert rates == pytest.approx([0, 0, 5e-6, 5e-6, 1e-5, 9.5e-5, 1e-4])


def test_vectors_and_the_memory_of_the_scan_do_not_decay() -> None:
    module = nn.Linear(3, 2)
    module.A_logs = nn.Parameter(torch.zeros(4, 1))
    decayed, others = parameter_groups(module, 0.05)
    assert [tuple(p.shape) for p in decayed["params"]] == [(2, 3)]
    assert sorted(tuple(p.shape) for p in others["params"]) == [(2,), (4, 1)]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)


def test_adam_decays_every_parameter_as_released() -> None:
    """One step of Adam with an L2 term: the first step is the rate times the gradient's sign."""
    module = nn.Linear(1, 1)
    nn.init.constant_(module.weight, 2.0)
    nn.init.constant_(module.bias, -2.0)
    given = recipe(optimiser="adam", learning_rate=0.1, betas=[0.95, 0.999], weight_decay=0.5)
    optimiser = make_optimiser(given, module)
    (0 * module(torch.ones(1, 1))).sum().backward()
    optimiser.step()
    assert float(module.weight.detach()) == pytest.approx(1.9, abs=1e-5)
    assert float(module.bias.detach()) == pytest.approx(-1.9, abs=1e-5)


# --- sampling


def test_every_clip_is_seen_once_an_epoch() -> None:
    first, second = epoch_order(100, 0, 0), epoch_order(100, 0, 1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(100, 0, 0))


def test_balanced_sampling_by_the_released_formula() -> None:
    """Class weight 1000 / (count + 0.01), a clip's weight the sum over its labels."""
    targets = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.float32)
    common, rare = 1000 / 3.01, 1000 / 1.01
    total = 2 * common + (common + rare)
    expected = [common / total, common / total, (common + rare) / total, 0]
    labels = SparseLabels.from_dense(targets)
    np.testing.assert_allclose(sampling_weights(labels), expected, rtol=1e-6)
    assert 3 not in epoch_order(4, 0, 0, sampling_weights(labels))
    many = np.concatenate([epoch_order(4, 0, e, sampling_weights(labels)) for e in range(3000)])
    assert (many == 2).mean() == pytest.approx(expected[2], abs=0.02)


def planned(**given: Any) -> BatchPlanner:
    targets = np.eye(3, dtype=np.float32)[np.arange(12_000) % 3]
    return BatchPlanner(
        recipe(**{"batch_size": 4000, "epochs": 2, **given}),
        SparseLabels.from_dense(targets),
        frames=300,
        mels=128,
    )


def test_mixup_weights_are_beta_10_10_for_half_of_the_clips() -> None:
    step = planned(mixup_rate=0.5)[1]
    mixed = step.weights[step.weights < 1]
    assert len(mixed) / 4000 == pytest.approx(0.5, abs=0.03)
    assert float(mixed.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(mixed.var()) == pytest.approx(1 / (4 * 21), rel=0.1)  # 1 / (4 (2 b + 1))
    alone = step.weights == 1
    assert np.array_equal(step.partners[alone], step.rows[alone])
    others = step.partners[~alone]
    assert others.max() > 11_000  # from the whole set, not from the batch
    assert others.min() < 1000


def test_a_step_is_drawn_from_its_number_alone_and_can_be_shared() -> None:
    given = {"gain_db": 6.0, "mixup_rate": 0.5}
    forwards, single = planned(**given), planned(**given)
    steps = [forwards[n] for n in range(6)]
    for n in (5, 2):
        again = single[n]
        assert all(np.array_equal(getattr(steps[n], k), v) for k, v in vars(again).items())
    assert not np.array_equal(steps[0].shifts, steps[1].shifts)
    halves = [steps[0].part(slice(i, None, 2)) for i in range(2)]
    assert sorted([*halves[0].rows, *halves[1].rows]) == sorted(steps[0].rows)
    assert np.array_equal(halves[1].weights, steps[0].weights[1::2])


def test_masks_are_uniform_in_width_and_anywhere() -> None:
    step = planned(frequency_mask=48, time_mask=192)[0]
    for masks, bound, size in ((step.bands, 48, 128), (step.frame_masks, 192, 300)):
        first, width = masks.T
        assert width.max() <= bound
        assert width.mean() == pytest.approx(bound / 2, rel=0.05)
        assert first.min() >= 0
        assert (first + width).max() <= size
        assert (first + width).max() > size - 8
        assert first.min() < 8


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
            mixed = mixup(log_mel_of(a), log_mel_of(b), torch.tensor([weight]))
            ratio = mixed[0].exp().mean(0) / true[0].exp().mean(0)
            loud = true[0].exp().mean(0) > 1e-6 * true[0].exp().max()
            assert float((ratio[loud] - 1).abs().max()) < largest
            assert float((ratio[loud] - 1).abs().mean()) < 0.06


def test_mixup_mixes_labels_by_the_same_weight() -> None:
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    weights = torch.tensor([0.3, 1.0])
    y = mix_targets(targets, targets.flip(0), weights)
    torch.testing.assert_close(y, torch.tensor([[0.3, 0.7, 0.7], [0.0, 1.0, 1.0]]))
    log_mel = torch.zeros(2, 3, 128)
    mixed = mixup(log_mel, log_mel, weights)
    # exp(0) twice: log(0.09 + 0.49)
    torch.testing.assert_close(mixed[0], torch.full((3, 128), math.log(0.58)))
    torch.testing.assert_close(mixed[1], log_mel[1])  # weight 1 leaves a clip alone


def test_mixup_of_waveforms_as_released() -> None:
    """Means off first, the shorter partner zero-padded, the mean of the sum off again."""
    own = np.array([1, 3, 1, 3], np.float32)  # less its mean: -1 1 -1 1
    partner = np.array([6, 2], np.float32)  # less its mean: 2 -2, then nothing
    mixed = mixup_waveforms(own, partner, 0.75)
    np.testing.assert_allclose(mixed, [-0.75 + 0.5, 0.75 - 0.5, -0.75, 0.75], atol=1e-6)
    longer = mixup_waveforms(own[:2], np.array([4, 0, 2, 2], np.float32), 0.5)  # 2 -2 | cut
    np.testing.assert_allclose(longer, [0.5, -0.5], atol=1e-6)


def test_moving_a_waveform_is_a_circle_and_decibels() -> None:
    moved = move_waveform(np.array([1, 2, 3, 4], np.float32), 0.5, 20.0)
    np.testing.assert_allclose(moved, [30, 40, 10, 20], rtol=1e-6)


def test_spec_augment_masks_one_band_and_one_stretch_with_zero_log_mel() -> None:
    bands, stretches = torch.tensor([[10, 5], [0, 0]]), torch.tensor([[0, 30], [290, 10]])
    hidden = spec_augment(torch.ones(2, 300, 128), bands, stretches) == 0
    expected = torch.zeros(2, 300, 128, dtype=torch.bool)
    expected[0, :, 10:15] = True
    expected[0, :30] = True
    expected[1, 290:] = True
    assert torch.equal(hidden, expected)
    shown = FRONTEND.normalise(torch.zeros(1))
    assert float(shown) == pytest.approx(0.46703, abs=1e-5)  # as in the official loader


def test_rolling_moves_frames_and_loses_none() -> None:
    x = torch.arange(50.0)[None, :, None].expand(3, 50, 128).contiguous()
    rolled = roll(x, torch.tensor([0.0, 0.1, 0.98]))
    for row, shift in zip(rolled[:, :, 0], (0, 5, 49), strict=True):
        assert torch.equal(row, torch.roll(torch.arange(50.0), shift))


def test_gain_is_in_decibels_of_power_and_keeps_the_floor() -> None:
    louder = gain(torch.zeros(2, 1, 4), torch.tensor([10.0, -20.0]))
    torch.testing.assert_close(louder[:, 0, 0], torch.tensor([1.0, -2.0]) * math.log(10))
    quiet = gain(torch.full((1, 1, 1), math.log(EPS)), torch.tensor([-6.0]))
    assert float(quiet) == pytest.approx(math.log(EPS), abs=1e-5)


# --- averages and teachers


def constant(value: float) -> nn.Module:
    module = nn.Linear(2, 1)
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)
    return module


def test_the_mean_of_weights_is_the_plain_mean() -> None:
    mean: dict[str, Tensor] = {}
    for count, value in enumerate((1.0, 2.0, 6.0)):
        mean = add_to_mean(mean, constant(value), count)
    assert torch.equal(mean["weight"], torch.full((1, 2), 3.0))


def test_the_moving_average_follows_by_its_momentum() -> None:
    average = MovingAverage(constant(0.0), 0.9)
    for value in (1.0, 2.0):
        average.update(constant(value))
    assert float(average.network.state_dict()["bias"]) == pytest.approx(0.9 * 0.1 + 0.2)


def test_precomputed_scores_are_mixed_as_labels_are() -> None:
    logits = np.log(np.array([[3.0], [1 / 4]], np.float32))  # probabilities 3/4 and 1/5
    step = BatchPlanner(
        recipe(batch_size=2, mixup_rate=1.0),
        SparseLabels.from_dense(np.eye(2, dtype=np.float32)),
        frames=8,
        mels=8,
    )[0]
    wanted = torch.sigmoid(PrecomputedTeacher([logits])(torch.zeros(2, 8, 8), step))[:, 0].numpy()
    chance = np.array([0.75, 0.2])
    expected = step.weights * chance[step.rows] + (1 - step.weights) * chance[step.partners]
    np.testing.assert_allclose(wanted, expected, rtol=1e-5)


# --- recipes


@pytest.mark.parametrize("path", sorted(cards_folder("models").glob("recipes/*.toml")))
def test_every_shipped_recipe_parses(path: Path) -> None:
    assert read_recipe(path.stem).name == path.stem


@pytest.mark.parametrize("path", sorted(cards_folder("models").glob("recipes/*.toml")))
def test_every_shipped_recipe_names_models_that_fit(path: Path) -> None:
    """What it trains, starts from and is taught by: of one family, of the same labels."""
    recipe = read_recipe(path.stem)
    card = trained_card(recipe)
    labels = vocabulary(card.labels_source)
    for teacher in set(recipe.teacher) - {"ema"}:
        assert vocabulary(find_model(teacher)[0].labels_source).ids == labels.ids
    if recipe.start not in ("", "imagenet"):
        start, weights = find_model(recipe.start)
        assert weights
        assert start.adapter == card.adapter
        assert start.config == card.config


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


def test_a_recipe_without_a_model_or_clips_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('train = "t"\n')
    with pytest.raises(NiahError, match="key 'model' is missing"):
        read_recipe(path)
    with pytest.raises(NiahError, match="'as20k-dass-small' names no clips: give --train MANIFEST"):
        train_recipe("as20k-dass-small", tmp_path / "out", train="t.csv", device="cpu")


def test_settings_replace_keys() -> None:
    changed = with_settings(recipe(), ["epochs=3", "learning_rate=1e-4", "model=dass-nano"])
    assert (changed.epochs, changed.learning_rate, changed.model) == (3, 1e-4, "dass-nano")
    nested = with_settings(recipe(config={"depth": 2}), ["config.width=8", "teacher=ast"])
    assert (nested.config, nested.teacher) == ({"depth": 2, "width": 8}, ("ast",))
    for setting, told in (("epoch=3", "--set: unknown key 'epoch'"), ("epochs", "key=value")):
        with pytest.raises(NiahError, match=told):
            with_settings(recipe(), [setting])
