"""Paired resampling: equal to doing it outright, and what intervals and p-values are made of."""

import math
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from niah.errors import NiahError
from niah.metrics import average_precision as metrics
from niah.metrics import resampling
from niah.metrics.average_precision import Float64, Scores, Targets
from niah.metrics.draws import group_indices, left_out, multiplicities
from niah.metrics.drop import (
    Intervals,
    detectable_drop,
    drop_interval,
    intervals,
    smallest_drop,
)
from niah.metrics.multiple_testing import adjusted
from niah.metrics.proportion import proportion_interval
from niah.metrics.resampling import Resampled, paired, resample
from niah.metrics.student import t_of_z, z_of_t


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


def bounds(
    targets: Targets, base: Scores | None, scores: Scores, draws: int = 1000, seed: int = 0
) -> Intervals:
    """The intervals of a cell and its base."""
    sets = [scores] if base is None else [scores, base]
    own, *alone = resample(targets, sets, draws, seed)
    return intervals(own, alone[0] if alone else None)


def drawn_maps(targets: Targets, sets: list[Scores], draws: int, seed: int = 0) -> Float64:
    """mAP of each set on each draw: (sets, draws)."""
    return np.stack([each.drawn for each in resample(targets, sets, draws, seed)])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_resampling_outright(seed: int, ties: bool) -> None:
    targets, base, scores = world(seed)
    if ties:
        base, scores = base.round(), scores.round()
    maps = drawn_maps(targets, [scores, base], draws=40, seed=seed)
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
    whole = bounds(targets, base, scores, draws=50, seed=3)
    monkeypatch.setattr(resampling, "PLAIN_BLOCK_BYTES", 4 * targets.shape[0] * 7)
    again = bounds(targets, base, scores, draws=50, seed=3)
    np.testing.assert_array_equal(astuple(again), astuple(whole))  # NaN, too


