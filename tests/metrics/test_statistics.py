"""Paired resampling: equal to doing it outright, and what intervals and p-values are made of."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from niah.errors import NiahError
from niah.metrics import average_precision as metrics
from niah.metrics import resampling
from niah.metrics.average_precision import Float64, Scores, Targets
from niah.metrics.drop import bootstrap_drop, detectable_drop
from niah.metrics.multiple_testing import adjusted
from niah.metrics.resampling import Resampled, multiplicities, paired, resample, resampled_maps


def direct_map(targets: Targets, scores: Scores) -> float:
    return metrics.mean_average_precision(metrics.average_precision(targets, scores))


def direct_maps(targets: Targets, scores: Scores, counts: NDArray[np.int32]) -> Float64:
    """Slow and obviously right: gather each draw's clips and evaluate them."""
    drawn = [np.repeat(np.arange(targets.shape[0]), column) for column in counts.T]
    return np.array([direct_map(targets[i], scores[i]) for i in drawn])


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
    maps = resampled_maps(targets, [scores, base], draws=40, seed=seed)
    counts = multiplicities(targets.shape[0], 40, seed)
    np.testing.assert_allclose(maps[0], direct_maps(targets, scores, counts), atol=1e-12)
    np.testing.assert_allclose(maps[1], direct_maps(targets, base, counts), atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("clips", [2, 7, 60])
def test_leaving_one_out_is_equal_to_doing_so(clips: int, ties: bool) -> None:
    targets, _, scores = world(clips, clips)
    targets[0, 3] = True  # never without a class
    scores = scores.round() if ties else scores
    (found,) = resample(targets, [scores], draws=2)
    others = [np.delete(np.arange(clips), i) for i in range(clips)]
    np.testing.assert_allclose(
        found.left_out, [direct_map(targets[i], scores[i]) for i in others], atol=1e-12
    )
    assert found.estimate == pytest.approx(direct_map(targets, scores), abs=1e-12)


def test_draws_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    targets, base, scores = world(0)
    whole = bootstrap_drop(targets, base, scores, draws=50, seed=3)
    monkeypatch.setattr(resampling, "PLAIN_BLOCK_BYTES", 4 * targets.shape[0] * 7)
    assert bootstrap_drop(targets, base, scores, draws=50, seed=3) == whole


@pytest.mark.parametrize("clips", [60, 300])
@pytest.mark.parametrize("ties", [False, True])
def test_compiled_equals_reference(monkeypatch: pytest.MonkeyPatch, ties: bool, clips: int) -> None:
    targets, base, scores = world(5, clips)
    scores = scores.round() if ties else scores
    slow = resampled_maps(targets, [scores, base], draws=130)
    monkeypatch.setattr(resampling, "COMPILE_ABOVE", 0)
    fast = resampled_maps(targets, [scores, base], draws=130)
    np.testing.assert_allclose(fast, slow, atol=1e-13)


def test_compiled_takes_counts_above_a_byte() -> None:
    from niah.metrics.weighted_precision import walk_of, weighted_maps
    from niah.metrics.weighted_precision_numba import pack_ranking, walk_maps

    targets, scores, _ = world(2, 30)
    walks = [
        walk_of(metrics.rank(targets[:, c], scores[:, c]))
        for c in np.flatnonzero(targets.any(axis=0))
    ]
    counts = (multiplicities(30, 5) * 300).astype(np.int32)
    np.testing.assert_allclose(
        walk_maps(pack_ranking(walks), counts), weighted_maps(walks, counts), atol=1e-13
    )


def test_each_draw_has_as_many_clips() -> None:
    counts = multiplicities(30, 200, seed=1)
    assert counts.shape == (30, 200)
    assert (counts.sum(axis=0) == 30).all()
    assert counts.mean(axis=1) == pytest.approx(1.0, abs=0.35)


def test_standard_error_of_a_mean_is_the_closed_form() -> None:
    """For a mean both parts are known: jackknife s / sqrt(n), bootstrap s / sqrt(n) sqrt((n-1)/n)."""
    values = np.random.default_rng(3).normal(size=50)
    counts = multiplicities(50, 20_000)
    found = Resampled(values.mean(), values @ counts / 50, (values.sum() - values) / 49)
    error = stats.sem(values)
    assert found.standard_error == pytest.approx(error * (1 + math.sqrt(49 / 50)) / 2, rel=0.01)
    low, high = found.interval()
    assert high - low == pytest.approx(2 * stats.norm.ppf(0.975) * found.standard_error)
    assert found.p_value() == pytest.approx(
        2 * stats.norm.sf(abs(found.estimate) / found.standard_error)
    )


def test_unit_interval_is_symmetric_in_log_odds() -> None:
    found = Resampled(0.9, np.array([0.85, 0.95, 0.9]), np.array([0.9, 0.88, 0.92]))
    low, high = found.unit_interval()
    odds = [math.log(x / (1 - x)) for x in (low, 0.9, high)]
    assert odds[2] - odds[1] == pytest.approx(odds[1] - odds[0])
    assert odds[2] - odds[1] == pytest.approx(1.959964 * found.standard_error / 0.09, rel=1e-6)


def test_same_scores_have_no_drop() -> None:
    targets, base, _ = world(1)
    found = bootstrap_drop(targets, base, base)
    assert (found.drop_lo, found.drop_hi) == (0.0, 0.0)
    assert found.mAP_lo < found.mAP_hi


def test_perfect_scores_have_no_spread() -> None:
    targets, _, _ = world(2)
    found = bootstrap_drop(targets, None, targets.astype(np.float32))
    assert (found.mAP_lo, found.mAP_hi) == (1.0, 1.0)
    assert math.isnan(found.drop_lo)
    assert math.isnan(found.drop_hi)


def test_pairing_narrows_the_drop() -> None:
    targets, base, scores = world(4, clips=200)
    own, alone = resample(targets, [scores, base], draws=400)
    drop = paired(lambda m, b: 1 - m / b, own, alone)
    unpaired = (alone.drawn - np.roll(own.drawn, 1)) / alone.drawn
    assert drop.drawn.std() < 0.9 * unpaired.std()
    assert drop.estimate == pytest.approx(1 - own.estimate / alone.estimate)


def test_what_was_resampled_otherwise_is_not_paired() -> None:
    targets, base, scores = world(4)
    (own,) = resample(targets, [scores], draws=10)
    (alone,) = resample(targets, [base], draws=11)
    with pytest.raises(NiahError, match="paired"):
        paired(lambda m, b: m - b, own, alone)


def test_intervals_hold_the_estimate_and_stay_in_range() -> None:
    for seed in range(10):
        targets, base, scores = world(seed)
        found = bootstrap_drop(targets, base, scores, draws=200)
        assert 0.0 <= found.mAP_lo < direct_map(targets, scores) < found.mAP_hi <= 1.0
        assert found.drop_lo < found.drop_hi <= 1.0


def test_targets_without_positives_give_nan() -> None:
    empty = np.zeros((5, 2), dtype=np.bool_)
    found = bootstrap_drop(empty, np.zeros((5, 2)), np.zeros((5, 2)))
    assert all(math.isnan(bound) for bound in vars(found).values())


def test_a_single_clip_has_no_interval() -> None:
    one = np.ones((1, 1), dtype=np.bool_)
    assert math.isnan(bootstrap_drop(one, None, np.ones((1, 1))).mAP_lo)


def test_bad_input_is_told() -> None:
    targets, base, scores = world(0)
    with pytest.raises(NiahError, match="draws"):
        bootstrap_drop(targets, base, scores, draws=0)
    with pytest.raises(NiahError, match="clips, classes"):
        bootstrap_drop(targets, base[:-1], scores)


def test_detectable_drop_is_found_four_times_in_five() -> None:
    """Simulated: a normal estimate with SE 0.02 of a true drop of that size, tested at 5 %."""
    half = 1.959964 * 0.02
    drop = detectable_drop(0.1 - half, 0.1 + half)
    assert drop == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.02, rel=1e-6)
    estimates = np.random.default_rng(0).normal(drop, 0.02, size=100_000)
    assert (estimates - half > 0).mean() == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize("method", ["holm", "bh"])
