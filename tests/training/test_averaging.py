"""Averages of weights, and targets of teachers under mixup."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from niah.training.averaging import MovingAverage, add_to_mean
from niah.training.data.batch_plan import BatchPlanner
from niah.training.data.labels import SparseLabels
from niah.training.teachers import PrecomputedTeacher
from tests.helpers.tiny_training import recipe


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
