"""Intervals hold the truth as often as they say: simulated worlds whose truth is known.

The truth is the expected score on a list of so many clips, from thousands of lists of their own. Further lists each get
the intervals that are printed; 95 % of them should hold it, and 93 to 97 % must, where docs/intervals.md does not name
the world as one where they are wider. The measured shares are the page's: `python -m tests.metrics.test_coverage`
prints them again.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from niah.metrics import resampling
from niah.metrics.average_precision import (
    Float64,
    Scores,
    Targets,
    average_precision,
    chance_mAP,
    mean_average_precision,
)
from niah.metrics.drop import drop, drop_interval, intervals
from niah.metrics.effective_length import effective_length
from niah.metrics.proportion import proportion_interval
from niah.metrics.resampling import Resampled, paired, resample
from tests.metrics.worlds import WORLDS, Sample, some_labels, unheard

PAGE = Path(__file__).resolve().parents[2] / "docs" / "intervals.md"
QUANTITIES = ("mAP", "mAP at 10 s", "drop", "adjusted", "difference of mAP", "difference of shares")
HIGH_ALONE = (  # a 10 s score above 0.92
    *("one label, 80 x 10", "one label, 80 x 10, even", "one label, 400 x 50"),
    *("15 % unheard, 80 x 20", "15 % unheard, 200 x 20", "15 % unheard, 1000 x 50"),
)
FRESH = 50_000_000  # first seed of lists that were drawn after the constants had been chosen
TABLES = {"### Lists of the choice": 0, "### Fresh lists": FRESH}
SMALL, LARGE = 10_000, 100_000  # clips x classes from which fewer lists must do
DRAWS = 400
Bounds = tuple[float, float]


def lists_of(name: str, first: int = 0) -> tuple[int, int]:
    """How many lists of a world are given intervals, and how many tell the truth."""
    clips, classes = map(int, re.findall(r"\d+ x \d+", name)[0].split(" x "))
    if clips * classes < SMALL:
        return 1200, 3000
    return (500, 1500) if clips * classes < LARGE else (500 if first else 250, 600)


def mAP(targets: Targets, scores: Scores) -> float:  # noqa: N802
    """mAP of scores without ties, all classes at once."""
    has = targets.any(axis=0)
    order = np.argsort(-scores[:, has], axis=0)
    hits = np.take_along_axis(targets[:, has], order, axis=0)
    found = np.cumsum(hits, axis=0)
    precision = found / np.arange(1, len(targets) + 1)[:, None]
    return float(((precision * hits).sum(axis=0) / found[-1]).mean())


def scores_of(sample: Sample) -> tuple[Scores, Scores, Scores, Scores]:
    return sample.scene, sample.alone, sample.other_scene, sample.other_alone


def quantities(sample: Sample) -> Float64:
    """Every quantity of `QUANTITIES` on one list."""
    m, b, n, a = (mAP(sample.targets, each) for each in scores_of(sample))
    c = chance_mAP(sample.targets)
    return np.array([m, b, 1 - m / b, (m - c) / (b - c), m - n, m / b - n / a])


def bounds(sample: Sample, seed: int) -> Iterator[Bounds]:
    """The printed interval of every quantity of one list."""
    sets = list(scores_of(sample))
    own, base, other, other_base = resample(
        sample.targets, sets, draws=DRAWS, seed=seed, groups=sample.groups
    )
    cell = intervals(own, base, chance_mAP(sample.targets))
    yield cell.mAP_lo, cell.mAP_hi
    yield base.unit_interval()
    yield cell.drop_lo, cell.drop_hi
    yield cell.adjusted_lo, cell.adjusted_hi
    yield paired(lambda m, n: m - n, own, other).interval()
    shares = [paired(lambda m, b: m / b, *pair) for pair in ((own, base), (other, other_base))]
    yield paired(lambda s, t: s - t, *shares).interval()


def coverage(name: str, first: int = 0) -> Float64:
    """Share of lists whose interval holds the truth, of every quantity; lists from seed `first` on."""
    world, (lists, of_truth) = WORLDS[name], lists_of(name, first)
    others = range(first + 10**6, first + 10**6 + of_truth)
    truth = np.mean([quantities(world(seed)) for seed in others], axis=0)
    held = np.zeros(len(QUANTITIES))
    for seed in range(first, first + lists):
        low, high = np.array(list(bounds(world(seed), seed))).T
        held += (low <= truth) & (truth <= high)
    return np.asarray(held / lists)


def stated(heading: str) -> dict[str, list[float]]:
    """The shares that a table of docs/intervals.md states, by world."""
    part = PAGE.read_text().partition(f"\n{heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| ([^|]+ x [^|]+) \|((?: 1?\.\d{3} \|)+)$", part, re.M)
    return {name: [float(x) for x in re.findall(r"1?\.\d{3}", cells)] for name, cells in rows}


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled kernel, which is faster for thousands of lists and equal to the plain one."""
    monkeypatch.setattr(resampling, "COMPILE_ABOVE", 10**6)


