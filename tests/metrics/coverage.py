"""Simulations of intervals and tests in worlds whose truth is known: how often an interval holds it.

The truth is the expected score on a list of that length, from lists of their own. Further lists each get the
intervals that are printed. `scripts/interval_coverage.py` writes what comes out to results/coverage, and the slow tests
repeat it. `serial` makes thousands of small lists cheap.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from niah.metrics import resampling
from niah.metrics.average_precision import Float64, Scores, Targets, chance_mAP
from niah.metrics.drop import drop, drop_interval, intervals
from niah.metrics.effective_length import effective_length
from niah.metrics.hit_rate import hit_rate
from niah.metrics.resampling import Resampled, paired, resample
from tests.metrics.worlds import WORLDS, Sample, World, families, near_chance, some_labels, unheard

QUANTITIES = ("mAP", "mAP at 10 s", "drop", "adjusted", "difference of mAP", "difference of shares")
TABLES = {  # first seed: that of fresh lists were drawn after the constants had been chosen
    "lists of the choice": 0,
    "fresh lists": 50_000_000,
}
FRESH = TABLES["fresh lists"]
FURTHER = {
    "long tail, 1000 x 200": (200_000_000, 1500)
}  # first seed and lists where most is needed
SMALL = 10_000  # clips x classes from which fewer lists must do
DRAWS = 400
FADING, FADING_LISTS = (10.0, 30.0, 100.0, 300.0, 1000.0), 500  # lengths of the world of L50
EQUAL = {
    "some labels": 1.0,
    "unheard": 0.2,
}  # worlds of two equal systems; how much worse one is made
FEW_RECORDINGS, FEW_LISTS = (3, 6, 10, 20), 600
NEAR_CHANCE, SHOWN = {".18": 0.25, ".20": 0.35, ".23": 0.5, ".30": 0.8}, 600  # gain by 10 s mAP
UNEVEN, UNEVEN_LISTS = (40, *[1] * 19), 3000  # pairs of each recording
Bounds = tuple[float, float]


class SetAttribute(Protocol):
    """`setattr` or pytest's `monkeypatch.setattr`."""

    def __call__(self, target: object, name: str, value: object, /) -> None: ...


def serial(set_attribute: SetAttribute) -> None:
    """Resample by the compiled kernels, equal to the plain ones, and without threads."""
    set_attribute(resampling, "COMPILE_ABOVE", 0)
    set_attribute(resampling, "THREADS", 1)


def lists_of(name: str) -> tuple[int, int]:
    """Return how many lists of a world get intervals, and how many give the truth."""
    clips, classes = map(int, re.findall(r"\d+ x \d+", name)[0].split(" x "))
    if clips * classes < SMALL:
        return 1200, 3000
    return 500, 1500 if clips * classes < 10 * SMALL else 600


def mAP(targets: Targets, scores: Scores) -> float:  # noqa: N802
    """mAP of scores without ties, all classes at once."""
    has = targets.any(axis=0)
    of_class = np.ascontiguousarray(targets.T[has])
    order = np.argsort(-np.ascontiguousarray(scores.T[has]), axis=1)
    classes, ranks = np.nonzero(np.take_along_axis(of_class, order, axis=1))  # class by class
    positives = np.bincount(classes)
    before = np.repeat(np.cumsum(positives) - positives, positives)
    precision = (np.arange(len(ranks)) - before + 1) / (ranks + 1)
    return float((np.bincount(classes, precision) / positives).mean())


def scores_of(sample: Sample) -> tuple[Scores, Scores, Scores, Scores]:
    return sample.scene, sample.alone, sample.other_scene, sample.other_alone


def quantities(sample: Sample) -> Float64:
    """Every quantity of `QUANTITIES` on one list."""
    m, b, n, a = (mAP(sample.targets, each) for each in scores_of(sample))
    c = chance_mAP(sample.targets)
    above = (m - c) / (b - c) if b != c else np.nan  # all clips of one class
    return np.array([m, b, 1 - m / b, above, m - n, m / b - n / a])


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


def held(name: str, first: int, lists: int) -> NDArray[np.intp]:
    """Count the lists whose interval holds the truth, for every quantity; lists from seed `first` on."""
    return held_in(WORLDS[name], first, lists, lists_of(name)[1])


