"""Metrics: closed forms first, then equality with scikit-learn, ties and float16 included."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from niah.errors import NiahError
from niah.metrics import average_precision as metrics
from niah.metrics.average_precision import Scores, Targets


def one_class(*hits: int) -> Targets:
    return np.array(hits, dtype=np.bool_)[:, None]


def test_perfect_and_worst_ranking() -> None:
    targets = one_class(1, 1, 0, 0)
    best = np.array([4.0, 3.0, 2.0, 1.0])[:, None]
    assert metrics.average_precision(targets, best)[0] == 1.0
    assert metrics.auc(targets, best)[0] == 1.0
    # positives at ranks 3 and 4: precisions 1/3 and 2/4
    assert metrics.average_precision(targets, -best)[0] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert metrics.auc(targets, -best)[0] == 0.0


def test_constant_scores_give_prevalence_and_one_half() -> None:
    targets, scores = one_class(1, 0, 0, 0, 0), np.zeros((5, 1))
    assert metrics.average_precision(targets, scores)[0] == pytest.approx(1 / 5)
    assert metrics.auc(targets, scores)[0] == pytest.approx(0.5)


def test_class_without_positives_is_left_out() -> None:
    targets = np.array([[1, 0], [0, 0]], dtype=np.bool_)
    ap = metrics.average_precision(targets, np.array([[0.9, 0.1], [0.1, 0.9]]))
    assert ap[0] == 1.0
    assert np.isnan(ap[1])
    assert metrics.mean_average_precision(ap) == 1.0
    assert metrics.classes_scored(targets) == 1
    assert math.isnan(metrics.mean_average_precision(ap[1:]))


def test_auc_needs_both_kinds() -> None:
    assert np.isnan(metrics.auc(one_class(1, 1), np.zeros((2, 1))))[0]


def test_d_prime() -> None:
    assert metrics.d_prime(0.5) == pytest.approx(0.0, abs=1e-12)
    # two unit normals one d' apart: AUC = Phi(d' / sqrt(2))
    area = 0.5 * (1 + math.erf(2.5 / 2))
    assert metrics.d_prime(area) == pytest.approx(2.5)
    assert all(
        math.isnan(metrics.d_prime(area)) for area in (0.0, 1.0)
    )  # no number, and none in JSON
    assert math.isnan(metrics.d_prime(math.nan))
    with pytest.raises(NiahError, match="per cent"):
        metrics.d_prime(97.0)


@pytest.mark.parametrize(("clips", "positives"), [(1, 1), (5, 1), (5, 5), (40, 3), (80, 8)])
def test_chance_is_the_mean_over_random_orders(clips: int, positives: int) -> None:
    random = np.random.default_rng(0)
    targets = np.zeros((clips, 4000), dtype=np.bool_)
    targets[:positives] = True
    ap = metrics.average_precision(targets, random.random(targets.shape))
    error = 5 * ap.std() / np.sqrt(ap.size) + 1e-12
    assert metrics.chance_mAP(targets) == pytest.approx(float(ap.mean()), abs=error)


def test_chance_by_hand() -> None:
    # one positive among two clips: rank 1 or 2, AP 1 or 1/2
    assert metrics.chance_mAP(one_class(1, 0)) == pytest.approx(0.75)
    assert math.isnan(metrics.chance_mAP(one_class(0, 0)))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Targets, Scores]:
    clips, classes = draw(st.integers(2, 40)), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([2, 5, 1000]))  # few levels: many ties
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    scores = (random.integers(levels, size=(clips, classes)) / levels).astype(dtype)
    return random.random((clips, classes)) < 0.3, scores


@given(problems())
@settings(max_examples=150, deadline=None)
def test_equal_scikit_learn(problem: tuple[Targets, Scores]) -> None:
    targets, scores = problem
    ap, area = metrics.average_precision(targets, scores), metrics.auc(targets, scores)
    for index in range(targets.shape[1]):
        truth, given_scores = targets[:, index], scores[:, index]
        if not truth.any():
            assert np.isnan(ap[index])
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert ap[index] == pytest.approx(
                average_precision_score(truth, given_scores), abs=1e-12
            )
            if not truth.all():
                assert area[index] == pytest.approx(roc_auc_score(truth, given_scores), abs=1e-12)


def test_validate_says_what_is_wrong() -> None:
    with pytest.raises(NiahError, match="transposed"):
        metrics.validate(np.zeros((2, 3), dtype=np.bool_), np.zeros((3, 2)))
    with pytest.raises(NiahError, match="bool"):
        metrics.average_precision(np.zeros((2, 3)), np.zeros((2, 3)))  # type: ignore[arg-type]
    broken = np.zeros((4, 3))
    broken[2, 1] = np.nan
    with pytest.raises(NiahError, match=r"1 clips .*row 2"):
        metrics.auc(np.zeros((4, 3), dtype=np.bool_), broken)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.4, 1.0])
@pytest.mark.parametrize("masked", [False, True])
def test_auc_by_comparison_has_the_bits_of_auc_by_ranks(
    dtype: type, share: float, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    targets = random.random((57, 23)) < share
    scores: Scores = (3 * random.normal(size=targets.shape)).round(1).astype(dtype)
    excluded = (random.random(targets.shape) < 0.2) if masked else None
    monkeypatch.setattr(metrics, "COMPARED", 200)  # a few positives at a time
    monkeypatch.setattr(metrics, "FEW_POSITIVES", -1)
    ranked = metrics.auc(targets, scores, excluded)
    monkeypatch.setattr(metrics, "FEW_POSITIVES", 57)
    np.testing.assert_array_equal(metrics.auc(targets, scores, excluded), ranked)