@pytest.mark.parametrize("heading", TABLES)
def test_the_page_has_every_world_within_93_to_97_but_for_those_near_the_top(heading: str) -> None:
    """What is outside by two standard errors is wider than 95 %, never narrower, and of a score near 1."""
    rows = stated(heading)
    assert list(rows) == list(WORLDS)
    for name, shares in rows.items():
        assert len(shares) == len(QUANTITIES)
        error = 2 * (0.95 * 0.05 / lists_of(name, TABLES[heading])[0]) ** 0.5
        assert min(shares) >= 0.93 - error, name
        if not name.startswith(("near the top", "at the top")):
            if name in HIGH_ALONE:
                shares.pop(QUANTITIES.index("mAP at 10 s"))
            assert max(shares) <= 0.97 + error, name


def test_the_page_says_how_many_lists_there_are_and_how_often_they_miss() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    lists = [lists_of(name)[0] for name in ("80 x 20", "1000 x 20", "1000 x 200")]
    said = "{} lists a world, {} where lists are large ({} of the largest in the first table), {} draws"
    assert said.format(*lists, DRAWS) in page
    errors = " or ".join(", ".join(f"{(0.0475 / n) ** 0.5:.3f}" for n in lists).rsplit(", ", 1))
    assert f"The standard error of a share is {errors}" in page
    drop = stated("### Fresh lists")["near the top, 80 x 10, .9995"][QUANTITIES.index("drop")]
    assert f"the drop misses {100 * (1 - drop):.1f} %" in page
    assert f"every true rate above {100 * proportion_interval(30, 30)[0]:.1f} %" in page


@pytest.mark.slow
def test_perfect_lists_near_the_top_are_as_many_as_the_page_says() -> None:
    world = WORLDS["near the top, 80 x 10, .9995"]
    samples = map(world, range(FRESH, FRESH + 1200))
    perfect = np.mean([mAP(each.targets, each.alone) == 1.0 for each in samples])
    page = " ".join(PAGE.read_text("utf-8").split())
    assert f"{100 * perfect:.0f} % of the 10 s lists are perfect" in page
    weak = [WORLDS["one label, 80 x 10, weak"](seed) for seed in range(300)]
    mean = np.mean([mAP(each.targets, each.alone) for each in weak])
    assert mean == pytest.approx(0.67, abs=0.01)


def test_ranks_of_all_classes_at_once_are_average_precision() -> None:
    sample = WORLDS["few labels, 80 x 20"](0)
    expected = mean_average_precision(average_precision(sample.targets, sample.scene))
    assert mAP(sample.targets, sample.scene) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("heading", TABLES)