def held_with_recordings(number: int) -> int:
    """Count the fresh lists of a few recordings of five clips whose interval of the drop holds the truth."""
    counts = held_in(families(number, 5), FRESH, FEW_LISTS, 3000)
    return int(counts[QUANTITIES.index("drop")])


def held_near_chance(gain: float) -> int:
    """Count the lists whose adjusted share is within its interval, of the first `SHOWN` fresh ones that show one.

    The 10 s score of needles with this gain is little above chance, .145.
    """
    world = near_chance(gain)
    others = map(world, range(FRESH + 10**6, FRESH + 10**6 + 3000))
    m, b, c = np.mean(
        [(mAP(o.targets, o.scene), mAP(o.targets, o.alone), chance_mAP(o.targets)) for o in others],
        axis=0,
    )
    inside: list[bool] = []
    for seed in count(FRESH):
        sample = world(seed)
        own, base = resample(sample.targets, [sample.scene, sample.alone], draws=DRAWS, seed=seed)
        cell = intervals(own, base, chance_mAP(sample.targets))
        if not np.isnan(cell.adjusted):
            inside.append(bool(cell.adjusted_lo <= (m - c) / (b - c) <= cell.adjusted_hi))
        if len(inside) == SHOWN:
            return sum(inside)
    raise AssertionError("unreachable")


def held_hit_rate(rate: float = 0.7, alike: float = 0.3) -> int:
    """Count the lists whose interval of a hit rate holds it; recordings differ, and one has two thirds of the pairs."""
    random = np.random.default_rng(FRESH)
    beta = rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1)
    recordings = np.repeat(np.arange(len(UNEVEN)), UNEVEN)
    inside = 0
    for _ in range(UNEVEN_LISTS):
        of_recording = random.beta(*beta, size=len(UNEVEN))
        hits = random.random(recordings.size) < of_recording[recordings]
        found = hit_rate([*map(str, recordings)], hits.astype(float).tolist())
        inside += found.lo <= rate <= found.hi
    return inside


def held_in(world: World, first: int, lists: int, of_truth: int) -> NDArray[np.intp]:
    """Count the lists whose interval holds the truth, for every quantity, which `of_truth` other lists give."""
    others = range(first + 10**6, first + 10**6 + of_truth)
    truth = np.nanmean([quantities(world(seed)) for seed in others], axis=0)
    count = np.zeros(len(QUANTITIES), dtype=np.intp)
    for seed in range(first, first + lists):
        low, high = np.array(list(bounds(world(seed), seed))).T
        count += (low <= truth) & (truth <= high)
    return count


def perfect_lists(lists: int = 1200) -> int:
    """Count the fresh lists near the top whose 10 s score is 1."""
    world = WORLDS["near the top, 80 x 10, .9995"]
    samples = map(world, range(FRESH, FRESH + lists))
    return sum(mAP(each.targets, each.alone) == 1.0 for each in samples)


def held_effective_length() -> int:
    """Count the lists whose interval holds the true L50, that of the expected curve, of a model that fades."""
    gains = (4.0, 2.8, 1.9, 1.2, 0.7)

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
    true_length = effective_length(FADING, expected.tolist(), 0.5).at.length_s
    count = 0
    for seed in range(FADING_LISTS):
        targets, sets = fading(seed)
        base, *longer = resample(targets, sets, draws=DRAWS, seed=seed)
        falls = [drop(own, base) for own in (base, *longer)]
        limits = [drop_interval(each) for each in falls]
        band = [1 - high for _, high in limits], [1 - low for low, _ in limits]
        found = effective_length(FADING, [1 - each.estimate for each in falls], 0.5, band)
        assert found.low is not None
        assert found.high is not None
        reached = found.high.censored == ">=" or true_length <= found.high.length_s
        count += found.low.length_s <= true_length and reached
    return count


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


def significant(name: str, *, differ: bool, lists: int) -> int:
    """Count the lists on which two systems have p below 0.05; equal ones, or of which one is worse."""
    worse = EQUAL[name] if differ else 0.0
    return sum(each.p_value() < 0.05 for each in differences(name, worse, lists))
