"""Error rates of the gate: simulated gates of 12 cells on 200 clips of 50 classes."""

import numpy as np
import pytest

from niah.compare.check_run import Gate, compared_row, corrected
from niah.compare.differences import PairedScores
from niah.metrics import resampling
from niah.metrics.average_precision import average_precision, mean_average_precision
from tests.compare.worlds import IDS, Logits, World

GATES, CELLS = 200, 12
pytestmark = pytest.mark.slow
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


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled kernel, equal to the plain one and faster for thousands of cells."""
    monkeypatch.setattr(resampling, "COMPILE_ABOVE", 10**6)


@pytest.mark.parametrize("one_sided", [False, True])
def test_another_noise_seed_fails_at_most_one_gate_in_twenty(one_sided: bool) -> None:
    """Seeds change the mAP of a cell by about .01: without regard to chance, most gates would fail."""
    nothing, gate = np.zeros(CELLS), Gate(one_sided=one_sided)
    failed, by_size_alone = 0, 0
    for seed in range(GATES):
        world = World(seed)
        ours, theirs = (cells(world, 2 * seed + side, nothing, noise=0.3) for side in (0, 1))
        failed += not passes(world, ours, theirs, gate)
        apart = [mAP(world, a) - mAP(world, b) for a, b in zip(ours, theirs, strict=True)]
        by_size_alone += max(map(abs, apart)) > gate.tolerance
    print(f"{failed} of {GATES} gates failed, {by_size_alone} by the tolerance alone")
    assert failed <= 0.05 * GATES
    assert by_size_alone > 0.9 * GATES


def test_a_loss_of_two_points_in_one_of_twelve_cells_is_found() -> None:
    """The same scenes, a model that is worse by .02 mAP in expectation at one cell."""
    lost = np.zeros(CELLS)
    lost[0] = loss_of(0.02, noise=0.3)
    found = 0
    for seed in range(GATES):
        world = World(seed)
        reference = cells(world, seed, np.zeros(CELLS), noise=0.3)
        worse = cells(world, seed, lost, noise=0.3)
        found += not passes(world, worse, reference, Gate())
    print(f"{found} of {GATES} losses of .02 mAP were found")
    assert found >= 0.9 * GATES
