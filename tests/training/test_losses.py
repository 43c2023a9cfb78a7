"""Losses against numbers worked out by hand, as DASS's `traintest.py` has them (arXiv 2407.04082)."""

import math

import pytest
import torch

from niah.training.losses import (
    bce_loss,
    bce_softmax_loss,
    cosine_loss,
    kl_loss,
    l2_loss,
    l2c_loss,
    tagging_loss,
)


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
    """Losses of DASS's traintest.py: no temperature but in the cross-entropies, a sigmoid of the cosine."""
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
