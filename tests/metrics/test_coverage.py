"""Intervals hold the truth as often as they say: simulated worlds whose truth is known.

The truth is the expected score on a list of so many clips, from 3000 lists of their own. 500 further
lists each get intervals; 95 % of them should hold it, and 93 to 97 % must (two standard errors of
a count of 500). `-s` prints what was measured. Where hardly a clip is missed, intervals must hold it at least as often:
most lists then show no miss at all, and one exact interval for those cannot hold a truth near 1 just 95 % of the time.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from niah.metrics.average_precision import (
    Float64,
    Scores,
    Targets,
    average_precision,
    mean_average_precision,
)
from niah.metrics.drop import drop, drop_interval, intervals
from niah.metrics.effective_length import effective_length
from niah.metrics.resampling import Resampled, paired, resample

LISTS = 500
OF_TRUTH = 3000
DRAWS = 400
World = tuple[Targets, Scores, Scores]
FAMILY = 5  # clips of one recording


def scattered(seed: int, clips: int, classes: int = 24) -> World:
    """Labels independent of each other, from rare (2 %) to common (30 %)."""
    random = np.random.default_rng(seed)
    targets = random.random((clips, classes)) < np.linspace(0.02, 0.3, classes)
    noise = random.normal(size=(clips, classes))
    other = random.normal(size=(clips, classes))
    return targets, targets * 2.5 + noise, targets * 1.2 + 0.7 * (noise + other)


def one_label(seed: int, clips: int, base: float, heard: float, *, even: bool = False) -> World:
    """One of ten classes a clip, as in ESC-10 (`even`: equally many of each); some clips are harder."""
    random = np.random.default_rng(seed)
    label = np.arange(clips) % 10 if even else random.integers(10, size=clips)
    return _shared_difficulty(random, label[:, None] == np.arange(10), base, heard)


def some_labels(seed: int, clips: int, base: float = 3.5, heard: float = 2.0) -> World:
    """One to three of 25 classes a clip, as in the synthetic needles."""
    random = np.random.default_rng(seed)
    order = random.random((clips, 25)).argsort(axis=1).argsort(axis=1)
    targets = order < random.integers(1, 4, size=(clips, 1))
    return _shared_difficulty(random, targets, base, heard)


def _shared_difficulty(
    random: np.random.Generator, targets: Targets, base: float, heard: float
) -> World:
    harder = 0.7 * random.normal(size=(targets.shape[0], 1))
    noise, other = random.normal(size=(2, *targets.shape))
    return (
        targets,
        targets * (base + harder) + noise,
        targets * (heard + harder) + 0.7 * (noise + other),
    )


def long_tail(seed: int, clips: int, classes: int) -> World:
    """Two labels a clip on average, from classes as frequent as 1 / rank: many have one or two clips."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, classes + 1)
    targets = random.random((clips, classes)) < np.minimum(2 * share / share.sum(), 0.9)
    return _shared_difficulty(random, targets, 3.5, 2.0)


def unheard(seed: int, clips: int, classes: int = 20) -> World:
    """In the long scene 15 % of the clips are not heard at all, the others as well as before."""
    random = np.random.default_rng(seed)
    targets = random.integers(classes, size=(clips, 1)) == np.arange(classes)
    gone = random.random((clips, 1)) < 0.15
    noise = random.normal(size=targets.shape)
    return targets, targets * 5.0 + noise, targets * 5.0 * ~gone + noise


def families(seed: int, recordings: int, classes: int = 10) -> World:
    """Five clips a recording (`FAMILY`), of one class and nearly one difficulty."""
    random = np.random.default_rng(seed)
    label = np.repeat(random.integers(classes, size=recordings), FAMILY)
    targets = label[:, None] == np.arange(classes)
    shared, far = np.repeat(random.normal(size=(2, recordings, classes)), FAMILY, axis=1)
    near, other = random.normal(size=(2, *targets.shape))
    noise = 0.9 * shared + 0.44 * near
    return targets, targets * 3.0 + noise, targets * 1.5 + 0.7 * (noise + 0.9 * far + 0.44 * other)


WORLDS: dict[str, Callable[[int], World]] = {
    "80 clips, 24 scattered classes": lambda seed: scattered(seed, 80),
    "200 clips, 24 scattered classes": lambda seed: scattered(seed, 200),
    "80 clips, 10 classes": lambda seed: one_label(seed, 80, 4.0, 1.5),
    "80 clips, 10 even classes": lambda seed: one_label(seed, 80, 4.0, 1.5, even=True),
    "80 clips, 10 classes, weak model": lambda seed: one_label(seed, 80, 2.0, 0.7),
    "100 clips, 25 classes": lambda seed: some_labels(seed, 100),
    "200 clips, 25 classes": lambda seed: some_labels(seed, 200),
    "1000 clips, 25 classes": lambda seed: some_labels(seed, 1000),
    "80 clips, long tail of 100": lambda seed: long_tail(seed, 80, 100),
    "200 clips, long tail of 200": lambda seed: long_tail(seed, 200, 200),
    "80 clips, 15 % unheard": lambda seed: unheard(seed, 80),
    "200 clips, 15 % unheard": lambda seed: unheard(seed, 200),
    "1000 clips, 15 % unheard": lambda seed: unheard(seed, 1000, 50),
    "40 recordings of five clips": lambda seed: families(seed, 40),
    "100 recordings of five clips": lambda seed: families(seed, 100),
}
NEAR_THE_TOP: dict[str, Callable[[int], World]] = {
    "80 clips, 10 classes, mAP 0.94": lambda seed: one_label(seed, 80, 4.0, 3.5),
    "100 clips, 25 classes, mAP 0.94": lambda seed: some_labels(seed, 100, 3.5, 3.6),
    "80 clips, 10 classes, mAP 0.996": lambda seed: one_label(seed, 80, 7.0, 5.7),
}


