"""Simulated gates of 12 cells on 200 clips of 50 classes: how often a gate fails, and finds a loss."""

import numpy as np

from niah.compare.check_run import Gate, compared_row, corrected
from niah.compare.differences import PairedScores
from niah.metrics.average_precision import average_precision, mean_average_precision
from tests.compare.worlds import IDS, Logits, World

GATES, CELLS = 200, 12
NOISE = 0.3  # of a cell: it changes a mAP by about .01
LOSS = 0.02
GAINS = np.linspace(3.0, 1.2, CELLS)  # a curve that falls from about .74 to .29 mAP


def passes(world: World, ours: list[Logits], theirs: list[Logits], gate: Gate) -> bool:
    """Return whether a gate of these cells passes."""
    rows = [
        compared_row(
            PairedScores(world.targets, a.astype(np.float32), b.astype(np.float32), IDS), gate, ""
        )
        for a, b in zip(ours, theirs, strict=True)
    ]
    return all(row.ok for row in corrected(rows))


def cells(world: World, seed: int, lost: np.ndarray, noise: float) -> list[Logits]:
    """A run's logits; noise of a cell, and how much its gain has lost."""
    return [
        world.logits(gain - less, noise, seed=CELLS * seed + index)
        for index, (gain, less) in enumerate(zip(GAINS, lost, strict=True))
    ]


def mAP(world: World, logits: Logits) -> float:  # noqa: N802 - the field writes mAP
    return mean_average_precision(average_precision(world.targets, logits))


def loss_of(size: float, noise: float) -> float:
    """Return what the gain must lose at the first cell for a mean loss of `size` mAP over many lists of 200 clips."""
    worlds = [World(1000 + seed) for seed in range(40)]
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        lost = np.mean(
            [
                mAP(w, w.logits(GAINS[0], noise, seed=1))
                - mAP(w, w.logits(GAINS[0] - middle, noise, seed=1))
                for w in worlds
            ]
        )
        low, high = (middle, high) if lost < size else (low, middle)
    return (low + high) / 2


def failed_gates(*, one_sided: bool) -> tuple[int, int]:
    """Count the gates that fail for another noise seed alone, and those that would by the tolerance alone."""
    nothing, gate = np.zeros(CELLS), Gate(one_sided=one_sided)
    failed, by_size_alone = 0, 0
    for seed in range(GATES):
        world = World(seed)
        ours, theirs = (cells(world, 2 * seed + side, nothing, NOISE) for side in (0, 1))
        failed += not passes(world, ours, theirs, gate)
        apart = [mAP(world, a) - mAP(world, b) for a, b in zip(ours, theirs, strict=True)]
        by_size_alone += max(map(abs, apart)) > gate.tolerance
    return failed, by_size_alone


def found_losses() -> int:
    """Count the gates that fail for a model that is worse by `LOSS` in expectation at one cell, in the same scenes."""
    lost = np.zeros(CELLS)
    lost[0] = loss_of(LOSS, NOISE)
    found = 0
    for seed in range(GATES):
        world = World(seed)
        reference = cells(world, seed, np.zeros(CELLS), NOISE)
        worse = cells(world, seed, lost, NOISE)
        found += not passes(world, worse, reference, Gate())
    return found
