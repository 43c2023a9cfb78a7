"""Sound events from scores over time: stretches, pairs of onsets, intersections, PSDS1."""

from typing import Any

import numpy as np
import pytest

from niah.errors import NiahError
from niah.metrics.sound_events import (
    Counts,
    ScoredScene,
    best_thresholds,
    detections,
    intersection_counts,
    onset_counts,
    psds1,
)


def test_detections_are_stretches_above_the_threshold() -> None:
    edges = np.array([0.0, 1.0, 2.0, 4.0, 5.0])
    scores = np.array([1.0, 0.0, 2.0, 2.0], dtype=np.float32)
    assert detections(edges, scores, 0.5) == [(0.0, 1.0), (2.0, 5.0)]
    assert detections(edges, scores, 1.0) == [(2.0, 5.0)]
    assert detections(edges, scores, 2.0) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 5.0], [1.4, 5.6], Counts(1, 1, 1)),
        ([1.0, 1.2], [1.1], Counts(1, 1, 0)),
        ([1.0, 1.8], [0.6, 1.4], Counts(2, 0, 0)),  # the nearest first would leave one over
        ([], [3.0], Counts(0, 0, 1)),
        ([3.0], [], Counts(0, 1, 0)),
    ],
)
def test_onsets_are_paired_as_often_as_possible(
    ours: list[float], theirs: list[float], expected: Counts
) -> None:
    def events(onsets: list[float]) -> list[tuple[float, float]]:
        return [(onset, onset + 1) for onset in onsets]

    assert onset_counts(events(ours), events(theirs), 0.5) == expected


@pytest.mark.parametrize(
    ("detected", "true", "expected"),
    [
        ([(0.0, 10.0)], [(0.0, 10.0)], Counts(1, 0, 0)),
        ([(0.0, 10.0)], [(0.0, 6.0)], Counts(0, 1, 1)),  # 0.6 of it is in the event: not valid
        ([(0.0, 10.0)], [(0.0, 7.0)], Counts(1, 0, 0)),
        ([(0.0, 3.0), (4.0, 8.0)], [(0.0, 10.0)], Counts(1, 0, 0)),  # two halves find it together
        ([(0.0, 3.0)], [(0.0, 10.0)], Counts(0, 0, 1)),
        ([(0.0, 10.0)], [(0.0, 6.0), (5.0, 10.0)], Counts(2, 0, 0)),  # overlapping truth
    ],
)
def test_intersections_follow_bilen(detected: Any, true: Any, expected: Counts) -> None:
    assert intersection_counts(detected, true) == expected


def scene(scores: Any, events: Any) -> ScoredScene:
    columns = np.asarray(scores, dtype=np.float32)
    return ScoredScene(np.arange(len(columns) + 1.0), columns, tuple(events))


def test_psds1_is_1_for_perfect_scores_and_falls_by_false_positives() -> None:
    """One class in 60 s: a false positive is 60 an hour, so that a later hit counts from there to 100."""
    right = np.zeros((60, 1))
    right[10:20] = 2.0
    assert psds1([scene(right, [[(10.0, 20.0)]])]) == pytest.approx(1.0)
    louder = right.copy()
    louder[40:42] = 3.0  # above the event: reached first
    assert psds1([scene(louder, [[(10.0, 20.0)]])]) == pytest.approx(0.4)
    assert psds1([scene(1 - right, [[(10.0, 20.0)]])]) == 0.0
    assert np.isnan(psds1([scene(right, [[]])]))


def test_psds1_takes_the_spread_of_the_classes_off() -> None:
    scores = np.zeros((60, 2))
    scores[10:20, 0] = 1.0
    scores[0:1, 1] = 1.0
    found_one = psds1([scene(scores, [[(10.0, 20.0)], [(30.0, 40.0)]])])
    assert found_one == pytest.approx(0.0)  # mean 0.5 less a spread of 0.5


def test_the_best_threshold_pairs_most_onsets() -> None:
    scores = np.zeros((60, 2))
    scores[10:20, 0], scores[30:32, 0] = 2.0, 1.0
    best = best_thresholds([scene(scores, [[(10.0, 20.0)], []])], 1.0)
    assert 1.0 <= best[0] < 2.0
    assert np.isnan(best[1])
    with pytest.raises(NiahError, match="one scene or more"):
        psds1([])
