"""Simulated worlds: two systems, each on the needle alone and in a long scene, over lists of clips.

The law of a world does not change from list to list, so that the expected scores of a list are known from many of them.
Difficulty is shared: what is hard in a clip is hard for both systems and at both lengths.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.metrics.average_precision import Scores, Targets

FAMILY = 5  # clips of one recording
Random = np.random.Generator


@dataclass(frozen=True)
class Sample:
    """One list: labels, (clips, classes); of each system the scores of the needle alone and of the long scene."""

    targets: Targets
    alone: Scores
    scene: Scores
    other_alone: Scores
    other_scene: Scores
    groups: list[str] | None = None


World = Callable[[int], Sample]


def few_labels(clips: int, classes: int = 20) -> World:
    """Labels independent of each other, from rare (2 %) to common (30 %)."""

    def world(seed: int) -> Sample:
        random = np.random.default_rng(seed)
        targets = random.random((clips, classes)) < np.linspace(0.02, 0.3, classes)
        return heard(random, targets, 3.0, 1.5, 1.2)

    return world


def long_tail(clips: int, classes: int) -> World:
    """Two labels a clip on average, from classes as frequent as 1 / rank: many have one or two clips."""
    share = 1 / np.arange(1, classes + 1)
    share = np.minimum(2 * share / share.sum(), 0.9)

    def world(seed: int) -> Sample:
        random = np.random.default_rng(seed)
        return heard(random, random.random((clips, classes)) < share, 3.5, 2.0, 1.7)

    return world


def one_label(
    clips: int,
    classes: int,
    gains: tuple[float, float, float] = (4.0, 2.0, 1.7),
    *,
    even: bool = False,
) -> World:
    """One class a clip, as in ESC-50 (`even`: equally many of each); gains alone, in the scene, the other's there."""

    def world(seed: int) -> Sample:
        random = np.random.default_rng(seed)
        label = np.arange(clips) % classes if even else random.integers(classes, size=clips)
        return heard(random, label[:, None] == np.arange(classes), *gains)

    return world


def some_labels(clips: int, gains: tuple[float, float, float] = (3.5, 2.0, 1.8)) -> World:
    """One to three of 25 classes a clip, as in the synthetic needles."""

    def world(seed: int) -> Sample:
        random = np.random.default_rng(seed)
        order = random.random((clips, 25)).argsort(axis=1).argsort(axis=1)
        return heard(random, order < random.integers(1, 4, size=(clips, 1)), *gains)

    return world


def unheard(clips: int, classes: int, share: float = 0.15) -> World:
    """In the scene 15 % of the clips are not heard at all, the others as before; the other system misses others."""

    def world(seed: int) -> Sample:
        random = np.random.default_rng(seed)
        targets = random.integers(classes, size=(clips, 1)) == np.arange(classes)
        gone = random.random((clips, 1)) < share
        noise, other = random.normal(size=(2, *targets.shape))
        also = gone ^ (random.random((clips, 1)) < 0.06)
        alone = targets * 5.0 + noise
        return Sample(
            targets,
            alone,
            targets * 5.0 * ~gone + noise,
            alone + 0.3 * other,
            targets * 5.0 * ~also + noise + 0.3 * other,
        )

    return world


def families(recordings: int, classes: int = 10) -> World:
    """Five clips a recording (`FAMILY`), of one class and nearly one difficulty."""

    def world(seed: int) -> Sample:
        random = np.random.default_rng(seed)
        label = np.repeat(random.integers(classes, size=recordings), FAMILY)
        targets = label[:, None] == np.arange(classes)
        shared, far, away = np.repeat(random.normal(size=(3, recordings, classes)), FAMILY, axis=1)
        near, own, other = random.normal(size=(3, *targets.shape))
        noise = 0.9 * shared + 0.44 * near
        alone = targets * 3.0 + noise
        return Sample(
            targets,
            alone,
            targets * 1.5 + 0.7 * (noise + 0.9 * far + 0.44 * own),
            0.9 * alone + 0.3 * other,
            targets * 1.3 + 0.7 * (noise + 0.9 * away + 0.44 * other),
            [f"{i // FAMILY}" for i in range(len(targets))],
        )

    return world


def near_chance(gain: float) -> World:
    """80 clips of one of 10 classes, hardly heard; the scene halves it, with noise mostly of its own."""

    def world(seed: int) -> Sample:
        random = np.random.default_rng(seed)
        targets = random.integers(10, size=80)[:, None] == np.arange(10)
        alone, own = random.normal(size=(2, 80, 10))
        scores = targets * gain + alone, 0.6 * gain * targets + 0.5 * alone + np.sqrt(0.75) * own
        return Sample(targets, *scores, *scores)

    return world


def heard(random: Random, targets: Targets, alone: float, scene: float, other: float) -> Sample:
    """Scores of both systems; some clips are harder than others, for both."""
    harder = 0.7 * random.normal(size=(len(targets), 1))
    shared, one, two, three = random.normal(size=(4, *targets.shape))

    def scores(gain: float, noise: NDArray[np.float64]) -> Scores:
        return np.asarray(targets * (gain + harder) + noise)

    return Sample(
        targets,
        scores(alone, shared),
        scores(scene, 0.7 * (shared + one)),
        scores(alone - 0.3, 0.8 * shared + 0.6 * three),
        scores(other, 0.7 * (shared + two)),
    )


WORLDS: dict[str, World] = {
    "few labels, 80 x 20": few_labels(80),
    "few labels, 200 x 20": few_labels(200),
    "few labels, 1000 x 20": few_labels(1000),
    "long tail, 80 x 100": long_tail(80, 100),
    "long tail, 200 x 200": long_tail(200, 200),
    "long tail, 1000 x 200": long_tail(1000, 200),
    "long tail, 200 x 527": long_tail(200, 527),
    "long tail, 1000 x 527": long_tail(1000, 527),
    "one label, 80 x 10": one_label(80, 10, (4.0, 1.5, 1.3)),
    "one label, 80 x 10, even": one_label(80, 10, (4.0, 1.5, 1.3), even=True),
    "one label, 80 x 10, weak": one_label(80, 10, (2.0, 0.7, 0.6)),
    "one label, 200 x 50": one_label(200, 50),
    "one label, 400 x 50": one_label(400, 50),
    "one label, 400 x 50, even": one_label(400, 50, even=True),
    "some labels, 100 x 25": some_labels(100),
    "some labels, 200 x 25": some_labels(200),
    "some labels, 1000 x 25": some_labels(1000),
    "15 % unheard, 80 x 20": unheard(80, 20),
    "15 % unheard, 200 x 20": unheard(200, 20),
    "15 % unheard, 1000 x 50": unheard(1000, 50),
    "recordings of five, 200 x 10": families(40),
    "recordings of five, 500 x 10": families(100),
    "near the top, 80 x 10": one_label(80, 10, (4.0, 3.5, 3.3)),
    "near the top, 100 x 25": some_labels(100, (3.5, 3.6, 3.4)),
    "near the top, 80 x 10, .9995": one_label(80, 10, (6.0, 5.05, 4.95)),
    "near the top, 400 x 50": one_label(400, 50, (6.0, 5.0, 4.8)),
    "at the top, 80 x 10": one_label(80, 10, (9.0, 6.2, 6.0)),
}
