"""Scores of one cell's sound events: onset F, counts and PSDS1, with intervals over recordings.

The threshold of a class must not be chosen on the scenes that it judges, or the shortest ones, where it is chosen, look
better than longer ones at the same hearing. Recordings are dealt into `FOLDS` folds, and the scenes of a fold get the
threshold with the best onset F in the shortest scenes of all other folds, at every length. A class without an event in
these has none there, and does not count: its events must be in two recordings at least.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64
from niah.metrics.draws import drawn, group_count, group_indices, left_out
from niah.metrics.means import resample_mean
from niah.metrics.resampling import DRAWS, SEED, Resampled
from niah.metrics.sound_events import ScoredScene, best_thresholds, onset_counts, psds1

FOLDS = 5


def fold_of_scenes(groups: Sequence[str]) -> NDArray[np.intp]:
    """Deal recordings into folds in the order of their first clips.

    Args:
        groups: the recording of each scene's clip, (scenes,).

    Returns:
        (scenes,) numbers from 0 to `FOLDS` - 1.
    """
    order = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    return np.array([order[group] % FOLDS for group in groups], dtype=np.intp)


def fitted_thresholds(
    scenes: Sequence[ScoredScene], folds: NDArray[np.intp], collar_s: float
) -> Float64:
    """Compute the thresholds that the scenes of each fold get.

    Args:
        scenes: of one kind, one a clip.
        folds: of each scene, (scenes,).
        collar_s: of `niah.metrics.sound_events.onset_counts`.

    Returns:
        (FOLDS, classes); NaN for a class without an event in the other folds.
    """
    thresholds = np.full((FOLDS, len(scenes[0].events)), np.nan)
    for fold in set(folds.tolist()):
        if others := [scene for scene, own in zip(scenes, folds, strict=True) if own != fold]:
            thresholds[fold] = best_thresholds(others, collar_s)
    return thresholds


def event_scores(
    scenes: Sequence[ScoredScene],
    own: Sequence[Sequence[int]],
    thresholds: Float64,
    collar_s: float,
    *,
    groups: Sequence[str],
) -> dict[str, Any]:
    """Compute the scores of one cell.

    Args:
        scenes: one a clip.
        own: the classes of each clip, (clips,) lists.
        thresholds: of each class in each scene, (scenes, classes); NaN where a class does not count.
        collar_s: of `niah.metrics.sound_events.onset_counts`.
        groups: the recording of each clip, (clips,).

    Returns:
        The fields of `EventScores` from `scenes` on.
    """
    counted = ~np.isnan(thresholds)
    table = np.zeros((3, *thresholds.shape))  # hits, false alarms, misses
    for c in range(thresholds.shape[1]):
        for threshold in np.unique(thresholds[counted[:, c], c]):  # one a fold
            rows = np.flatnonzero(thresholds[:, c] == threshold).tolist()
            counts = onset_counts([scenes[i] for i in rows], c, np.array([threshold]), collar_s)
            for k, each in enumerate((counts.hits, counts.false_alarms, counts.misses)):
                table[k, rows, c] = each[:, 0]
    numbers = table[0] + table[1]  # detections
    every = np.array([[len(events) for events in scene.events] for scene in scenes])
    true = np.where(counted, every, 0)
    hits, alarms, misses = table.sum(axis=1)
    scored = true.sum(axis=0) > 0
    f_scores = 2 * hits[scored] / (2 * hits + alarms + misses)[scored]
    lo, hi = _f_bounds(table[:, :, scored], groups)
    columns = [[c for c in classes if counted[i, c]] for i, classes in enumerate(own)]
    errors = _means([np.abs(numbers[i, c] - true[i, c]) for i, c in enumerate(columns)])
    error = resample_mean(errors, groups=groups)
    error_lo, error_hi = error.interval()
    hours = sum(float(s.edges_s[-1] - s.edges_s[0]) for s in scenes) / 3600.0
    named = hits[scored].sum() + alarms[scored].sum()
    return {
        "scenes": len(scenes),
        "events": int(every.sum()),
        "psds1": _known(psds1(scenes)),
        "onset_f": float(f_scores.mean()) if f_scores.size else None,
        "onset_lo": lo,
        "onset_hi": hi,
        "precision": float(hits[scored].sum() / named) if named else None,
        "recall": float(hits[scored].sum() / true.sum()) if scored.any() else None,
        "false_alarms_hour": float(alarms.sum() / hours),
        "count": _mean_of_known(_means([numbers[i, c] for i, c in enumerate(columns)])),
        "true_count": _mean_of_known(_means([true[i, c] for i, c in enumerate(columns)])),
        "count_error": _known(error.estimate),
        "count_lo": None if error_lo != error_lo else max(0.0, error_lo),
        "count_hi": _known(error_hi),
    }


def _means(values: Sequence[Any]) -> Float64:
    """Return the mean of each list, NaN of an empty one."""
    return np.array([float(np.mean(each)) if len(each) else np.nan for each in values])


def _mean_of_known(values: Float64) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _known(value: float) -> float | None:
    return None if value != value else value


def _f_bounds(table: Float64, groups: Sequence[str]) -> tuple[float | None, float | None]:
    """Return the bounds of the mean onset F, recordings resampled; table (3, clips, classes)."""
    if table.shape[2] == 0:
        return None, None
    of = group_indices(groups, table.shape[1])

    def mean_f(counts: Any) -> Float64:
        hits, alarms, misses = np.einsum("kic,id->kcd", table, counts.astype(np.float64))
        total = 2 * hits + alarms + misses
        there = hits + misses > 0  # a class without an event in a draw is left out
        f = np.where(there, 2 * hits / np.where(total > 0, total, 1), 0.0)
        with np.errstate(invalid="ignore"):
            return np.asarray(f.sum(axis=0) / there.sum(axis=0))

    whole = mean_f(np.ones((table.shape[1], 1)))
    lists = np.concatenate([mean_f(c) for c in drawn(of, DRAWS, DRAWS, SEED)])
    left = np.concatenate([mean_f(c) for c in left_out(of, group_count(of))])
    low, high = Resampled(float(whole[0]), lists, left, group_count(of)).unit_interval()
    return (None, None) if low != low else (low, high)
