"""Answers of a tagger that listens along: how soon they come, how steady they are, how long they last.

A track is one class in one scene: the logit x_k after every hop, heard up to second e_k, and the sound of that class
from onset to offset. The class is answered as long as x_k > t. A hop counts for the sound if e_k lies after the onset.

    wait      e_k - onset at the first such k that rises: x_(k-1) <= t, or k is the first hop. A score that is above t
              since before the onset answers something else. Unanswered if none rises up to `ANSWER_S` after the offset
    early     whether the last hop before the onset was already above t
    hold      share of the hops during the sound (onset < e_k <= offset) that are above t
    flips     changes of the decision during the sound, after the first hop above t
    wobble    standard deviation of x_k during the sound
    release   e_k - offset at the first hop from the offset on (and from the answer on) that is not above t

A wait ends with the scene, or `ANSWER_S` after the sound, and a release with the scene: the watch is over, nothing more
is known, and shares and medians are Kaplan and Meier's (`niah.metrics.survival`). Only answered tracks have a release.

t is the class's threshold of needle-free streams: a hop above it is an alarm, and at most a of all hops may be
(`niah.metrics.recall_at_alarms`). Tracks count equally. A draw takes recordings with all their scenes, and determines
thresholds anew, as recall at false alarms does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64, Scores
from niah.metrics.draws import Groups, drawn, group_count, group_indices, left_out
from niah.metrics.recall_at_alarms import thresholds_on_lists
from niah.metrics.resampling import DRAWS, SEED, Resampled
from niah.metrics.survival import survival
from niah.metrics.weighted_precision import Counts

ANSWER_S = 10.0  # after the end of a sound an answer may still be one to it
WITHIN_S = (1.0, 2.0, 5.0, 10.0)
_BLOCK = 250  # lists at a time


@dataclass(frozen=True)
class Track:
    """One class of one scene (module docstring).

    Attributes:
        clip: number of the scene's clip.
        column: the class.
        ends_s: (hops,) what was heard when the logits came, rising.
        logits: (hops,).
        onset_s: of the sound.
        offset_s: of the sound.
    """

    clip: int
    column: int
    ends_s: Float64
    logits: Scores
    onset_s: float
    offset_s: float

    @property
    def during(self) -> slice:
        """Return the hops during the sound."""
        first, last = np.searchsorted(self.ends_s, (self.onset_s, self.offset_s), side="right")
        return slice(int(first), int(last))

    @property
    def wobble(self) -> float:
        """Return the standard deviation of the logits during the sound; NaN of fewer than two."""
        own = self.logits[self.during]
        own = own[np.isfinite(own)]
        return float(np.std(own.astype(np.float64), ddof=1)) if own.size > 1 else np.nan


@dataclass(frozen=True)
class FreeStream:
    """The needle-free logits of one class.

    Attributes:
        clips: the clip of each hop, (n,).
        logits: of each hop, (n,).
    """

    clips: NDArray[np.intp]
    logits: Scores

    def falling(self) -> "FreeStream":
        """Return the hops by falling logit."""
        order = np.argsort(-self.logits, kind="stable")
        return FreeStream(self.clips[order], self.logits[order])


@dataclass(frozen=True)
class TrackAnswers:
    """A track at n thresholds; every array is (n,)."""

    wait_s: Float64
    is_answered: NDArray[np.bool_]
    is_early: NDArray[np.bool_]
    hold: Float64  # NaN where no hop ends during the sound
    flips: Float64
    release_s: Float64
    is_released: NDArray[np.bool_]


def answers_of(track: Track, thresholds: Scores) -> TrackAnswers:
    """Compute what a track says at each threshold.

    Args:
        track: one class of one scene.
        thresholds: (n,).
    """
    ends, sound = track.ends_s, track.during
    until_s = min(track.offset_s + ANSWER_S, float(ends[-1]))
    last = int(np.searchsorted(ends, until_s, side="right"))
    above = track.logits[sound.start :, None] > thresholds  # from the onset on, (hops, n)
    early = np.zeros(len(thresholds), dtype=bool)
    if sound.start:
        early = track.logits[sound.start - 1] > thresholds
    rises = above & ~np.concatenate([early[None], above[:-1]])
    answered, first = _first(rises[: max(0, last - sound.start)])
    wait = np.where(answered, _time(ends, sound.start + first), until_s) - track.onset_s
    own = above[: sound.stop - sound.start]
    changes = (own[1:] != own[:-1]).sum(axis=0)
    flips = changes - (own.any(axis=0) & ~own[0]) if len(own) else np.zeros(len(thresholds))
    later = above[sound.stop - sound.start :].copy()
    since = np.maximum(0, first - (sound.stop - sound.start))  # an answer after the sound
    later[np.arange(len(later))[:, None] < since] = True
    released, fall = _first(~later)
    left = np.where(released, _time(ends, sound.stop + fall), ends[-1]) - track.offset_s
    return TrackAnswers(
        wait_s=np.maximum(wait, 0.0),
        is_answered=answered,
        is_early=early,
        hold=own.mean(axis=0) if len(own) else np.full(len(thresholds), np.nan),
        flips=flips.astype(np.float64),
        release_s=np.maximum(left, 0.0),
        is_released=released,
    )


def stream_scores(
    tracks: Sequence[Track],
    free: Mapping[int, FreeStream],
    allowed: int,
    *,
    groups: Sequence[str],
    is_constant: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, Resampled]:
    """Compute the scores of one kind of scene, with what their intervals need.

    Args:
        tracks: of all scenes, at least one.
        free: the needle-free streams of each class that a track has, by its column.
        allowed: hops in them that may be alarms, for each class.
        groups: the recording of each clip, (clips,).
        is_constant: the needle-free stream is one of a constant haystack: its highest logit is the threshold.
        draws: number of drawn lists.
        seed: of the draws.

    Returns:
        By name: `within_1` .. `within_10` (share answered within so many seconds), `median_s` (of the wait),
        `answered`, `early`, `hold`, `flips`, `wobble`, `release_s` (median). A median is infinite where the watch ends
        before, a mean NaN where no track has the value.
    """
    sorted_free = {column: own.falling() for column, own in free.items()}
    if is_constant:
        sorted_free = {c: FreeStream(f.clips[:1], f.logits[:1]) for c, f in sorted_free.items()}
    of = group_indices(groups, len(groups))

    def scores(counts: Counts) -> dict[str, Float64]:
        return _scores(tracks, sorted_free, allowed, counts)

    whole = scores(np.ones((len(groups), 1), dtype=np.int32))
    lists = [scores(counts) for counts in drawn(of, draws, min(_BLOCK, draws), seed)]
    left = [scores(counts) for counts in left_out(of, _BLOCK)]
    return {
        name: Resampled(
            float(value[0]), _joined(lists, name), _joined(left, name), _units(tracks, of)
        )
        for name, value in whole.items()
    }


def median_interval(score: Resampled) -> tuple[float | None, float | None]:
    """Return the middle 95 % of a drawn median; None for a bound that is infinite, and for both of one recording."""
    own = np.sort(score.drawn[~np.isnan(score.drawn)])
    if own.size < 2 or score.n_groups < 2:
        return None, None
    bounds = own[round(0.025 * (own.size - 1))], own[round(0.975 * (own.size - 1))]
    low, high = (float(each) if np.isfinite(each) else None for each in bounds)
    return low, high


def thresholds_of(free: Mapping[int, FreeStream], allowed: int) -> dict[int, float]:
    """Return the threshold of each class on all needle-free streams: their (a + 1)-th highest logit."""
    return {
        column: float(own.falling().logits[min(allowed, own.logits.size - 1)])
        for column, own in free.items()
    }


def _scores(
    tracks: Sequence[Track], free: Mapping[int, FreeStream], allowed: int, counts: Counts
) -> dict[str, Float64]:
    """Compute every score on every list; counts (clips, lists)."""
    share = counts.sum(axis=0) / len(counts)  # of the whole list's length, 1 without groups
    limits = np.rint(floor(allowed) * share).astype(np.int64)
    thresholds = {
        column: thresholds_on_lists(own.clips, own.logits, counts, limits)
        for column, own in free.items()
    }
    own = [answers_of(track, thresholds[track.column]) for track in tracks]
    weights = counts[[track.clip for track in tracks]].astype(np.float64)

    def stacked(name: str) -> Float64:
        return np.array([getattr(each, name) for each in own], dtype=np.float64)

    answered = stacked("is_answered")
    waits = survival(stacked("wait_s"), answered, weights)
    releases = survival(stacked("release_s"), stacked("is_released"), weights * answered)
    wobbles = np.array([track.wobble for track in tracks])[:, None]
    return {
        **{f"within_{time:g}": waits.share_by(time) for time in WITHIN_S},
        "median_s": waits.median(),
        "answered": _mean(answered, weights),
        "early": _mean(stacked("is_early"), weights),
        "hold": _mean(stacked("hold"), weights),
        "flips": _mean(stacked("flips"), weights),
        "wobble": _mean(np.broadcast_to(wobbles, weights.shape), weights),
        "release_s": releases.median(),
    }


def _mean(values: Float64, weights: Float64) -> Float64:
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.where(there, values * weights, 0.0).sum(axis=0)
        return np.asarray(total / (weights * there).sum(axis=0))


def _first(hits: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return whether there is a hit, and the first one's row: (rows, n) -> (n,) twice."""
    if not len(hits):
        return np.zeros(hits.shape[1], dtype=bool), np.zeros(hits.shape[1], dtype=np.intp)
    return np.asarray(hits.any(axis=0)), np.asarray(hits.argmax(axis=0))


def _time(ends_s: Float64, hops: NDArray[np.intp]) -> Float64:
    return np.asarray(ends_s[np.minimum(hops, len(ends_s) - 1)])


def _joined(parts: Sequence[Mapping[str, Float64]], name: str) -> Float64:
    return np.concatenate([part[name] for part in parts])


def _units(tracks: Sequence[Track], of: Groups) -> int:
    """Return the number of recordings with a track."""
    return min(group_count(of), len({int(of[track.clip]) for track in tracks}))
