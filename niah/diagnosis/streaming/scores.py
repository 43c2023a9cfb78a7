"""The scores of one kind of scene: thresholds of its needle-free streams, answers, steadiness, memory, cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from niah.diagnosis.false_alarms.measure import Allowance
from niah.diagnosis.false_alarms.rows import ONE_SCENE
from niah.diagnosis.streaming.listening import Heard
from niah.metrics.answers import (
    FreeStream,
    Track,
    median_interval,
    stream_scores,
    thresholds_of,
)
from niah.metrics.means import resample_mean
from niah.metrics.resampling import Resampled

BEFORE_S, AFTER_S, STEP_S = 10.0, 30.0, 0.5  # of a curve: around the sound, and its finest step
HOUR_S = 3600.0
_SHARES = ("within_1", "within_2", "within_5", "within_10", "answered", "hold")


@dataclass(frozen=True)
class Sound:
    """When one class of a scene sounds: its column, onset and offset in seconds of the scene."""

    column: int
    onset_s: float
    offset_s: float


@dataclass(frozen=True)
class HeardScenes:
    """One kind of scene, heard.

    Attributes:
        scenes: one a clip.
        free: the same without the needle; a single one of a constant haystack.
        sounds: of each scene, those of classes that count.
        groups: the recording of each clip.
        hop_s: seconds of a hop.
        is_constant: whether the haystack is a constant.
    """

    scenes: Sequence[Heard]
    free: Sequence[Heard]
    sounds: Sequence[Sequence[Sound]]
    groups: Sequence[str]
    hop_s: float
    is_constant: bool

    @property
    def tracks(self) -> list[Track]:
        """Return the tracks of all scenes."""
        return [
            Track(
                clip,
                each.column,
                heard.ends_s,
                heard.logits[:, each.column],
                each.onset_s,
                each.offset_s,
            )
            for clip, (heard, own) in enumerate(zip(self.scenes, self.sounds, strict=True))
            for each in own
        ]

    def free_streams(self) -> dict[int, FreeStream]:
        """Return the needle-free logits of each class that a scene has."""
        clips = np.concatenate([np.full(len(h.logits), i) for i, h in enumerate(self.free)])
        columns = sorted({each.column for own in self.sounds for each in own})
        return {
            column: FreeStream(clips, np.concatenate([h.logits[:, column] for h in self.free]))
            for column in columns
        }

    def allowance(self, per_hour: float) -> Allowance:
        """Return the needle-free hops that may be alarms at a rate: every hop is a decision."""
        hops = sum(len(heard.logits) for heard in self.free)
        hours = sum(float(heard.ends_s[-1]) for heard in self.free) / HOUR_S
        return Allowance.of(per_hour, hops, self.hop_s, is_constant=self.is_constant, hours=hours)


def scores_at(heard: HeardScenes, per_hour: float) -> dict[str, Any]:
    """Compute the fields of `StreamScores` from `pairs` on.

    Args:
        heard: one kind of scene, with at least one sound.
        per_hour: alarms an hour and class.
    """
    allowance = heard.allowance(per_hour)
    tracks, free = heard.tracks, heard.free_streams()
    fields: dict[str, Any] = {
        "pairs": len(tracks),
        "sound_s": float(np.mean([track.offset_s - track.onset_s for track in tracks])),
        "outcome": allowance.outcome,
        "free_hours": allowance.hours,
        "alarms": allowance.alarms if allowance.is_scored else 0,
        "more_hours": allowance.more_hours,
        "episodes_hour": None,
        **_drift(heard, list(free)),
        **_cost(heard),
    }
    answers: Mapping[str, Resampled] = {}
    if allowance.is_scored:
        answers = stream_scores(
            tracks,
            free,
            allowance.alarms,
            groups=heard.groups,
            is_constant=allowance.outcome == ONE_SCENE,
        )
        thresholds = thresholds_of(free, allowance.alarms)
        fields["episodes_hour"] = _episodes(heard.free, thresholds) / allowance.hours
    for name in _SHARES:
        fields |= _bounded(name, answers.get(name), unit=True)
    fields |= _bounded("flips", answers.get("flips"), unit=False)
    for name, column in (("median_s", "wait"), ("release_s", "release")):
        fields |= _median(column, answers.get(name))
    return fields | {name: _finite(answers.get(name)) for name in ("early", "wobble")}


def curve_at(heard: HeardScenes, per_hour: float) -> Iterator[dict[str, Any]]:
    """Compute the fields of `CurvePoint` from `since` on, a step of time after another.

    Args:
        heard: one kind of scene.
        per_hour: alarms an hour and class.
    """
    allowance, tracks = heard.allowance(per_hour), heard.tracks
    thresholds = (
        thresholds_of(heard.free_streams(), allowance.alarms) if allowance.is_scored else None
    )
    step = heard.hop_s * max(1, round(STEP_S / heard.hop_s))
    longest = max(track.offset_s - track.onset_s for track in tracks)
    groups = [heard.groups[track.clip] for track in tracks]
    for number in range(-round(BEFORE_S / step), round((longest + AFTER_S) / step)):
        score = np.full(len(tracks), np.nan)
        above = np.full(len(tracks), np.nan)
        for row, track in enumerate(tracks):
            edges = track.onset_s + step * number, track.onset_s + step * (number + 1)
            first, last = np.searchsorted(track.ends_s, edges, side="right")
            own = track.logits[first:last].astype(np.float64)
            if own.size:
                score[row] = (0.5 + 0.5 * np.tanh(own / 2)).mean()
                if thresholds is not None:
                    above[row] = (own > thresholds[track.column]).mean()
        if np.isfinite(score).any():
            yield {
                "since": step * (number + 0.5),
                **_bounded("score", resample_mean(score, groups=groups), unit=True),
                **_bounded("above", resample_mean(above, groups=groups), unit=True),
            }


def _drift(heard: HeardScenes, columns: list[int]) -> dict[str, float | None]:
    values = []
    for each in heard.free:
        third = len(each.logits) // 3
        middle, last = each.logits[third : 2 * third], each.logits[len(each.logits) - third :]
        parts = middle[:, columns], last[:, columns]
        heard_enough = third and all(np.isfinite(part).all() for part in parts)
        values.append(float(parts[1].mean() - parts[0].mean()) if heard_enough else np.nan)
    groups = heard.groups if len(values) == len(heard.groups) else None
    drift = resample_mean(np.array(values), groups=groups)
    bounds = drift.interval() if len(values) > 1 and np.isfinite(drift.estimate) else (None, None)
    low, high = (None if each is None or each != each else each for each in bounds)
    return {"drift": _finite(drift), "drift_lo": low, "drift_hi": high}


def _cost(heard: HeardScenes) -> dict[str, float | int]:
    every = heard.scenes
    seconds = float(np.median([each.hop_seconds for each in every]))
    return {
        "compute_s": seconds,
        "rtf": heard.hop_s / max(seconds, 1e-9),
        "slowdown": float(np.median([each.slowdown for each in every])),
        "state_bytes": max(int(each.state_bytes.max()) for each in every),
        "state_growth": max(each.state_growth for each in every),
    }


def _episodes(free: Sequence[Heard], thresholds: Mapping[int, float]) -> float:
    """Return how often the needle-free logits rise above their threshold, mean over classes."""
    columns = list(thresholds)
    limits = np.array([thresholds[column] for column in columns])
    rises = 0
    for heard in free:
        above = heard.logits[:, columns] > limits
        rises += int((above[1:] & ~above[:-1]).sum() + above[:1].sum())
    return rises / len(columns)


def _bounded(name: str, score: Resampled | None, *, unit: bool) -> dict[str, float | None]:
    value = _finite(score)
    low: float | None = None
    high: float | None = None
    if score is not None and value is not None:
        bounds = score.unit_interval() if unit else score.interval()
        low, high = (None if each != each else float(each) for each in bounds)
        if low is not None and not unit:
            low = max(0.0, low)
    return {name: value, f"{name}_lo": low, f"{name}_hi": high}


def _median(name: str, score: Resampled | None) -> dict[str, float | None]:
    bounds = (None, None) if score is None else median_interval(score)
    return {f"{name}_s": _finite(score), f"{name}_lo_s": bounds[0], f"{name}_hi_s": bounds[1]}


def _finite(score: Resampled | None) -> float | None:
    return None if score is None or not np.isfinite(score.estimate) else score.estimate
