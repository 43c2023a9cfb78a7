"""The training loop: what it minimises, learns, averages and teaches itself."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from niah.errors import NiahError
from niah.training.loop import train
from niah.training.processes import Processes
from niah.training.validation import validate
from tests.helpers.tiny_training import (
    FRONTEND,
    PLAIN,
    clips,
    equal,
    failing,
    network,
    recipe,
    weights_of,
)


def test_half_of_each_loss_is_trained_on(tmp_path: Path) -> None:
    """The logged loss of one step is 0.5 BCE + 0.5 KL of the network as it was."""
    data = clips(6)
    targets = torch.from_numpy(data.targets)
    features = FRONTEND.normalise(torch.from_numpy(data.log_mel.astype(np.float32)))
    before = network()(features).detach()
    wanted = before.flip(1) * 2
    small_recipe = recipe(epochs=1, batch_size=6, **PLAIN)
    trained = train(
        small_recipe,
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
    small_recipe = recipe(epochs=60, batch_size=6, learning_rate=0.03, **PLAIN)
    trained = train(small_recipe, network(), FRONTEND, data, data, tmp_path)
    lines = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert float(lines[0]["loss"]) > 0.3
    assert trained.log["loss"] < 0.02
    assert trained.log["validation_mAP"] == 1
    assert [int(line["epoch"]) for line in lines] == list(range(1, 61))


def test_the_average_is_the_plain_mean_of_the_last_epochs(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=3, batch_size=4, average_last=2)
    averaged = train(small_recipe, network(), FRONTEND, data, data, tmp_path / "averaged").state
    with pytest.raises(KeyboardInterrupt):
        train(small_recipe, failing(7, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    second, third = weights_of(tmp_path / "cut"), weights_of(tmp_path / "averaged")
    for key, value in averaged.items():
        torch.testing.assert_close(value, (second[key] + third[key]) / 2)
    last = dataclasses.replace(small_recipe, average_last=1)
    assert equal(train(last, network(), FRONTEND, data, data, tmp_path / "last").state, third)


@pytest.mark.parametrize("accumulate", [3, 4])  # parts of 2; of 1, 2, 1 and 2
def test_parts_of_a_batch_add_up_to_the_batch(tmp_path: Path, accumulate: int) -> None:
    data, whole = clips(), recipe(epochs=2, batch_size=6, **PLAIN)
    one = train(whole, network(), FRONTEND, data, data, tmp_path / "one")
    parts = dataclasses.replace(whole, accumulate=accumulate)
    several = train(parts, network(), FRONTEND, data, data, tmp_path / "several")
    assert several.log["loss"] == pytest.approx(one.log["loss"], rel=1e-5)
    for key, value in one.state.items():
        torch.testing.assert_close(several.state[key], value, rtol=1e-4, atol=1e-5)


def test_patience_ends_a_run_but_never_before_there_is_an_average(tmp_path: Path) -> None:
    """mAP is 1 from the start here, so no epoch is better than the first one that counts."""
    data = clips()
    small_recipe = recipe(
        epochs=9, batch_size=6, learning_rate=1e-4, average_last=5, patience=2, **PLAIN
    )
    first = train(
        dataclasses.replace(small_recipe, learning_rate=0.03),
        network(),
        FRONTEND,
        data,
        data,
        tmp_path / "learnt",
    )
    learnt = network()
    learnt.load_state_dict(first.state)
    trained = train(small_recipe, learnt, FRONTEND, data, data, tmp_path / "patient")
    assert trained.log["validation_mAP"] == 1
    assert trained.log["epoch"] == 7  # averaging begins with epoch 5: best there, then 2 more
    saved = torch.load(tmp_path / "patient" / "checkpoint.pt", weights_only=True)
    assert saved["standing"]["averaged_epochs"] == 3
    again = train(small_recipe, network(), FRONTEND, data, data, tmp_path / "patient")
    assert again.log["epoch"] == 7
    assert equal(again.state, trained.state)


def test_a_student_can_be_its_own_teacher(tmp_path: Path) -> None:
    data = clips()
    small_recipe = recipe(
        epochs=3, batch_size=4, teacher=("ema",), ema_momentum=0.5, distillation="l2"
    )
    alone = dataclasses.replace(small_recipe, teacher=())
    first = train(small_recipe, network(), FRONTEND, data, data, tmp_path / "own")
    assert not equal(
        first.state, train(alone, network(), FRONTEND, data, data, tmp_path / "alone").state
    )
    with pytest.raises(KeyboardInterrupt):
        train(small_recipe, failing(8, KeyboardInterrupt), FRONTEND, data, data, tmp_path / "cut")
    resumed = train(small_recipe, network(seed=9), FRONTEND, data, data, tmp_path / "cut")
    assert equal(first.state, resumed.state)  # the moving average is in the checkpoint too


def test_bfloat16_trains_and_float16_asks_for_a_gpu(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=20, batch_size=6, learning_rate=0.03, **PLAIN)
    half = dataclasses.replace(small_recipe, precision="bfloat16")
    trained = train(half, network(), FRONTEND, data, data, tmp_path / "bfloat16")
    full = train(small_recipe, network(), FRONTEND, data, data, tmp_path / "float32")
    assert trained.log["loss"] == pytest.approx(full.log["loss"], rel=0.3)
    assert trained.log["loss"] != full.log["loss"]
    with pytest.raises(NiahError, match="precision float16 needs a GPU"):
        train(
            dataclasses.replace(small_recipe, precision="float16"),
            network(),
            FRONTEND,
            data,
            data,
            tmp_path,
        )


def test_validation_in_bfloat16_does_not_tie_clips() -> None:
    """With large biases, differences between clips are below a step of bfloat16."""
    head = torch.nn.Linear(3, 3)
    made = torch.nn.Sequential(network(), head)
    with torch.no_grad():
        head.bias.fill_(100.0)
    scores = [
        validate(
            made, FRONTEND, clips(12), Processes(recipe(precision=precision), torch.device("cpu"))
        )
        for precision in ("bfloat16", "float32")
    ]
    assert scores[0] == scores[1]
    assert scores[0]["validation_auc"] != 0.5


@pytest.mark.parametrize("warmup", [2, 3])
def test_a_warm_up_that_never_ends_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], warmup: int
) -> None:
    small_recipe = recipe(**{**PLAIN, "epochs": 2, "batch_size": 12, "warmup_steps": warmup})
    train(small_recipe, network(), FRONTEND, clips(), clips(), tmp_path)
    noted = "warmup_steps = 3 are more than all steps, 2: learning_rate is not reached"
    assert (noted in capsys.readouterr().err) is (warmup > 2)