def mAP(targets: Targets, scores: Scores) -> float:  # noqa: N802
    return mean_average_precision(average_precision(targets, scores))


@cache
def truth(name: str) -> tuple[float, float]:
    """Expected mAP and expected relative score."""
    world = {**WORLDS, **NEAR_THE_TOP}[name]
    lists = [world(seed) for seed in range(10**6, 10**6 + OF_TRUTH)]
    maps = np.array([(mAP(t, scores), mAP(t, base)) for t, base, scores in lists])
    return float(maps[:, 0].mean()), float((maps[:, 0] / maps[:, 1]).mean())


def coverage(name: str) -> Float64:
    """Shares of lists whose intervals hold the true mAP, and the true drop (and so the true relative score)."""
    true_map, true_relative = truth(name)
    held = np.zeros(2)
    for seed in range(LISTS):
        targets, base, scores = {**WORLDS, **NEAR_THE_TOP}[name](seed)
        names = [f"{i // FAMILY}" for i in range(len(targets))] if "recordings" in name else None
        own, alone = resample(targets, [scores, base], draws=DRAWS, seed=seed, groups=names)
        found = intervals(own, alone)
        held += [
            found.mAP_lo <= true_map <= found.mAP_hi,
            found.drop_lo <= 1 - true_relative <= found.drop_hi,
        ]
    shares = held / LISTS
    print(
        f"{name}: true mAP {true_map:.4f}, relative {true_relative:.4f}; "
        f"held: mAP {shares[0]:.3f}, drop {shares[1]:.3f}"
    )
    return np.asarray(held / LISTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_cover(name: str) -> None:
    held = coverage(name)
    most = (
        0.98 if name.startswith("80 ") else 0.97
    )  # of few clips the spread is known less well: rather wide
    assert ((held >= 0.93) & (held <= most)).all(), held


@pytest.mark.slow
@pytest.mark.parametrize("name", NEAR_THE_TOP)
def test_near_the_top_intervals_are_wide_rather_than_narrow(name: str) -> None:
    """With hardly an error among 80 to 100 clips the spread is not known well: on the safe side."""
    held = coverage(name)
    assert (held >= 0.93).all(), held


@pytest.mark.slow
def test_effective_length_covers() -> None:
    """A model that fades over five lengths; the true L50 is that of the expected curve."""
    lengths, heard = (10.0, 30.0, 100.0, 300.0, 1000.0), (4.0, 2.8, 1.9, 1.2, 0.7)

    def fading(seed: int) -> tuple[Targets, list[Scores]]:
        random = np.random.default_rng(seed)
        targets = random.integers(10, size=(80, 1)) == np.arange(10)
        harder = 0.7 * random.normal(size=(80, 1))
        noise = random.normal(size=targets.shape)
        fresh = random.normal(size=(5, *targets.shape))
        return targets, [
            targets * (gain + harder) + 0.7 * (noise + other)
            for gain, other in zip(heard, fresh, strict=True)
        ]

    def curve(seed: int) -> Float64:
        targets, sets = fading(seed)
        maps = np.array([mAP(targets, each) for each in sets])
        return np.asarray(maps / maps[0])

    expected = np.mean([curve(seed) for seed in range(10**6, 10**6 + OF_TRUTH)], axis=0)
    true_length = effective_length(lengths, expected.tolist(), 0.5).at.length_s
    held = 0
    for seed in range(LISTS):
        targets, sets = fading(seed)
        base, *longer = resample(targets, sets, draws=DRAWS, seed=seed)
        falls = [drop(own, base) for own in (base, *longer)]
        bounds = [drop_interval(each) for each in falls]
        band = [1 - high for _, high in bounds], [1 - low for low, _ in bounds]
        found = effective_length(lengths, [1 - each.estimate for each in falls], 0.5, band)
        assert found.low is not None
        assert found.high is not None
        reached = found.high.censored == ">=" or true_length <= found.high.length_s
        held += found.low.length_s <= true_length and reached
    print(f"L50, true {true_length:.0f} s: {held / LISTS:.3f}")
    assert 0.93 <= held / LISTS <= 0.97


@pytest.mark.slow
def test_p_values_are_fair() -> None:
    """Two equally good models: 3 to 7 % of differences are below 0.05; of a true one, most are."""

    def difference(seed: int, heard: float) -> Resampled:
        targets, _, one = some_labels(seed, 100)
        _, _, other = some_labels(seed, 100, heard=heard)
        random = np.random.default_rng(seed + 10**7)
        other = other + 0.7 * random.normal(size=other.shape)
        one = one + 0.7 * random.normal(size=one.shape)
        return paired(lambda a, b: a - b, *resample(targets, [one, other], draws=DRAWS, seed=seed))

    false = np.mean([difference(seed, 2.0).p_value() < 0.05 for seed in range(LISTS)])
    found = np.mean([difference(seed, 1.0).p_value() < 0.05 for seed in range(100)])
    print(f"p < 0.05 without a difference: {false:.3f}; with one: {found:.3f}")
    assert 0.03 <= false <= 0.07
    assert found > 0.9
