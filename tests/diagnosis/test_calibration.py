"""Calibration: closed forms, scikit-learn's logistic regression, and planted losses told apart."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from niah.diagnosis.controls.calibration import (
    HIGHEST,
    LOWEST,
    MANY,
    Calibration,
    calibration,
    calibration_of_logits,
    calibration_table,
    verdict,
)
from niah.errors import NiahError
from niah.metrics.average_precision import (
    Float64,
    Scores,
    Targets,
    average_precision,
    mean_average_precision,
)
from niah.records.run_directory import RunDirectory
from niah.records.scores import sigmoid as probabilities
from tests.helpers import examples


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
    monkeypatch.setattr("niah.diagnosis.controls.calibration.MANY", scores.size)
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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda logits, _: logits, "kept"),
        (lambda logits, _: 0.3 * logits - 3, "scale lost"),
        (lambda logits, noise: _recalibrated(0.2 * logits + noise), "rank lost"),
        (lambda logits, noise: 0.2 * logits + 4 * noise + 4, "both lost"),
    ],
)
def test_planted_losses_are_told_apart(change, expected: str) -> None:  # type: ignore[no-untyped-def]
    targets, logits = calibrated(3)
    noise = np.random.default_rng(9).normal(size=logits.shape)
    at_10_s = calibration(targets, sigmoid(logits))
    scores = sigmoid(change(logits, noise))
    here = calibration(targets, scores, at_10_s.scale)
    relative = _map(targets, scores) / _map(targets, sigmoid(logits))
    assert verdict(relative, here) == expected
    assert here.nll_refit <= min(here.nll, here.nll_fixed) + 1e-12


def _map(targets: Targets, scores: Scores) -> float:
    return mean_average_precision(average_precision(targets, scores))


def _recalibrated(logits: Float64) -> Float64:
    """Noisy logits on the scale that is honest for them."""
    targets, _ = calibrated(3)
    a, b = calibration(targets, sigmoid(logits)).scale
    return np.asarray(a * logits + b)


def test_logits_are_refused() -> None:
    with pytest.raises(NiahError, match="sigmoid"):
        calibration(np.ones((2, 2), dtype=np.bool_), np.array([[1.0, 3.0], [0.0, -1.0]]))


def test_table_of_a_run(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    table = calibration_table(run, run.cells())
    assert table is not None
    alone = [row for row in table.rows if row[3] == "10 s"]
    assert [row[0] for row in alone] == ["ast-sin-nano", "dass-nano"]  # once a model
    assert all(row[-2:] == ("0 %", "") for row in alone)
    cells = run.cells().query("status == 'ok' and length_s > 10")
    assert len(table.rows) == len(cells) + 2
    cell = cells.query("model == 'dass-nano' and length_s == 300").iloc[0]
    clips = run.read_scores(cell["cell"])
    expected: Calibration = calibration(clips.targets, clips.probabilities)
    row = next(r for r in table.rows if r[:4] == ("dass-nano", "zero", "0.5", "300 s"))
    assert row[4] == f"{expected.ece:.4f}"


def test_without_scores_there_is_no_table(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    (tmp_path / "bare").mkdir()
    (run.path / "cells.csv").rename(tmp_path / "bare" / "cells.csv")
    bare = RunDirectory(tmp_path / "bare")
    assert calibration_table(bare, bare.cells()) is None
