"""`niah.metrics.sound_events` at all thresholds in one compiled pass over the places of a class.

A place whose score rises above thresholds that the place before was not above begins a detection at each of these; one
that falls ends them. So the work is one step a place and one a detection, not one a place and threshold.
"""

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64
from niah.system.kernel_cache import cached_on_disk

Ints = NDArray[np.int64]


@njit(nogil=True)
def _detections(scores: NDArray[np.float32], thresholds: Float64) -> Iterator[tuple[int, int, int]]:
    """Yield (threshold, first place, place after the last) of one scene's detections, of a threshold in time order."""
    begins = np.empty(len(thresholds), np.int64)
    before = 0  # thresholds that the place before is above
    for place in range(len(scores) + 1):
        above = 0
        if place < len(scores):
            beyond = len(thresholds)
            while above < beyond:
                middle = (above + beyond) // 2
                if scores[place] > thresholds[middle]:
                    above = middle + 1
                else:
                    beyond = middle
        for k in range(before, above):
            begins[k] = place
        for k in range(above, before):
            yield k, begins[k], place
        before = above


@njit(nogil=True)
def _common(onset: float, offset: float, events: Float64) -> float:
    """Return the seconds of an event that lie in others, (events, 2), which do not overlap."""
    seconds = 0.0
    for k in range(len(events)):
        seconds += max(0.0, min(offset, events[k, 1]) - max(onset, events[k, 0]))
    return seconds


@cached_on_disk
@njit(nogil=True)
def pair_onsets(
    scores: NDArray[np.float32],
    edges: Float64,
    starts: Ints,
    thresholds: Float64,
    onsets: Float64,
    first: Ints,
    collar: float,
) -> tuple[Ints, Ints]:
    """Return hits and false alarms by onset, each (scenes, thresholds).

    Args:
        scores: of all scenes' places, (places,).
        edges: of these places in seconds, (places + scenes,): one more a scene.
        starts: each scene's first place, (scenes + 1,).
        thresholds: rising.
        onsets: of the true events in seconds, rising in each scene.
        first: each scene's first event, (scenes + 1,).
        collar: seconds.
    """
    n_scenes = len(starts) - 1
    hits = np.zeros((n_scenes, len(thresholds)), np.int64)
    alarms = np.zeros((n_scenes, len(thresholds)), np.int64)
    for s in range(n_scenes):
        following = np.full(
            len(thresholds), first[s]
        )  # the first true event that is not behind or paired
        for k, begin, _ in _detections(scores[starts[s] : starts[s + 1]], thresholds):
            onset, event = edges[starts[s] + s + begin], following[k]
            while event < first[s + 1] and onset - onsets[event] > collar:
                event += 1
            # on a line the first that fit may be paired
            if event < first[s + 1] and abs(onset - onsets[event]) <= collar:
                hits[s, k] += 1
                event += 1
            else:
                alarms[s, k] += 1
            following[k] = event
    return hits, alarms


@cached_on_disk
@njit(nogil=True)
def intersect(
    scores: NDArray[np.float32],
    edges: Float64,
    starts: Ints,
    thresholds: Float64,
    events: Float64,
    first: Ints,
    union: Float64,
    first_of_union: Ints,
    share: float,
) -> tuple[Ints, Ints]:
    """Return found true events and invalid detections, each (scenes, thresholds).

    Args:
        scores, edges, starts, thresholds: as in `pair_onsets`.
        events: (onset, offset) of the true events in seconds, (events, 2).
        first: each scene's first event, (scenes + 1,).
        union: the same merged where they touch or overlap, (stretches, 2).
        first_of_union: each scene's first of these, (scenes + 1,).
        share: least share of a detection in the union, and of a true event in valid detections.
    """
    n_scenes = len(starts) - 1
    hits = np.zeros((n_scenes, len(thresholds)), np.int64)
    alarms = np.zeros((n_scenes, len(thresholds)), np.int64)
    for s in range(n_scenes):
        true = events[first[s] : first[s + 1]]
        merged = union[first_of_union[s] : first_of_union[s + 1]]
        covered = np.zeros(
            (len(thresholds), len(true))
        )  # seconds of each event in valid detections
        for k, begin, end in _detections(scores[starts[s] : starts[s + 1]], thresholds):
            onset, offset = edges[starts[s] + s + begin], edges[starts[s] + s + end]
            if _common(onset, offset, merged) >= share * (offset - onset):
                for e in range(len(true)):
                    covered[k, e] += max(0.0, min(offset, true[e, 1]) - max(onset, true[e, 0]))
            else:
                alarms[s, k] += 1
        for k in range(len(thresholds)):
            for e in range(len(true)):
                hits[s, k] += covered[k, e] >= share * (true[e, 1] - true[e, 0])
    return hits, alarms
