"""Plans of steps: sampling, mixup weights, masks."""

from typing import Any

import numpy as np
import pytest

from niah.training.data.batch_plan import BatchPlanner, epoch_order, sampling_weights
from niah.training.data.labels import SparseLabels
from tests.helpers.tiny_training import recipe


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


def planned(**options: Any) -> BatchPlanner:
    targets = np.eye(3, dtype=np.float32)[np.arange(12_000) % 3]
    return BatchPlanner(
        recipe(**{"batch_size": 4000, "epochs": 2, **options}),
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
    options = {"gain_db": 6.0, "mixup_rate": 0.5}
    forwards, single = planned(**options), planned(**options)
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