def test_intervals_hold_the_truth_as_often_as_the_page_says(heading: str, name: str) -> None:
    measured = coverage(name, TABLES[heading])
    print(name, measured.round(3))
    np.testing.assert_allclose(measured, stated(heading)[name], atol=0.005)


@pytest.mark.slow
def test_effective_length_covers() -> None:
    """A model that fades over five lengths; the true L50 is that of the expected curve."""
    lengths, gains = (10.0, 30.0, 100.0, 300.0, 1000.0), (4.0, 2.8, 1.9, 1.2, 0.7)

    def fading(seed: int) -> tuple[Targets, list[Scores]]:
        random = np.random.default_rng(seed)
        targets = random.integers(10, size=(80, 1)) == np.arange(10)
        harder = 0.7 * random.normal(size=(80, 1))
        noise = random.normal(size=targets.shape)
        fresh = random.normal(size=(5, *targets.shape))
        return targets, [
            targets * (gain + harder) + 0.7 * (noise + other)
            for gain, other in zip(gains, fresh, strict=True)
        ]

    def curve(seed: int) -> Float64:
        targets, sets = fading(seed)
        maps = np.array([mAP(targets, each) for each in sets])
        return np.asarray(maps / maps[0])

    expected = np.mean([curve(seed) for seed in range(10**6, 10**6 + 3000)], axis=0)
    true_length = effective_length(lengths, expected.tolist(), 0.5).at.length_s
    held = 0
    for seed in range(500):
        targets, sets = fading(seed)
        base, *longer = resample(targets, sets, draws=DRAWS, seed=seed)
        falls = [drop(own, base) for own in (base, *longer)]
        limits = [drop_interval(each) for each in falls]
        band = [1 - high for _, high in limits], [1 - low for low, _ in limits]
        found = effective_length(lengths, [1 - each.estimate for each in falls], 0.5, band)
        assert found.low is not None
        assert found.high is not None
        reached = found.high.censored == ">=" or true_length <= found.high.length_s
        held += found.low.length_s <= true_length and reached
    print(f"L50, true {true_length:.0f} s: {held / 500:.3f}")
    assert 0.93 <= held / 500 <= 0.97


def differences(name: str, worse: float, lists: int) -> Iterator[Resampled]:
    """The difference of two systems that are equally good but for `worse`, each with noise of its own."""
    for seed in range(lists):
        random = np.random.default_rng(seed + 10**7)
        if name == "some labels":
            sample = some_labels(100, (3.5, 2.0, 2.0 - worse))(seed)
            one, other = sample.scene, sample.other_scene
        else:  # each misses 15 % of the clips, most of them the same
            sample = unheard(200, 20)(seed)
            deaf = [random.random(200) < share for share in (0.1, 0.05, 0.05 + worse)]
            one, other = (
                sample.alone - 5.0 * sample.targets * (deaf[0] | each)[:, None] for each in deaf[1:]
            )
        yield paired(lambda a, b: a - b, *resample(sample.targets, [one, other], DRAWS, seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["some labels", "unheard"])
def test_p_values_are_fair(name: str) -> None:
    """Two equally good models: 3 to 7 % of differences are below 0.05; of a true one, most are."""
    size = {"some labels": 1.0, "unheard": 0.2}[name]
    false = np.mean([each.p_value() < 0.05 for each in differences(name, 0.0, 1000)])
    found = np.mean([each.p_value() < 0.05 for each in differences(name, size, 100)])
    print(f"{name}: p < 0.05 without a difference: {false:.3f}; with one: {found:.3f}")
    assert 0.03 <= false <= 0.07
    assert found > 0.9


if __name__ == "__main__":
    resampling.COMPILE_ABOVE = 10**6
    for heading, first in TABLES.items():
        print(heading)
        for each in sys.argv[1:] or WORLDS:
            shares = (f"{x:.3f}"[1:] if x < 1 else "1.000" for x in coverage(each, first))
            print(f"| {each} | " + " | ".join(shares) + " |", flush=True)
