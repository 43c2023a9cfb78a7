"""Recall at a number of false alarms: thresholds, resampling, and the rates that hours can resolve."""

import re
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from niah.errors import NiahError
from niah.metrics.average_precision import Float64
from niah.metrics.draws import drawn, group_indices, left_out
from niah.metrics.poisson import hours_needed, rate_interval
from niah.metrics.recall_at_alarms import recall_at_alarms
from tests.conftest import REPOSITORY


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


def test_fresh_scenes_have_one_alarm_more_than_those_that_set_the_threshold() -> None:
    """(a + 1) n / (n + 1) of n scenes, by the order of 2 n alike ones: docs/false-alarms.md."""
    random, n, allowed = np.random.default_rng(0), 100, 4
    fitted = -np.sort(-random.normal(size=(4000, n)), axis=1)[:, allowed]
    alarms = (random.normal(size=(4000, n)) > fitted[:, None]).sum(axis=1).mean()
    assert alarms == pytest.approx((allowed + 1) * n / (n + 1), abs=0.15)
    assert "expect `a + 1` alarms, not `a`: 5 where 4 were allowed" in (
        REPOSITORY / "docs" / "false-alarms.md"
    ).read_text("utf-8")


def test_a_tie_with_an_alarm_is_a_miss_and_classes_that_do_not_count_are_left_out() -> None:
    targets = np.array([[True, True]] * 4)
    free = np.array([[1.0, 9.0]] * 4)
    logits = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    (both,) = recall_at_alarms(targets, logits, free, [0])
    assert both.estimate == 0.25
    (first,) = recall_at_alarms(targets, logits, free, [0], counted=np.array([True, False]))
    assert first.estimate == 0.5


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
    known = np.sort(free, axis=0)[-4][None]  # the fourth highest of each class
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


LISTS = 200  # simulated, a world
STRENGTHS = {  # of the needle in the worlds of the page, and what classes share of their alarms
    "100 x 10 | 3.7": (2.5, 0.0),
    "100 x 10 | 10": (2.5, 0.0),
    "300 x 20 | 5": (3.0, 0.0),
    "300 x 20 | 30": (1.5, 0.0),
    "100 x 25 | 4": (4.0, 0.0),
    "200 x 3 | 3.7": (2.0, 0.0),
    "200 x 10, classes that alarm together (correlation .8) | 5": (2.5, 0.8),
}


def stated() -> dict[str, tuple[float, ...]]:
    """Recall, coverage and width in the table of docs/false-alarms.md, by world."""
    page = (REPOSITORY / "docs" / "false-alarms.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+ x [^|]+ \| [\d.]+) ((?:\| 1?\.\d{3} )+)\|$", page, re.M)
    return {name: tuple(map(float, re.findall(r"1?\.\d{3}", cells))) for name, cells in rows}


def strengths_of(world: str) -> tuple[int, int, float, Float64, float]:
    """Return clips, classes, the allowed alarms, each class's strength, and the recall at exactly that rate."""
    clips, classes, allowed = map(float, re.findall(r"^(\d+) x (\d+).*\| ([\d.]+)$", world)[0])
    middle, normal = STRENGTHS[world][0], NormalDist()
    strengths = np.linspace(middle - 0.7, middle + 0.7, int(classes))
    edge = normal.inv_cdf(1 - allowed / clips)
    truth = np.mean([1 - normal.cdf(edge - each) for each in strengths])
    return int(clips), int(classes), allowed, strengths, float(truth)


def test_the_page_has_every_world_with_its_recall() -> None:
    """Coverage of none is below 95 % by more than a standard error, as the page says."""
    rows = stated()
    assert list(rows) == list(STRENGTHS)
    for name, (recall, coverage, _) in rows.items():
        assert recall == pytest.approx(strengths_of(name)[-1], abs=5e-4)
        assert coverage >= 0.95 - 0.0155


def covered(name: str) -> tuple[int, float]:
    """Count the lists of `LISTS` whose interval holds the recall at the true rate; and the intervals' mean width.

    Normal logits, so that the recall at exactly that rate is known.
    """
    clips, classes, allowed, strengths, truth = strengths_of(name)
    shared, rng = STRENGTHS[name][1], np.random.default_rng(0)

    def noise() -> Float64:
        own: Float64 = rng.normal(size=(clips, classes))
        if not shared:
            return own
        together: Float64 = rng.normal(size=(clips, 1))
        return np.asarray(shared**0.5 * together + (1 - shared) ** 0.5 * own)

    inside, widths = [], []
    for _ in range(LISTS):
        targets = np.eye(classes, dtype=bool)[rng.integers(classes, size=clips)]
        free, logits = noise(), noise() + targets * strengths
        (score,) = recall_at_alarms(targets, logits, free, [int(allowed)], draws=300)
        low, high = score.unit_interval()
        inside.append(low <= truth <= high)
        widths.append(high - low)
    return sum(inside), float(np.mean(widths))


@pytest.mark.slow
@pytest.mark.parametrize("name", STRENGTHS)
def test_intervals_hold_the_recall_at_the_true_rate_as_often_as_the_page_says(name: str) -> None:
    truth = strengths_of(name)[-1]
    inside, width = covered(name)
    print(f"| {name} | {truth:.3f} | {inside / LISTS:.3f} | {width:.3f} |")
    assert (truth, inside / LISTS, width) == pytest.approx(stated()[name], abs=0.003)
