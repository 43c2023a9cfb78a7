"""Calibration: closed forms, and scikit-learn's logistic regression."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from niah.errors import NiahError
from niah.metrics.average_precision import Float64, Scores, Targets
from niah.metrics.calibration import MANY, calibration, calibration_of_logits
from niah.probabilities import HIGHEST, LOWEST
from niah.probabilities import sigmoid as probabilities


def sigmoid(logits: Float64) -> Float64:
    return np.asarray(1 / (1 + np.exp(-logits)))


def calibrated(seed: int = 0, clips: int = 4000) -> tuple[Targets, Float64]:
    """Labels drawn with the very probability that is said: (targets, logits)."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1.5, size=(clips, 10))
    return random.random(logits.shape) < sigmoid(logits), logits


def test_constant_score_by_hand() -> None:
    targets = np.array([[True, False, False, False]])
    found = calibration(targets, np.full((1, 4), 0.6))
    assert found.ece == pytest.approx(abs(0.25 - 0.6))
    assert found.nll == pytest.approx(-(np.log(0.6) + 3 * np.log(0.4)) / 4)
    # the refit of a constant says the rate
    assert found.ece_refit == pytest.approx(0.0, abs=1e-6)
    assert found.nll_refit == pytest.approx(-(np.log(0.25) + 3 * np.log(0.75)) / 4)


def test_honest_probabilities_are_calibrated() -> None:
    targets, logits = calibrated()
    found = calibration(targets, sigmoid(logits))
    assert found.ece < 0.01
    assert found.scale == pytest.approx((1.0, 0.0), abs=0.05)
    assert found.lost == 0.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_logits_are_calibrated_as_their_sigmoids(dtype: type) -> None:
    targets, logits = calibrated()
    stored = logits.astype(dtype).astype(np.float32)
    fixed = (0.7, 0.1)
    plain = calibration(targets, probabilities(stored), fixed)
    quick = calibration_of_logits(targets, stored, fixed)
    for name, value in vars(plain).items():
        assert getattr(quick, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equal_to_scikit_learn(dtype: type) -> None:
    targets, logits = calibrated(1, 500)
    scores: Scores = sigmoid(3 * logits - 2).astype(dtype)
    found = calibration(targets, scores)
    p = np.clip(scores.astype(np.float64), LOWEST, HIGHEST).ravel()
    x, y = np.log(p / (1 - p))[:, None], targets.ravel()
    fitted = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(x, y)
    assert found.scale == pytest.approx((fitted.coef_[0, 0], fitted.intercept_[0]), abs=1e-4)
    assert found.nll == pytest.approx(log_loss(y, p), abs=1e-10)
    assert found.nll_refit == pytest.approx(log_loss(y, fitted.predict_proba(x)[:, 1]), abs=1e-8)
    bins = np.minimum((p * 15).astype(int), 14)
    ece = sum(abs((y - p)[bins == b].sum()) for b in range(15)) / p.size
    assert found.ece == pytest.approx(ece, abs=1e-12)


def test_many_scores_are_refitted_from_the_optimum_of_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets, logits = calibrated(4, 14_000)
    scores = sigmoid(2 * logits - 1)
    assert scores.size > MANY
    quick = calibration(targets, scores, (0.8, 0.1))
    monkeypatch.setattr("niah.metrics.calibration.MANY", scores.size)
    plain = calibration(targets, scores, (0.8, 0.1))
    for name, value in vars(plain).items():
        assert getattr(quick, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_many_scores_without_a_positive_among_the_few() -> None:
    scores = np.full((2**17 + 1, 2), 0.01, np.float64) * np.linspace(0.5, 1.5, 2)
    targets = np.zeros(scores.shape, np.bool_)
    targets[1, 0] = targets[3, 1] = True
    found = calibration(targets, scores)
    assert found.nll_refit <= found.nll
    assert np.isfinite(found.scale).all()


def test_a_perfect_tagger_has_a_refit_though_it_has_no_optimum() -> None:
    targets, _ = calibrated(2, 50)
    found = calibration(targets, targets.astype(np.float16))
    assert found.nll_refit <= found.nll < 1e-3
    assert np.isfinite(found.scale).all()


def test_logits_are_refused() -> None:
    with pytest.raises(NiahError, match="sigmoid"):
        calibration(np.ones((2, 2), dtype=np.bool_), np.array([[1.0, 3.0], [0.0, -1.0]]))
