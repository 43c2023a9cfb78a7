"""Sound events from scores over time: stretches, pairs of onsets, intersections, PSDS1."""

from typing import Any

import numpy as np
import pytest

from niah.errors import NiahError
from niah.metrics.sound_events import (
    EventCounts,
    Events,
    ScoredScene,
    best_thresholds,
    intersection_counts,
    onset_counts,
    psds1,
)


def scene(scores: Any, events: Any) -> ScoredScene:
    columns = np.asarray(scores, dtype=np.float32)
    return ScoredScene(np.arange(len(columns) + 1.0), columns, tuple(events))


def tenths(detected: Events, true: Events) -> ScoredScene:
    """A scene of one class whose scores are 1 in the detected stretches and 0 elsewhere, in places of 0.1 s."""
    edges = np.arange(121) / 10
    scores = np.zeros((120, 1), dtype=np.float32)
    for onset, offset in detected:
        scores[round(10 * onset) : round(10 * offset)] = 1.0
    return ScoredScene(edges, scores, (true,))


def numbers(counts: EventCounts) -> tuple[int, int, int]:
    assert counts.hits.shape == (1, 1)
    return counts.hits.item(), counts.false_alarms.item(), counts.misses.item()


HALF = np.array([0.5])


def test_detections_are_stretches_above_the_threshold() -> None:
    """A false alarm at each onset, at thresholds in any order."""
    edges = np.array([0.0, 1.0, 2.0, 4.0, 5.0])
    scores = np.array([[1.0], [0.0], [2.0], [2.0]], dtype=np.float32)
    scenes = [ScoredScene(edges, scores, ([],))]
    counts = onset_counts(scenes, 0, np.array([0.5, 2.0, 1.0, -1.0]), 0.5)
    assert counts.false_alarms.tolist() == [[2, 0, 1, 1]]
    true = [ScoredScene(edges, scores, ([(0.0, 1.0), (2.0, 5.0)],))]
    assert numbers(intersection_counts(true, 0, HALF, share=1.0)) == (2, 0, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 5.0], [1.4, 5.6], (1, 1, 1)),
        ([1.0, 1.2], [1.1], (1, 1, 0)),
        ([1.0, 1.8], [0.6, 1.4], (2, 0, 0)),  # the nearest first would leave one over
        ([], [3.0], (0, 0, 1)),
        ([3.0], [], (0, 1, 0)),
    ],
)
def test_onsets_are_paired_as_often_as_possible(
    ours: list[float], theirs: list[float], expected: tuple[int, int, int]
) -> None:
    true = [(onset, onset + 1) for onset in theirs]
    detected = [(onset, onset + 0.1) for onset in ours]
    assert numbers(onset_counts([tenths(detected, true)], 0, HALF, 0.5)) == expected


@pytest.mark.parametrize(
    ("detected", "true", "expected"),
    [
        ([(0.0, 10.0)], [(0.0, 10.0)], (1, 0, 0)),
        ([(0.0, 10.0)], [(0.0, 6.0)], (0, 1, 1)),  # 0.6 of it is in the event: not valid
        ([(0.0, 10.0)], [(0.0, 7.0)], (1, 0, 0)),
        ([(0.0, 3.0), (4.0, 8.0)], [(0.0, 10.0)], (1, 0, 0)),  # two halves find it together
        ([(0.0, 3.0)], [(0.0, 10.0)], (0, 0, 1)),
        ([(0.0, 10.0)], [(0.0, 6.0), (5.0, 10.0)], (2, 0, 0)),  # overlapping truth
    ],
)
def test_intersections_follow_bilen(
    detected: Events, true: Events, expected: tuple[int, int, int]
) -> None:
    assert numbers(intersection_counts([tenths(detected, true)], 0, HALF)) == expected


def plain_detections(scene: ScoredScene, index: int, threshold: float) -> Events:
    above = np.concatenate([[False], scene.scores[:, index] > threshold, [False]])
    edges = scene.edges_s[np.flatnonzero(above[1:] != above[:-1])]
    return [(float(a), float(b)) for a, b in edges.reshape(-1, 2)]


def plain_pairs(ours: Events, theirs: Events, collar_s: float) -> int:
    """The most pairs of onsets, each used once, by augmenting paths (Kuhn)."""
    owner: dict[int, int] = {}

    def paired(i: int, seen: set[int]) -> bool:
        for j, (onset, _) in enumerate(theirs):
            if abs(ours[i][0] - onset) <= collar_s and j not in seen:
                seen.add(j)
                if j not in owner or paired(owner[j], seen):
                    owner[j] = i
                    return True
        return False

    return sum(paired(i, set()) for i in range(len(ours)))


def plain_intersections(detected: Events, true: Events) -> tuple[int, int]:
    """Found true events and invalid detections, of edges at quarters of a second."""

    def quarters(events: Events) -> set[int]:
        return {q for on, off in events for q in range(round(4 * on), round(4 * off))}

    truth = quarters(true)
    valid = [d for d in detected if len(quarters([d]) & truth) >= 0.7 * len(quarters([d]))]
    heard = quarters(valid)
    found = sum(len(quarters([e]) & heard) >= 0.7 * len(quarters([e])) for e in true)
    return found, len(detected) - len(valid)


@pytest.mark.parametrize("seed", range(5))
def test_all_thresholds_at_once_count_as_one_at_a_time(seed: int) -> None:
    random = np.random.default_rng(seed)

    def drawn() -> ScoredScene:
        edges = np.cumsum(np.r_[0, random.integers(1, 5, random.integers(1, 40))]) / 4
        scores = random.integers(0, 9, (len(edges) - 1, 2)).astype(np.float32)  # with many ties
        ends = [random.choice(4 * int(edges[-1]) + 5, (random.integers(4), 2)) for _ in range(2)]
        events = [[(min(e) / 4, (max(e) + 1) / 4) for e in own.tolist()] for own in ends]
        return ScoredScene(edges, scores, tuple(events))

    scenes = [drawn() for _ in range(4)]
    thresholds = np.arange(-0.5, 9.0)
    for index in range(2):
        paired = onset_counts(scenes, index, thresholds, 1.0)
        shared = intersection_counts(scenes, index, thresholds)
        for i, each in enumerate(scenes):
            true = each.events[index]
            for k, threshold in enumerate(thresholds):
                detected = plain_detections(each, index, threshold)
                hits = plain_pairs(detected, true, 1.0)
                assert paired.hits[i, k] == hits
                assert paired.false_alarms[i, k] == len(detected) - hits
                assert paired.misses[i, k] == len(true) - hits
                found, invalid = plain_intersections(detected, true)
                assert (shared.hits[i, k], shared.false_alarms[i, k]) == (found, invalid)
                assert shared.misses[i, k] == len(true) - found


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
