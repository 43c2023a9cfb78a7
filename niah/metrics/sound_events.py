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
class EventCounts:
    """Hits, false alarms and misses of one class in each scene at each threshold; each (scenes, thresholds)."""

    hits: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    misses: NDArray[np.int64]

    def f_scores(self) -> Float64:
        """Return 2 TP / (2 TP + FP + FN) of all scenes at each threshold; NaN without events, true or detected."""
        hits, alarms, misses = (x.sum(axis=0) for x in (self.hits, self.false_alarms, self.misses))
        with np.errstate(invalid="ignore"):
            return np.asarray(2 * hits / (2 * hits + alarms + misses), dtype=np.float64)


def onset_counts(
    scenes: Sequence[ScoredScene], index: int, thresholds: Float64, collar_s: float
) -> EventCounts:
    """Pair detections with true events whose onsets are at most `collar_s` apart, as many as possible.

    Args:
        scenes: of one kind.
        index: of the class.
        thresholds: in any order, (thresholds,).
        collar_s: seconds.
    """
    from niah.metrics.sound_events_numba import pair_onsets

    order = np.argsort(thresholds)
    onsets, first = _concatenated([sorted(on for on, _ in s.events[index]) for s in scenes])
    hits, alarms = pair_onsets(
        *_class_scores(scenes, index), thresholds[order], onsets, first, collar_s
    )
    return _counts(hits, alarms, order, first)


def intersection_counts(
    scenes: Sequence[ScoredScene], index: int, thresholds: Float64, share: float = VALID_SHARE
) -> EventCounts:
    """Count found and missed true events and invalid detections, by the share of them that lies in the others.

    Args:
        scenes: of one kind; the true events of a class may overlap.
        index: of the class.
        thresholds: in any order, (thresholds,).
        share: least share of a detection in true events, and of a true event in valid detections.
    """
    from niah.metrics.sound_events_numba import intersect

    order = np.argsort(thresholds)
    true, first = _concatenated([scene.events[index] for scene in scenes])
    union, first_of_union = _concatenated([_union(scene.events[index]) for scene in scenes])
    hits, alarms = intersect(
        *_class_scores(scenes, index),
        thresholds[order],
        true.reshape(-1, 2),
        first,
        union.reshape(-1, 2),
        first_of_union,
        share,
    )
    return _counts(hits, alarms, order, first)


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
            scores = onset_counts(scenes, c, candidates, collar_s).f_scores()
            best[c] = candidates[int(np.nanargmax(scores))]
    return best


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
            counts = intersection_counts(scenes, c, _thresholds(scenes, c))
            curves.append((counts.false_alarms.sum(axis=0) / hours, counts.hits.sum(axis=0) / true))
    if not curves:
        return float("nan")
    edges = np.unique(np.concatenate([[0.0, MOST_PER_HOUR], *(rates for rates, _ in curves)]))
    edges = edges[edges <= MOST_PER_HOUR]
    shares = np.stack([_at(edges[:-1], *curve) for curve in curves])
    effective = np.maximum(0.0, shares.mean(axis=0) - shares.std(axis=0))
    return float(effective @ np.diff(edges) / MOST_PER_HOUR)


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


def _class_scores(
    scenes: Sequence[ScoredScene], index: int
) -> tuple[NDArray[np.float32], Float64, NDArray[np.int64]]:
    """Return a class's scores (places,), the edges of their places (places + scenes,), first places (scenes + 1,)."""
    scores = np.concatenate([scene.scores[:, index] for scene in scenes])
    edges = np.concatenate([scene.edges_s for scene in scenes])
    places = [0, *(len(scene.scores) for scene in scenes)]
    return scores, edges.astype(np.float64), np.cumsum(places, dtype=np.int64)


def _concatenated(parts: Sequence[Sequence[object]]) -> tuple[Float64, NDArray[np.int64]]:
    """Return the elements of all scenes' lists, flat, and the place of each scene's first, (scenes + 1,)."""
    flat = np.array([each for part in parts for each in part], dtype=np.float64)
    return flat, np.cumsum([0, *map(len, parts)], dtype=np.int64)


def _counts(
    hits: NDArray[np.int64],
    false_alarms: NDArray[np.int64],
    order: NDArray[np.intp],
    first: NDArray[np.int64],
) -> EventCounts:
    """Return counts at rising thresholds as those in the order of before they were sorted."""
    place = np.argsort(order)
    hits, false_alarms = hits[:, place], false_alarms[:, place]
    return EventCounts(hits, false_alarms, np.diff(first)[:, None] - hits)


def _union(events: Events) -> Events:
    """Merge stretches that touch or overlap."""
    merged: list[tuple[float, float]] = []
    for onset, offset in sorted(events):
        if merged and onset <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(offset, merged[-1][1])
        else:
            merged.append((onset, offset))
    return merged
