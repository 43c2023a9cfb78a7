"""Recall at a number of false alarms: thresholds, resampling, and the rates that hours can resolve."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from niah.errors import NiahError
from niah.metrics.average_precision import Float64
from niah.metrics.draws import drawn, group_indices, left_out
from niah.metrics.poisson import hours_needed, rate_interval
from niah.metrics.recall_at_alarms import class_thresholds, recall_at_alarms


@pytest.mark.parametrize(
    ("events", "low", "high"),
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (5, 1.6235, 11.6683), (100, 81.364, 121.627)],
)
def test_the_interval_of_a_rate_is_garwoods(events: int, low: float, high: float) -> None:
    assert rate_interval(events, 1.0) == pytest.approx((low, high), abs=2e-3)
    assert rate_interval(events, 8.0) == pytest.approx((low / 8, high / 8), abs=3e-4)


def test_a_rate_is_resolved_where_its_expected_number_excludes_none() -> None:
    assert hours_needed(0.5) == pytest.approx(3.6889 / 0.5, abs=1e-3)
    assert rate_interval(0, hours_needed(0.5))[1] == pytest.approx(0.5)
    for wrong in (
        lambda: hours_needed(0.0),
        lambda: rate_interval(-1, 1),
        lambda: rate_interval(1, 0),
    ):
        with pytest.raises(NiahError):
            wrong()


def world(clips: int = 60, classes: int = 5, seed: int = 0) -> tuple[Any, Any, Any]:
    """Targets, logits with a needle 2 standard deviations up, and needle-free logits."""
    rng = np.random.default_rng(seed)
    targets = rng.random((clips, classes)) < 0.3
    logits = (rng.normal(size=targets.shape) + 2.0 * targets).round(1)  # with ties
    return targets, logits, rng.normal(size=targets.shape).round(1)


def plain_recall(targets: Any, logits: Any, free: Any, allowed: int) -> float:
    """The definition, class by class."""
    recalls = []
    for c in np.flatnonzero(targets.any(axis=0)):
        threshold = sorted(free[:, c], reverse=True)[allowed]
        assert (free[:, c] > threshold).sum() <= allowed
        recalls.append((logits[targets[:, c], c] > threshold).mean())
    return float(np.mean(recalls))


@pytest.mark.parametrize("grouped", [False, True])
def test_every_draw_is_the_recall_of_the_list_that_was_drawn(grouped: bool) -> None:
    targets, logits, free = world()
    names = [f"recording {i // 3 if grouped else i}" for i in range(60)]
    allowed = [0, 4, 30]
    scores = recall_at_alarms(targets, logits, free, allowed, groups=names, draws=12, seed=3)
    of = group_indices(names, 60)
    for score, a in zip(scores, allowed, strict=True):
        assert score.estimate == pytest.approx(plain_recall(targets, logits, free, a))
        for values, lists in (
            (score.drawn, np.concatenate([*drawn(of, 12, 12, 3)], axis=1)),
            (score.left_out, np.concatenate([*left_out(of, 64)], axis=1)),
        ):
            assert len(values) == lists.shape[1]
            for value, counts in zip(values, lists.T, strict=True):
                rows = np.repeat(np.arange(60), counts)
                limit = round(a * len(rows) / 60)
                expected = plain_recall(targets[rows], logits[rows], free[rows], limit)
                assert value == pytest.approx(expected)


def test_a_tie_with_an_alarm_is_a_miss_and_classes_that_do_not_count_are_left_out() -> None:
    targets = np.array([[True, True]] * 4)
    free = np.array([[1.0, 9.0]] * 4)
    logits = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    (both,) = recall_at_alarms(targets, logits, free, [0])
    assert both.estimate == 0.25
    (first,) = recall_at_alarms(targets, logits, free, [0], counted=np.array([True, False]))
    assert first.estimate == 0.5
    np.testing.assert_array_equal(class_thresholds(free, 3), [1.0, 9.0])


def test_the_one_scene_of_a_constant_is_a_threshold_without_spread() -> None:
    targets, logits, free = world()
    (score,) = recall_at_alarms(targets, logits, free[:1], [0])
    above = (logits > free[0]) & targets
    assert score.estimate == pytest.approx((above.sum(axis=0) / targets.sum(axis=0)).mean())
    (perfect,) = recall_at_alarms(targets, logits + 99, free, [0])
    assert perfect.unit_interval()[0] < 1.0 == perfect.unit_interval()[1]  # none of zero width


def test_thresholds_of_few_scenes_widen_the_interval() -> None:
    """The same scenes with a needle, with thresholds that are known and with those of 60 scenes."""
    targets, logits, free = world(seed=2)
    known = class_thresholds(free, 3)[None]
    widths = []
    for scenes, allowed in ((known, 0), (free, 3)):
        (score,) = recall_at_alarms(targets, logits, scenes, [allowed], draws=300)
        low, high = score.unit_interval()
        assert low < score.estimate < high
        widths.append(high - low)
    assert widths[1] > 1.2 * widths[0]


def test_wrong_shapes_and_impossible_numbers_are_refused() -> None:
    targets, logits, free = world()
    with pytest.raises(NiahError, match="needle-free logits"):
        recall_at_alarms(targets, logits, free[:5], [0])
    with pytest.raises(NiahError, match="0 to 59"):
        recall_at_alarms(targets, logits, free, [60])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clips", "classes", "allowed", "strength"),
    [(100, 10, 3.7, 2.5), (100, 10, 10, 2.5), (300, 20, 30, 1.5), (200, 3, 3.7, 2.0)],
)
def test_nineteen_of_twenty_intervals_hold_the_recall_at_the_true_rate(
    clips: int, classes: int, allowed: float, strength: float
) -> None:
    """Normal logits, so that the recall at exactly that rate is known."""
    normal = NormalDist()
    strengths = np.linspace(strength - 0.7, strength + 0.7, classes)
    edge = normal.inv_cdf(1 - allowed / clips)
    truth = np.mean([1 - normal.cdf(edge - each) for each in strengths])
    rng = np.random.default_rng(0)
    inside: list[bool] = []
    for _ in range(200):
        targets = np.eye(classes, dtype=bool)[rng.integers(classes, size=clips)]
        free: Float64 = rng.normal(size=targets.shape)
        logits = rng.normal(size=targets.shape) + targets * strengths
        (score,) = recall_at_alarms(targets, logits, free, [int(allowed)], draws=300)
        low, high = score.unit_interval()
        inside.append(bool(low <= truth <= high))
    assert 0.91 <= np.mean(inside) <= 0.995
