"""Scenes without a needle: thresholds by definition, rates by hand, planted drift."""

import numpy as np
import pytest

from niah.diagnosis.controls.needle_free import false_alarms, score_drift, thresholds
from niah.errors import NiahError
from niah.metrics.average_precision import Scores


@pytest.mark.parametrize("recall", [0.1, 0.5, 0.8, 1.0])
def test_threshold_finds_the_recall_and_no_higher_one_does(recall: float) -> None:
    random = np.random.default_rng(0)
    targets = random.random((200, 5)) < 0.1
    scores = random.random(targets.shape).astype(np.float16)
    fixed = thresholds(targets, scores, recall)
    for index in range(5):
        positives = scores[targets[:, index], index]
        assert (positives >= fixed[index]).mean() >= recall
        higher = positives[positives > fixed[index]]
        assert higher.size / positives.size < recall


def test_thresholds_need_positives_and_a_recall() -> None:
    targets = np.array([[True, False], [True, False]])
    assert np.isnan(thresholds(targets, np.ones((2, 2)))[1])
    with pytest.raises(NiahError, match="recall"):
        thresholds(targets, np.ones((2, 2)), 0.0)


def test_a_system_that_names_or_does_not_name_is_charged_with_what_it_names() -> None:
    """Of words there are two scores: what was not named is no detection, whatever the recall asks for."""
    targets = np.array([[True, False], [True, True], [False, True], [False, False]])
    named = np.where(
        [[1, 0], [0, 0], [0, 0], [0, 0]], 1.0, 0.0
    )  # the first class once, the second never
    fixed = thresholds(targets, named)
    assert fixed.tolist() == [1.0, np.inf]
    assert false_alarms(np.zeros((5, 2)), fixed).share.tolist() == [0.0, 0.0]
    assert false_alarms(np.ones((5, 2)), fixed).share.tolist() == [1.0, 0.0]
    always = np.where([True, False], 0.9, named)  # and one that always says the first
    assert thresholds(targets, always)[0] == 0.9


def test_rates_by_hand() -> None:
    fixed = np.array([0.5, 0.5, np.nan, 0.5])
    scores = np.array([[0.5, 0.4, 0.9, 1.0], [0.1, 0.4, 0.9, 1.0]])
    found = false_alarms(scores, fixed, np.array([False, False, False, True]))
    np.testing.assert_array_equal(found.share, [0.5, 0.0, np.nan, np.nan])
    assert found.mean_share == 0.25  # of the two classes that count
    assert found.worst(["a", "b", "c", "d"]) == [("a", 0.5)]


def test_drift_is_zero_without_one_and_as_planted_with_one() -> None:
    logits = np.random.default_rng(0).normal(-2, 1, size=(300, 4))

    def sigmoid(shift: float) -> Scores:
        return np.asarray(1 / (1 + np.exp(-(logits + shift)))).astype(np.float16)

    np.testing.assert_array_equal(score_drift(sigmoid(0), sigmoid(0)), np.zeros(4))
    np.testing.assert_allclose(score_drift(sigmoid(1.5), sigmoid(0)), 1.5, atol=2e-3)
    assert np.isfinite(score_drift(np.ones((2, 4)), np.zeros((3, 4)))).all()


def test_bad_input_is_told() -> None:
    with pytest.raises(NiahError, match="threshold a class"):
        false_alarms(np.ones((2, 2)), np.ones(3))
    with pytest.raises(NiahError, match="same classes"):
        score_drift(np.ones((2, 2)), np.ones((2, 3)))
