"""Recall at a number of false alarms an hour, from the stored scores of a run.

Thresholds are of the needle-free scenes of the same model, haystack, SNR, level and length, H hours in all; a class may
raise floor(r H) alarms in them at a rate r (`niah.metrics.recall_at_alarms`). Labels that the haystack contains do not
count: naming them is right.

    resolved        r H >= 3.69: fewer hours cannot show that the true rate is as low as r (`niah.metrics.poisson`)
    too few hours   the row says how many more are needed; nothing is extrapolated
    own recordings  (`--haystack own`) scenes without the needle may hold other events, which do not count for their
                    classes; recall averages the classes whose own hours resolve r. Hours are those of different sound
    every scene     r L >= 3600 s: a scene of L seconds is one decision, so that all of them may be alarms
    one scene       a constant haystack has one needle-free scene. Whatever scores above it is told from it at any rate

At 10 s the scene with a needle is the needle alone in the same noise if that was run, else the needle alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from niah.diagnosis.controls.overlap import contained_classes, labels_in
from niah.diagnosis.false_alarms.rows import (
    EVERY_SCENE,
    FEW_HOURS,
    ONE_SCENE,
    RESOLVED,
    RecallAtRate,
)
from niah.errors import NiahError
from niah.metrics.poisson import hours_needed, rate_interval
from niah.metrics.recall_at_alarms import recall_at_alarms
from niah.metrics.resampling import Resampled
from niah.records.axes import NEEDLE_FREE, OWN, is_noise_base
from niah.records.naming import Point
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.records.scores import ClipScores
from niah.records.summarise import noise_key
from niah.tables.curves import LengthCurve, distinct_curves, length_curves, points

if TYPE_CHECKING:
    import pandas as pd

HOUR_S = 3600.0
_ROUNDING = 1e-9  # of a rate times hours


@dataclass(frozen=True)
class Allowance:
    """Number of alarms that a rate allows in the needle-free scenes of one length.

    Attributes:
        per_hour: the rate, alarms an hour and class.
        scenes: number of needle-free scenes.
        length_s: seconds of a scene.
        hours: of different sound in them.
        outcome: see the module's docstring.
    """

    per_hour: float
    scenes: int
    length_s: float
    hours: float
    outcome: str

    @classmethod
    def of(
        cls,
        per_hour: float,
        scenes: int,
        length_s: float,
        *,
        is_constant: bool = False,
        hours: float | None = None,
    ) -> "Allowance":
        """Return what a rate allows.

        Args:
            per_hour: the rate.
            scenes: number of different needle-free scenes.
            length_s: seconds of a scene.
            is_constant: whether the haystack is a constant.
            hours: of different sound in the scenes; None where no two of them share any.
        """
        if hours is None:
            hours = scenes * length_s / HOUR_S
        if per_hour * length_s >= HOUR_S * (1 - _ROUNDING):
            outcome = EVERY_SCENE
        elif is_constant:
            outcome = ONE_SCENE
        elif hours < hours_needed(per_hour):
            outcome = FEW_HOURS
        else:
            outcome = RESOLVED
        return cls(per_hour, scenes, length_s, hours, outcome)

    @property
    def is_scored(self) -> bool:
        """Return whether there is a threshold for this rate."""
        return self.outcome in (RESOLVED, ONE_SCENE)

    @property
    def alarms(self) -> int:
        """Return the scenes that may be alarms of a class."""
        if self.outcome == ONE_SCENE:
            return 0
        hours = self.scenes * self.length_s / HOUR_S
        return min(self.scenes, floor(self.per_hour * hours + _ROUNDING))

    @property
    def rate_interval(self) -> tuple[float, float]:
        """Return the 95 % bounds of the true rate, alarms an hour; 0 for the one scene of a constant."""
        if self.outcome == ONE_SCENE:
            return 0.0, 0.0
        return rate_interval(floor(self.per_hour * self.hours + _ROUNDING), self.hours)

    @property
    def more_hours(self) -> float:
        """Return the hours that are missing."""
        if self.outcome != FEW_HOURS:
            return 0.0
        return hours_needed(self.per_hour) - self.hours


def measure(run: RunDirectory, cells: "pd.DataFrame", rates: Sequence[float]) -> list[RecallAtRate]:
    """Compute a row for each curve, length with needle-free scenes, and rate.

    Args:
        run: the scores.
        cells: of the run.
        rates: false alarms an hour and class.

    Returns:
        The rows in the order of tables; empty where the run has no needle-free scenes.

    Raises:
        NiahError: cells of different clips; scores that are damaged.
    """
    stored = [p for p in points(cells) if p["status"] == "ok" and run.has_scores(p["cell"])]
    if not any(p.get("control") == NEEDLE_FREE for p in stored):
        return []
    return list(_Measure(run, stored, sorted(set(rates))).rows(cells))


class _Measure:
    """The cells of a run by place."""

    def __init__(self, run: RunDirectory, stored: Iterable[Point], rates: Sequence[float]) -> None:
        self.run, self.rates = run, rates
        self.provenance = run.run_json()
        self.free: dict[tuple[object, ...], Point] = {}
        self.noise_bases: dict[tuple[object, ...], Point] = {}
        for point in stored:
            if point.get("control") == NEEDLE_FREE:
                self.free[(*noise_key(point), point["length_s"])] = point
            elif is_noise_base(point):
                self.noise_bases[noise_key(point)] = point

    def rows(self, cells: "pd.DataFrame") -> Iterator[RecallAtRate]:
        for curve in distinct_curves(length_curves(cells)):
            scored = [(s, p) for s, p in curve.scored() if self.run.has_scores(p["cell"])]
            longer = [p for s, p in scored if s != BASE_LENGTH_S]
            if not longer:
                continue
            place = noise_key(longer[0])
            for length_s, point in scored:
                free = self.free.get((*place, length_s))
                if free is not None:
                    shown = self.noise_bases.get(place, point) if point is curve.base else point
                    yield from self._rows_of(curve, shown, free)

    def _rows_of(self, curve: LengthCurve, point: Point, free: Point) -> Iterator[RecallAtRate]:
        clips, empty = self.run.read_scores(point["cell"]), self.run.read_scores(free["cell"])
        if (clips.ids, clips.classes) != (empty.ids, empty.classes):
            raise NiahError(
                f"cell {point['cell']} and its scenes without a needle, {free['cell']}, in {self.run.path} are of "
                "different clips: run both again in a new folder"
            )
        is_own = free["haystack"] == OWN
        is_constant = free["snr_db"] is None and not is_own
        scenes = 1 if is_constant else len(empty.ids)
        length_s = float(free["length_s"])
        hours = self._own_hours(length_s) if is_own else None
        allowances = [
            Allowance.of(rate, scenes, length_s, is_constant=is_constant, hours=hours)
            for rate in self.rates
        ]
        counted = ~contained_classes(clips.classes, labels_in(free["haystack"], self.provenance))
        for allowance in allowances:
            resolved = counted
            if is_own:  # each class by the hours without it
                own_hours = allowance.hours * (1.0 - empty.excluded.mean(axis=0))
                resolved = counted & (own_hours >= hours_needed(allowance.per_hour))
            recall = _recall(clips, empty, allowance, resolved)
            bounds = (None, None) if recall is None else recall.unit_interval()
            low, high = (None if each != each else each for each in bounds)  # of one recording
            rate_lo, rate_hi = allowance.rate_interval
            yield RecallAtRate(
                model=curve.model,
                checkpoint_sha256=str(free["checkpoint_sha256"] or ""),
                haystack=str(free["haystack"]),
                snr_db=free["snr_db"],
                axes=curve.axes,
                position=curve.position,
                window=curve.window,
                length_s=length_s,
                per_hour=allowance.per_hour,
                cell=str(point["cell"]),
                needle_free_cell=str(free["cell"]),
                scenes=scenes,
                hours=allowance.hours,
                alarms=allowance.alarms,
                rate_lo=rate_lo,
                rate_hi=rate_hi,
                outcome=allowance.outcome,
                more_hours=allowance.more_hours,
                classes=int((clips.targets.any(axis=0) & resolved).sum()),
                recall=None if recall is None else recall.estimate,
                recall_lo=low,
                recall_hi=high,
            )

    def _own_hours(self, length_s: float) -> float | None:
        """Return the hours of different sound in stretches of the needles' recordings; None if it is not stored."""
        stated = self.provenance.get("haystacks", {}).get(OWN, {}).get("recordings")
        if not stated:
            return None
        return float(sum(min(clips * length_s, seconds) for clips, seconds in stated) / HOUR_S)


def _recall(
    clips: ClipScores, empty: ClipScores, allowance: Allowance, counted: NDArray[np.bool_]
) -> Resampled | None:
    """Return the recall; None without a threshold, or where no class counts."""
    if not allowance.is_scored or not (clips.targets.any(axis=0) & counted).any():
        return None
    is_constant = allowance.outcome == ONE_SCENE
    (recall,) = recall_at_alarms(
        clips.targets,
        clips.logits,
        empty.logits[:1] if is_constant else empty.logits,
        [allowance.alarms],
        groups=clips.groups,
        counted=counted,
        free_excluded=empty.excluded if empty.excluded.any() else None,
    )
    return recall