@pytest.mark.parametrize("seed", range(5))
def test_corrections_equal_their_definition(method: str, seed: int) -> None:
    p = np.random.default_rng(seed).random(12) ** 3
    if method == "bh":
        expected = stats.false_discovery_control(p, method="bh")
    else:  # step down: the smallest level at which each is rejected
        expected = np.empty(12)
        running = 0.0
        for j, i in enumerate(np.argsort(p)):
            running = max(running, min(1.0, (12 - j) * p[i]))
            expected[i] = running
    np.testing.assert_allclose(adjusted(p.tolist(), method), expected, atol=1e-15)


def test_corrections_leave_out_what_has_no_p() -> None:
    assert adjusted([0.01, math.nan, 0.04])[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted([0.01, math.nan])[1])
    assert adjusted([]).size == 0
    with pytest.raises(NiahError, match="bonferoni"):
        adjusted([0.1], "bonferoni")
    with pytest.raises(NiahError, match=r"\[0, 1\]"):
        adjusted([1.5])


@pytest.mark.bench
@pytest.mark.parametrize(("clips", "classes", "draws"), [(80, 24, 1000), (20_000, 527, 1000)])
def test_speed(benchmark: Any, clips: int, classes: int, draws: int) -> None:
    """mAP, drop and their intervals of one cell and its base. The large one: within a minute."""
    random = np.random.default_rng(0)
    targets = random.random((clips, classes)) < 0.01
    scores = random.random((clips, classes)).astype(np.float16)
    base = random.random((clips, classes)).astype(np.float16)
    benchmark.pedantic(bootstrap_drop, (targets, base, scores, draws), rounds=1, iterations=1)
    assert benchmark.stats.stats.max < 60
