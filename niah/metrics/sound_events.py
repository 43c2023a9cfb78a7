"""Scores over time as sound events: onset F-score, and PSDS1 without a threshold.

An event is a stretch of time (onset, offset) in seconds, of one class in one scene. At a threshold, the detected events
are the stretches of places whose score is above it.

    onset F  a detection is a hit if its onset lies at most `collar` seconds from that of a true event, each used once
             (as many pairs as possible); F = 2 TP / (2 TP + FP + FN)
    PSDS1    Bilen et al. 2020, scenario 1 of DCASE: a detection is valid if at least 0.7 of it lies in true events of
             its class, else a false positive; a true event is found if at least 0.7 of it lies in valid detections.
             TPR_c(e) is the highest share found at any threshold with at most e false positives an hour;
             PSDS1 = mean over 0 <= e <= 100 an hour of max(0, mean_c TPR_c(e) - std_c TPR_c(e))

PSDS1 takes thresholds at order statistics of each class's scores, dense at the top (`THRESHOLDS` of them), and not all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.metrics.average_precision import Float64

VALID_SHARE = 0.7  # of a detection, and of a true event
MOST_PER_HOUR = 100.0
THRESHOLDS = 200
Events = Sequence[tuple[float, float]]  # (onset, offset) in seconds


@dataclass(frozen=True)
class ScoredScene:
    """The scores of one scene over time, and its true events.

    Attributes:
        edges_s: edges of the places in seconds, (places + 1,), rising.
        scores: (places, classes).
        events: true events of each class, (classes,) lists.
    """

    edges_s: Float64
    scores: NDArray[np.float32]
    events: tuple[Events, ...]


@dataclass(frozen=True)
class Counts:
    """Hits, false alarms and misses."""

    hits: int
    false_alarms: int
    misses: int

    @property
    def f_score(self) -> float:
        """Return 2 TP / (2 TP + FP + FN); NaN where there is nothing to detect and nothing was."""
        total = 2 * self.hits + self.false_alarms + self.misses
        return 2 * self.hits / total if total else float("nan")


def detections(edges_s: Float64, scores: NDArray[np.float32], threshold: float) -> Events:
    """Return the stretches of places whose score is above a threshold, in time order.

    Args:
        edges_s: edges of the places in seconds, (places + 1,).
        scores: of one class, (places,).
        threshold: not part of it.
    """
    above = np.diff(np.concatenate([[False], scores > threshold, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(above == 1), np.flatnonzero(above == -1)
    return list(zip(edges_s[begins].tolist(), edges_s[ends].tolist(), strict=True))


def onset_counts(detected: Events, true: Events, collar_s: float) -> Counts:
    """Pair detections with true events whose onsets are at most `collar_s` apart, as many as possible.

    Args:
        detected: events of one class in one scene.
        true: the true ones.
        collar_s: seconds.
    """
    ours, theirs = (sorted(onset for onset, _ in events) for events in (detected, true))
    hits = i = j = 0
    while i < len(ours) and j < len(theirs):  # on a line the first that fit may be paired
        if abs(ours[i] - theirs[j]) <= collar_s:
            hits, i, j = hits + 1, i + 1, j + 1
        elif ours[i] < theirs[j]:
            i += 1
        else:
            j += 1
    return Counts(hits, len(ours) - hits, len(theirs) - hits)


def intersection_counts(detected: Events, true: Events, share: float = VALID_SHARE) -> Counts:
    """Count found and missed true events and invalid detections, by the share of them that lies in the others.

    Args:
        detected: events of one class in one scene.
        true: the true ones, which may overlap.
        share: least share of a detection in true events, and of a true event in valid detections.
    """
    truth = _union(true)
    valid = [each for each in detected if _inside(each, truth) >= share * (each[1] - each[0])]
    hits = sum(_inside(each, valid) >= share * (each[1] - each[0]) for each in true)
    return Counts(hits, len(detected) - len(valid), len(true) - hits)


def best_thresholds(scenes: Sequence[ScoredScene], collar_s: float) -> Float64:
    """Return each class's threshold with the best onset F, the highest of equals; NaN without a true event, (classes,).

    Args:
        scenes: of one kind, with the same classes.
        collar_s: of `onset_counts`.
    """
    classes = _classes(scenes)
    best = np.full(classes, np.nan)
    for c in range(classes):
        if any(scene.events[c] for scene in scenes):
            candidates = _thresholds(scenes, c)
            scores = [class_counts(scenes, c, t, collar_s).f_score for t in candidates.tolist()]
            best[c] = candidates[int(np.nanargmax(scores))]
    return best


def class_counts(
    scenes: Sequence[ScoredScene], index: int, threshold: float, collar_s: float
) -> Counts:
    """Count the onsets of one class in scenes.

    Args:
        scenes: of one kind.
        index: of the class.
        threshold: of the class.
        collar_s: of `onset_counts`.
    """
    counts = [
        onset_counts(
            detections(s.edges_s, s.scores[:, index], threshold), s.events[index], collar_s
        )
        for s in scenes
    ]
    return Counts(
        sum(each.hits for each in counts),
        sum(each.false_alarms for each in counts),
        sum(each.misses for each in counts),
    )


def psds1(scenes: Sequence[ScoredScene]) -> float:
    """Compute PSDS1 over the classes with a true event; NaN without any.

    Args:
        scenes: of one kind, with the same classes.
    """
    hours = sum(float(scene.edges_s[-1] - scene.edges_s[0]) for scene in scenes) / 3600.0
    curves = []
    for c in range(_classes(scenes)):
        true = sum(len(scene.events[c]) for scene in scenes)
        if true:
            curves.append(_roc(scenes, c, true, hours))
    if not curves:
        return float("nan")
    edges = np.unique(np.concatenate([[0.0, MOST_PER_HOUR], *(rates for rates, _ in curves)]))
    edges = edges[edges <= MOST_PER_HOUR]
    shares = np.stack([_at(edges[:-1], *curve) for curve in curves])
    effective = np.maximum(0.0, shares.mean(axis=0) - shares.std(axis=0))
    return float(effective @ np.diff(edges) / MOST_PER_HOUR)


def _roc(
    scenes: Sequence[ScoredScene], index: int, true: int, hours: float
) -> tuple[Float64, Float64]:
    """Return false positives an hour and the share of true events found, by falling threshold."""
    rates, shares = [], []
    for threshold in _thresholds(scenes, index).tolist():
        hits = alarms = 0
        for scene in scenes:
            detected = detections(scene.edges_s, scene.scores[:, index], threshold)
            counts = intersection_counts(detected, scene.events[index])
            hits, alarms = hits + counts.hits, alarms + counts.false_alarms
        rates.append(alarms / hours)
        shares.append(hits / true)
    return np.array(rates), np.array(shares)


def _at(rates: Float64, own_rates: Float64, shares: Float64) -> Float64:
    """Return the highest share at each rate of false positives or fewer; 0 where there is none."""
    order = np.lexsort((shares, own_rates))
    highest = np.maximum.accumulate(shares[order])
    place = np.searchsorted(own_rates[order], rates, side="right") - 1
    return np.asarray(np.where(place >= 0, highest[np.maximum(place, 0)], 0.0), dtype=np.float64)


def _thresholds(scenes: Sequence[ScoredScene], index: int) -> Float64:
    """Return thresholds at order statistics of a class's scores, falling: the first below the very highest score."""
    values = np.unique(np.concatenate([scene.scores[:, index] for scene in scenes]))[::-1]
    # above each of these lie exactly the higher scores
    below = np.append(values[1:], values[-1] - 1.0).astype(np.float64)
    ranks = np.geomspace(1, len(below), min(len(below), THRESHOLDS)).round().astype(int)
    chosen = below if len(below) <= THRESHOLDS else below[np.unique(ranks) - 1]
    return np.asarray(chosen, dtype=np.float64)


def _classes(scenes: Sequence[ScoredScene]) -> int:
    if not scenes or len({len(scene.events) for scene in scenes}) != 1:
        raise NiahError("events are of one scene or more, which have the same classes")
    return len(scenes[0].events)


def _union(events: Events) -> Events:
    """Merge stretches that touch or overlap."""
    merged: list[tuple[float, float]] = []
    for onset, offset in sorted(events):
        if merged and onset <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(offset, merged[-1][1])
        else:
            merged.append((onset, offset))
    return merged


def _inside(event: tuple[float, float], others: Events) -> float:
    """Return the seconds of an event that lie in stretches which do not overlap."""
    return sum(max(0.0, min(event[1], b) - max(event[0], a)) for a, b in others)