@pytest.mark.parametrize("clips", [60, 300])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("of", ["clips", "recordings", "part"])
def test_compiled_equals_reference(
    monkeypatch: pytest.MonkeyPatch, ties: bool, clips: int, of: str
) -> None:
    """Each value, also in groups, and of the entries that are not excluded."""
    targets, base, scores = world(5, clips)
    scores = scores.round().astype(np.float16) if ties else scores
    groups = [str(i // 3) for i in range(clips)] if of == "recordings" else None
    mask = (np.random.default_rng(1).random(targets.shape) < 0.2) & ~targets

    def values() -> list[Float64]:
        excluded = mask if of == "part" else None
        found = resample(targets, [scores, base], 130, groups=groups, excluded=excluded)
        return [np.r_[each.estimate, each.left_out, each.drawn] for each in found]

    slow = values()
    monkeypatch.setattr(resampling, "COMPILE_ABOVE", 0)
    np.testing.assert_allclose(values(), slow, atol=1e-13)
    monkeypatch.setattr(resampling, "THREADS", 1)
    np.testing.assert_allclose(values(), slow, atol=1e-13)


def test_compiled_takes_counts_above_a_byte() -> None:
    from niah.metrics.weighted_precision import walk_of, weighted_maps
    from niah.metrics.weighted_precision_numba import pack_rankings, walk_maps

    targets, scores, _ = world(2, 30)
    scored = targets.any(axis=0)
    targets, scores = targets[:, scored], scores[:, scored]
    packed, _, _ = pack_rankings(targets, scores)
    walks = [walk_of(each) for each in metrics.rankings(targets, scores)]
    counts = (multiplicities(30, 5, 0) * 300).astype(np.int32)
    np.testing.assert_allclose(walk_maps(packed, counts), weighted_maps(walks, counts), atol=1e-13)


def test_each_draw_has_as_many_clips() -> None:
    counts = multiplicities(30, 200, seed=1)
    assert counts.shape == (30, 200)
    assert (counts.sum(axis=0) == 30).all()
    assert counts.mean(axis=1) == pytest.approx(1.0, abs=0.35)


def test_standard_error_of_a_mean_is_the_closed_form() -> None:
    """For a mean both parts are known: jackknife s / sqrt(n), bootstrap s / sqrt(n) sqrt((n-1)/n)."""
    values = np.random.default_rng(3).normal(size=50)
    counts = multiplicities(50, 20_000, 0)
    found = Resampled(values.mean(), values @ counts / 50, (values.sum() - values) / 49)
    error = stats.sem(values)
    assert found.standard_error == pytest.approx(error * (0.2 + 0.8 * math.sqrt(49 / 50)), rel=0.01)
    freedom = 1.5 * 50 / (stats.kurtosis(values, fisher=False) - 1)
    low, high = found.interval()
    half = stats.t.ppf(0.975, freedom) * found.standard_error
    assert high - low == pytest.approx(2 * half, rel=1e-3)
    p = 2 * stats.t.sf(abs(found.estimate) / found.standard_error, freedom)
    assert found.p_value() == pytest.approx(p, rel=0.01)


@pytest.mark.parametrize(("freedom", "off"), [(2, 0.05), (3, 0.015), (8, 1e-3), (100, 1e-5)])
def test_students_t_is_scipys(freedom: float, off: float) -> None:
    """Wallace's transformation, there and back, at the points that Holm needs."""
    for p in (0.05, 0.01, 0.05 / 12):
        t, z = stats.t.isf(p / 2, freedom), stats.norm.isf(p / 2)
        if p == 0.05:
            assert t_of_z(z, freedom) == pytest.approx(t, rel=off)
        assert z_of_t(t, freedom) == pytest.approx(z, rel=3 * off)
        assert z_of_t(t_of_z(z, freedom), freedom) == pytest.approx(z)
    assert t_of_z(1e9, freedom) > 1e9


@pytest.mark.parametrize("clips", [2, 3, 10])
def test_few_clips_that_differ_have_few_degrees_of_freedom(clips: int) -> None:
    """Two systems that differ on c of 200 clips, each as much: about 1.5 c, and an interval that much wider."""
    gained = np.zeros(200)
    gained[:clips] = 1.0
    counts = multiplicities(200, 2000, 0)
    found = Resampled(gained.mean(), gained @ counts / 200, (gained.sum() - gained) / 199)
    variance = clips / 200 * (1 - clips / 200)
    assert found.freedom == pytest.approx(300 * variance / (1 - 4 * variance))
    assert found.freedom == pytest.approx(1.5 * clips, rel=0.2)
    assert found.interval()[1] > found.estimate + 1.959964 * found.standard_error


@pytest.mark.parametrize("recordings", [2, 3, 4, 8])
def test_few_recordings_have_no_more_degrees_of_freedom_than_a_mean_of_them(
    recordings: int,
) -> None:
    """Two values have a kurtosis of 1 whatever they are: they had those of the normal law, and p < 0.0001."""
    values = np.random.default_rng(recordings).normal(1.0, 0.3, recordings)
    counts = multiplicities(recordings, 2000, 0)
    left_out = (values.sum() - values) / (recordings - 1)
    found = Resampled(values.mean(), values @ counts / recordings, left_out)
    assert found.freedom <= recordings - 1
    t = found.estimate / found.standard_error
    assert found.p_value() >= 0.85 * 2 * stats.t.sf(t, recordings - 1)
    even = Resampled(0.1, np.array([0.0, 0.2]), np.array([0.0, 0.2] * recordings))
    assert even.freedom == 2 * recordings - 1  # each says as much


@pytest.mark.parametrize("m", [0.02, 0.3, 0.9, 0.998])
def test_unit_interval_is_symmetric_on_its_scale(m: float) -> None:
    found = Resampled(m, m + np.array([-0.01, 0.01, 0.0]), m + np.array([0.0, -0.004, 0.004]))
    low, high = found.unit_interval()
    places = [math.cbrt(x) - math.cbrt(1 - x) for x in (low, m, high)]
    slope = (m ** (-2 / 3) + (1 - m) ** (-2 / 3)) / 3
    half = found.half_width() * slope
    assert 0.0 <= low < m < high <= 1.0
    assert places[1] - places[0] == pytest.approx(min(half, places[1] + 1))
    assert places[2] - places[1] == pytest.approx(min(half, 1 - places[1]))


def test_same_scores_have_no_drop() -> None:
    targets, base, _ = world(1)
    found = bounds(targets, base, base)
    missed = 1 - proportion_interval(60, 60)[0]  # no clip of 60 changed its rank; others may
    assert (found.drop_lo, found.drop_hi) == pytest.approx((-missed, missed))
    assert found.mAP_lo < found.mAP_hi
    (own,) = resample(targets, [base])
    assert (
        intervals(own, own, 0.1).drop_hi == intervals(own, own, 0.1).drop_lo == 0
    )  # by definition


def test_perfect_scores_have_the_interval_of_a_proportion() -> None:
    targets, _, _ = world(2)
    found = bounds(targets, None, targets.astype(np.float32))
    assert (found.mAP_lo, found.mAP_hi) == pytest.approx((0.025 ** (1 / 60), 1.0))
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
        found = bounds(targets, base, scores, draws=200)
        assert 0.0 <= found.mAP_lo < direct_map(targets, scores) < found.mAP_hi <= 1.0
        assert found.drop_lo < found.drop_hi <= 1.0


def test_targets_without_positives_give_nan() -> None:
    empty = np.zeros((5, 2), dtype=np.bool_)
    found = bounds(empty, np.zeros((5, 2)), np.zeros((5, 2)))
    assert all(math.isnan(bound) for bound in vars(found).values())


def test_a_single_clip_has_no_interval() -> None:
    one = np.ones((1, 1), dtype=np.bool_)
    assert math.isnan(bounds(one, None, np.ones((1, 1))).mAP_lo)


def test_bad_input_is_told() -> None:
    targets, base, scores = world(0)
    with pytest.raises(NiahError, match="draws"):
        bounds(targets, base, scores, draws=0)
    with pytest.raises(NiahError, match="clips, classes"):
        bounds(targets, base[:-1], scores)


def test_detectable_drop_is_found_four_times_in_five() -> None:
    """Simulated: a normal estimate with SE 0.02 of a true drop of that size, tested at 5 %."""
    half = 1.959964 * 0.02
    drop = detectable_drop(0.1 - half, 0.1 + half)
    assert drop == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.02, rel=1e-6)
    estimates = np.random.default_rng(0).normal(drop, 0.02, size=100_000)
    assert (estimates - half > 0).mean() == pytest.approx(0.8, abs=0.005)


def test_what_can_be_detected_is_of_the_spread_at_the_smallest_drop() -> None:
    falls = [(0.33, 0.28, 0.40), (0.02, 0.0, 0.05), (0.1, 0.05, 0.15)]
    assert smallest_drop(falls) == (0.02, 0.0, 0.05)
    assert smallest_drop([]) is None


def test_a_difference_without_spread_has_what_as_many_clips_allow() -> None:
    """30 clips on which two systems rank alike: they may differ on 1 - 0.025^(1/30) of others."""
    none = Resampled(0.0, np.zeros(10), np.zeros(30))
    assert none.interval() == pytest.approx((0.025 ** (1 / 30) - 1, 1 - 0.025 ** (1 / 30)))
    assert none.p_value() == 1.0
    for estimate in (-0.05, 0.05, 0.1, 0.12, 0.5, 1.2):  # without spread: of 30 that agree
        alike = Resampled(estimate, np.full(10, estimate), np.full(30, estimate))
        low, high = alike.interval()
        assert (alike.p_value() < 0.05) == (low > 0 or high < 0), estimate


def spread(d: float, error: float) -> Resampled:
    """A drop with just this standard error, by both ways; each clip says as much."""
    n = 400
    values = d + error * np.tile([-1.0, 1.0], n // 2)
    return Resampled(d, values * 1.0, d + (values - d) / math.sqrt(n - 1), n)


@pytest.mark.parametrize("d", [-0.05, 0.0, 0.015, 0.03, 0.1, 0.5])
def test_drop_bounds_are_linear_near_none_and_logarithmic_far_from_it(d: float) -> None:
    found = spread(d, 0.02)
    error = found.standard_error
    low, high = drop_interval(found)
    t = stats.t.ppf(0.975, 399)
    assert low < d < high
    assert (low > 0) == (d - t * error > 0)  # told from 0 exactly where its p-value says so
    if d < t * error:
        assert (low, high) == pytest.approx((d - t * error, d + t * error))
    if d == 0.5:
        factor = math.exp(t * error / d)
        assert (low, high) == pytest.approx((d / factor, d * factor), rel=2e-3)


@pytest.mark.parametrize(("k", "n"), [(30, 30), (0, 30), (1, 30), (17, 20), (4999, 5000), (0, 1)])
def test_proportions_equal_scipy(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert proportion_interval(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_thirty_of_thirty() -> None:
    assert proportion_interval(30, 30) == pytest.approx((0.884, 1.0), abs=5e-4)
    assert all(map(math.isnan, proportion_interval(0, 0)))
    with pytest.raises(NiahError, match="0 to 3"):
        proportion_interval(4, 3)


def test_adjusted_retention_is_of_what_lies_above_chance() -> None:
    targets, base, scores = world(3, 300)
    own, alone = resample(targets, [scores, base], draws=200)
    chance = metrics.chance_mAP(targets)
    found = intervals(own, alone, chance)
    expected = (own.estimate - chance) / (alone.estimate - chance)
    assert found.adjusted == pytest.approx(expected)
    assert found.adjusted_lo < found.adjusted < found.adjusted_hi
    assert found.adjusted < own.estimate / alone.estimate
    guess = np.random.default_rng(1).normal(size=targets.shape)
    own, alone = resample(targets, [scores, guess], draws=200)
    assert math.isnan(intervals(own, alone, chance).adjusted)  # nothing above chance to keep


# --- recordings of several clips


def test_groups_are_drawn_and_left_out_whole() -> None:
    targets, base, scores = world(6, 60)
    names = [f"recording {i // 3}" for i in range(60)]
    of = group_indices(names, 60)
    (found,) = resample(targets, [scores], draws=30, seed=2, groups=names)
    counts = multiplicities(20, 30, 2)[of]
    np.testing.assert_allclose(found.drawn, direct_maps(targets, scores, counts), atol=1e-12)
    parts = [np.flatnonzero(of != group) for group in range(20)]
    expected = [direct_map(targets[part], scores[part]) for part in parts]
    np.testing.assert_allclose(found.left_out, expected, atol=1e-12)
    assert found.units == 20
    one, other = resample(targets, [scores, base], draws=30, groups=names)
    assert paired(lambda m, b: m / b, one, other).units == 20


def test_groups_of_one_clip_change_nothing() -> None:
    targets, _, scores = world(7)
    (plain,) = resample(targets, [scores], draws=20)
    (own,) = resample(targets, [scores], draws=20, groups=[f"r{-i}" for i in range(60)])
    np.testing.assert_array_equal(plain.drawn, own.drawn)
    np.testing.assert_array_equal(plain.left_out, own.left_out)


def test_many_groups_are_left_out_in_blocks() -> None:
    of = group_indices([f"{i // 2}" for i in range(4000)], 4000)
    gone = np.concatenate([counts == 0 for counts in left_out(of, 100)], axis=1)
    assert gone.shape == (4000, 512)
    assert (gone.sum(axis=1) == 1).all()  # each clip in one block
    assert (gone[::2] == gone[1::2]).all()  # with its recording
    assert set(gone.sum(axis=0)) <= {6, 8}


def test_copies_of_a_clip_are_one_recording() -> None:
    """Five copies of each clip tell no more than the clip: by clip the interval is 1/sqrt(5) as wide."""
    targets, _, scores = world(8, 80)
    (once,) = resample(targets, [scores])
    copied, alike = np.repeat(targets, 5, axis=0), np.repeat(scores, 5, axis=0)
    names = [f"{i // 5}" for i in range(400)]
    (by_clip,) = resample(copied, [alike])
    (by_group,) = resample(copied, [alike], groups=names)
    assert by_group.standard_error == pytest.approx(once.standard_error, rel=0.1)
    assert by_clip.standard_error < 0.6 * once.standard_error


# --- entries that are not counted


def test_excluded_entries_are_out_of_every_metric() -> None:
    """A mask per class is the same as scoring each class on its other clips."""
    targets, _, scores = world(9, 50)
    excluded = (np.random.default_rng(2).random(targets.shape) < 0.2) & ~targets
    ap, auc = (
        function(targets, scores, excluded) for function in (metrics.average_precision, metrics.auc)
    )
    floor = []
    for c in range(targets.shape[1]):
        kept = ~excluded[:, c]
        part = targets[kept, c : c + 1], scores[kept, c : c + 1]
        np.testing.assert_allclose(ap[c], metrics.average_precision(*part)[0])
        np.testing.assert_allclose(auc[c], metrics.auc(*part)[0])
        floor.append(metrics.chance_mAP(part[0]))
    assert metrics.chance_mAP(targets, excluded) == pytest.approx(np.nanmean(floor))
    lowest = np.where(excluded, -1e9, scores)
    masked, ranked_last = (
        resample(targets, [scores], draws=30, excluded=excluded)[0],
        resample(targets, [lowest], draws=30)[0],
    )
    np.testing.assert_allclose(masked.drawn, ranked_last.drawn, atol=1e-12)
    np.testing.assert_allclose(masked.left_out, ranked_last.left_out, atol=1e-12)


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
@pytest.mark.parametrize("grouped", [False, True], ids=["clips", "recordings"])
@pytest.mark.parametrize(("clips", "classes", "draws"), [(80, 24, 1000), (20_000, 527, 1000)])
def test_speed(benchmark: Any, clips: int, classes: int, draws: int, grouped: bool) -> None:
    """mAP and its interval of one cell. The large one: within 20 s on two cores."""
    random = np.random.default_rng(0)
    targets = random.random((clips, classes)) < 0.01
    scores = random.random((clips, classes)).astype(np.float32)
    names = [f"{i // 2}" for i in range(clips)] if grouped else None
    benchmark.pedantic(
        resample, (targets, [scores], draws), {"groups": names}, rounds=1, iterations=1
    )
    assert benchmark.stats.stats.max < 20
