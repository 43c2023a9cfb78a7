"""The paired bootstrap: equal to resampling outright, and true on worlds whose truth is known."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from niah import metrics, statistics
from niah.errors import NiahError
from niah.metrics import Float64, Scores, Targets


def direct_maps(targets: Targets, scores: Scores, counts: NDArray[np.int32]) -> Float64:
    """Slow and obviously right: gather each draw's clips and evaluate them."""
    drawn = [np.repeat(np.arange(targets.shape[0]), column) for column in counts.T]
    return np.array(
        [
            metrics.mean_average_precision(metrics.average_precision(targets[i], scores[i]))
            for i in drawn
        ]
    )


def world(seed: int, clips: int = 60, classes: int = 8) -> tuple[Targets, Scores, Scores]:
    random = np.random.default_rng(seed)
    targets = random.random((clips, classes)) < np.linspace(0.02, 0.3, classes)
    noise = random.normal(size=(clips, classes))
    base = targets * 2.5 + noise
    return targets, base, targets * 1.2 + 0.7 * noise + 0.7 * random.normal(size=base.shape)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_resampling_outright(seed: int, ties: bool) -> None:
    targets, base, scores = world(seed)
    if ties:
        base, scores = base.round(), scores.round()
    maps = statistics.bootstrap_maps(targets, [scores, base], draws=40, seed=seed)
    counts = statistics.multiplicities(targets.shape[0], 40, seed)
    np.testing.assert_allclose(maps[0], direct_maps(targets, scores, counts), atol=1e-12)
    np.testing.assert_allclose(maps[1], direct_maps(targets, base, counts), atol=1e-12)


def test_draws_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    targets, base, scores = world(0)
    whole = statistics.bootstrap_drop(targets, base, scores, draws=50, seed=3)
    monkeypatch.setattr(statistics, "BLOCK_BYTES", 4 * targets.shape[0] * 7)
    assert statistics.bootstrap_drop(targets, base, scores, draws=50, seed=3) == whole


@pytest.mark.parametrize("ties", [False, True])
def test_compiled_equals_reference(monkeypatch: pytest.MonkeyPatch, ties: bool) -> None:
    targets, base, scores = world(5)
    scores = scores.round() if ties else scores
    slow = statistics.bootstrap_maps(targets, [scores, base], draws=30)
    monkeypatch.setattr(statistics, "COMPILE_ABOVE", 0)
    np.testing.assert_array_equal(
        statistics.bootstrap_maps(targets, [scores, base], draws=30), slow
    )


def test_each_draw_has_as_many_clips() -> None:
    counts = statistics.multiplicities(30, 200, seed=1)
    assert counts.shape == (30, 200)
    assert (counts.sum(axis=0) == 30).all()
    assert counts.mean(axis=1) == pytest.approx(1.0, abs=0.35)


def test_same_scores_have_no_drop() -> None:
    targets, base, _ = world(1)
    found = statistics.bootstrap_drop(targets, base, base)
    assert (found.drop_lo, found.drop_hi) == (0.0, 0.0)
    assert found.mAP_lo < found.mAP_hi


def test_perfect_scores_have_no_spread() -> None:
    targets, _, _ = world(2)
    found = statistics.bootstrap_drop(targets, None, targets.astype(np.float32))
    assert (found.mAP_lo, found.mAP_hi) == (1.0, 1.0)
    assert math.isnan(found.drop_lo)
    assert math.isnan(found.drop_hi)


def test_pairing_narrows_the_drop() -> None:
    targets, base, scores = world(4, clips=200)
    maps = statistics.bootstrap_maps(targets, [scores, base], draws=400)
    paired = (maps[1] - maps[0]) / maps[1]
    unpaired = (maps[1] - np.roll(maps[0], 1)) / maps[1]
    assert paired.std() < 0.9 * unpaired.std()


def test_intervals_hold_the_estimate_and_stay_in_range() -> None:
    for seed in range(10):
        targets, base, scores = world(seed)
        mAP = metrics.mean_average_precision(metrics.average_precision(targets, scores))
        found = statistics.bootstrap_drop(targets, base, scores, draws=200)
        assert 0.0 <= found.mAP_lo < mAP < found.mAP_hi <= 1.0
        assert found.drop_lo < found.drop_hi <= 1.0


def test_targets_without_positives_give_nan() -> None:
    empty = np.zeros((5, 2), dtype=np.bool_)
    found = statistics.bootstrap_drop(empty, np.zeros((5, 2)), np.zeros((5, 2)))
    assert all(math.isnan(bound) for bound in vars(found).values())


def test_bad_input_is_told() -> None:
    targets, base, scores = world(0)
    with pytest.raises(NiahError, match="draws"):
        statistics.bootstrap_drop(targets, base, scores, draws=0)
    with pytest.raises(NiahError, match="clips, classes"):
        statistics.bootstrap_drop(targets, base[:-1], scores)


@pytest.mark.slow
def test_coverage_of_the_expected_score() -> None:
    """Over 300 lists of 80 clips, the intervals hold the expected score nearly as often as said."""

    def point(targets: Targets, base: Scores, scores: Scores) -> tuple[float, float]:
        maps = [
            metrics.mean_average_precision(metrics.average_precision(targets, each))
            for each in (base, scores)
        ]
        return maps[1], (maps[0] - maps[1]) / maps[0]

    truth = np.mean([point(*world(seed, 80, 24)) for seed in range(10_000, 11_500)], axis=0)
    held = np.zeros(2)
    for seed in range(300):
        found = statistics.bootstrap_drop(*world(seed, 80, 24), draws=400, seed=seed)
        held += [
            found.mAP_lo <= truth[0] <= found.mAP_hi,
            found.drop_lo <= truth[1] <= found.drop_hi,
        ]
    assert (held / 300 > 0.87).all(), held / 300


@pytest.mark.bench
@pytest.mark.parametrize(("clips", "classes", "draws"), [(80, 24, 1000), (20_000, 527, 1000)])
def test_speed(benchmark: Any, clips: int, classes: int, draws: int) -> None:
    random = np.random.default_rng(0)
    targets = random.random((clips, classes)) < 0.01
    scores = random.random((clips, classes)).astype(np.float16)
    base = random.random((clips, classes)).astype(np.float16)
    benchmark.pedantic(
        statistics.bootstrap_drop, (targets, base, scores, draws), rounds=1, iterations=1
    )
