"""Learning rates and weight decay against DASS's recipe (arXiv 2407.04082, `run.sh`, `traintest.py`)."""

import math

import pytest
import torch
from torch import nn

from niah.training.optimiser import learning_rate, make_optimiser, parameter_groups
from tests.helpers.tiny_training import recipe


def test_warm_up_is_linear() -> None:
    small_recipe = recipe(learning_rate=1.0, warmup_steps=4, epochs=2)
    rates = [learning_rate(small_recipe, step, 10) for step in range(5)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_the_cosine_ends_at_nothing() -> None:
    small_recipe = recipe(learning_rate=2.0, warmup_steps=4, epochs=2)
    assert learning_rate(small_recipe, 4, 10) == 2.0
    assert learning_rate(small_recipe, 12, 10) == pytest.approx(1.0)  # half way from 4 to 20
    assert learning_rate(small_recipe, 19, 10) == pytest.approx(1 + math.cos(math.pi * 15 / 16))
    assert learning_rate(small_recipe, 20, 10) == pytest.approx(0, abs=1e-12)
    rates = [learning_rate(small_recipe, step, 10) for step in range(4, 21)]
    assert rates == sorted(rates, reverse=True)


def test_milestones_halve_as_in_the_recipe_of_dass() -> None:
    """Five epochs, milestones 2, 3, 4: lr, lr, lr/2, lr/4, lr/8."""
    small_recipe = recipe(
        learning_rate=1e-4,
        warmup_steps=0,
        epochs=5,
        schedule="milestones",
        milestones=(2, 3, 4, 5),
    )
    for step_in_epoch in (0, 6):
        rates = [learning_rate(small_recipe, 7 * epoch + step_in_epoch, 7) for epoch in range(5)]
        assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5])


def test_the_released_warm_up_rises_in_stairs_from_nothing() -> None:
    """Every 50 of 1000 steps the rate becomes step / 1000 of itself, as in traintest.py."""
    small_recipe = recipe(
        learning_rate=1e-4, warmup_steps=1000, warmup_stair=50, schedule="milestones"
    )
    rates = [learning_rate(small_recipe, step, 10_000) for step in (0, 49, 50, 99, 100, 999, 1000)]
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
    small_recipe = recipe(
        optimiser="adam", learning_rate=0.1, betas=[0.95, 0.999], weight_decay=0.5
    )
    optimiser = make_optimiser(small_recipe, module)
    (0 * module(torch.ones(1, 1))).sum().backward()
    optimiser.step()
    assert float(module.weight.detach()) == pytest.approx(1.9, abs=1e-5)
    assert float(module.bias.detach()) == pytest.approx(-1.9, abs=1e-5)
