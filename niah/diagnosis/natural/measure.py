"""Scores of natural scenes, from the stored scores of a run with `--haystack own`.

    event mAP       of the needle's labels. Other events of a crop count neither for nor against it: a crop is a
                    negative of a class only where the class is not annotated in it
    all-label mAP   of all annotated events of the crops
    L85             of the chance-adjusted share (m - c) / (b - c): m the event mAP, b that of the crops of 10 s masked
                    alike, c that of random scores masked alike; in other scenes b is the needle alone, and the
                    curve begins with its 10 s score in their noise
    correlation     Spearman's rho of the models' L85 in natural and in other scenes, over the same resampled clips

Longer crops have more events, so that fewer negatives are left and chance rises, to 0.86 with three classes and crops
of three events: an unadjusted share of the 10 s score would stay high for a model that hears nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from niah.metrics.average_precision import Float64, chance_mAP
from niah.metrics.effective_length import effective_length
from niah.metrics.rank_correlation import RankCorrelation, rank_correlation
from niah.metrics.resampling import Resampled, resample
from niah.records.axes import OWN, is_noise_base
from niah.records.naming import Point
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.records.scores import ClipScores
from niah.records.summarise import noise_key
from niah.tables.curves import LengthCurve, distinct_curves, length_curves, points

if TYPE_CHECKING:
    import pandas as pd

SHARE = 0.85
DRAWS = 300
LEAST_MODELS = 3
MIDDLE = 0.5  # position of the natural curves that are compared
System = tuple[str, str]  # model, window


@dataclass(frozen=True)
class L85:
    """The effective length of a chance-adjusted curve in seconds, and on resampled lists of clips, (draws,)."""

    seconds: float
    drawn: Float64


@dataclass(frozen=True)
class NaturalScore:
    """Scores of the crops of one length; mAPs in 0..1 with 95 % bounds.

    Attributes:
        curve: model and position.
        length_s: seconds of a crop.
        labels: mean number of annotated labels in a crop.
        event: mAP of the needle's labels, low, high.
        event_chance: that of random scores.
        every: mAP of all labels, low, high.
        every_chance: that of random scores.
    """

    curve: LengthCurve
    length_s: float
    labels: float
    event: tuple[float, float, float]
    event_chance: float
    every: tuple[float, float, float]
    every_chance: float


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of the models' L85 in natural scenes with that in another kind of scene.

    `lengths_s`: L85 in natural and in the other scenes, by model.
    """

    scene: str
    position: float | None
    correlation: RankCorrelation
    lengths_s: dict[str, tuple[float, float]]


def natural_scores(run: RunDirectory, cells: "pd.DataFrame") -> list[NaturalScore]:
    """Compute the scores of every natural scene, the crops of 10 s first.

    Args:
        run: the scores.
        cells: of the run.
    """
    crops = _ten_seconds(cells)
    return [
        score
        for curve in _natural_curves(cells)
        for score in _scores_of(run, curve, crops.get(_place(curve)))
    ]


def agreements(run: RunDirectory, cells: "pd.DataFrame") -> list[Agreement]:
    """Compute the rank correlation of L85 in natural and in other scenes of the same run, over its models.

    Args:
        run: the scores.
        cells: of the run.

    Returns:
        One for each kind of scene that three models or more have beside the natural one.
    """
    crops = _ten_seconds(cells)
    natural: dict[System, L85] = {}
    for curve in _natural_curves(cells):
        drawn = _drawn_l85(run, curve, crops.get(_place(curve)))
        if drawn is not None and curve.position in (None, MIDDLE):
            natural[curve.model, curve.window] = drawn
    if len(natural) < LEAST_MODELS:
        return []
    others: dict[tuple[str, float | None], dict[System, L85]] = {}
    for curve in distinct_curves(length_curves(cells)):
        system = curve.model, curve.window
        if curve.haystack == OWN or curve.axes or system not in natural:
            continue
        if (drawn := _drawn_l85(run, curve, curve.base, curve.noise_base)) is not None:
            others.setdefault((curve.scene, curve.position), {})[system] = drawn
    return [
        Agreement(
            scene,
            position,
            _correlation([(own, natural[s]) for s, own in by_system.items()]),
            {
                model: (natural[model, w].seconds, own.seconds)
                for (model, w), own in by_system.items()
            },
        )
        for (scene, position), by_system in others.items()
        if len(by_system) >= LEAST_MODELS
    ]


def _correlation(pairs: Sequence[tuple[L85, L85]]) -> RankCorrelation:
    a, b = (np.array([pair[side].seconds for pair in pairs]) for side in (0, 1))
    drawn_a, drawn_b = (np.stack([pair[side].drawn for pair in pairs], axis=1) for side in (0, 1))
    return rank_correlation(a, b, drawn_a, drawn_b)


def _natural_curves(cells: "pd.DataFrame") -> list[LengthCurve]:
    if OWN not in set(cells["haystack"]):
        return []
    return [curve for curve in distinct_curves(length_curves(cells)) if curve.haystack == OWN]


def _place(curve: LengthCurve) -> tuple[object, ...]:
    longer = (p for s, p in curve.scored() if s != BASE_LENGTH_S)
    return noise_key(next(longer, {**(curve.base or {}), "haystack": OWN}))


def _ten_seconds(cells: "pd.DataFrame") -> dict[tuple[object, ...], Point]:
    """Return the crops of 10 s by place."""
    crops = (p for p in points(cells) if p["haystack"] == OWN and is_noise_base(p))
    return {noise_key(point): point for point in crops if point["status"] == "ok"}


def _crops(
    run: RunDirectory, curve: LengthCurve, shortest: Point | None
) -> Iterator[tuple[float, ClipScores]]:
    """Yield the stored scores by length; the first is what the others are compared with."""
    scored = [(s, p) for s, p in curve.scored() if s != BASE_LENGTH_S]
    for length_s, point in [*([(BASE_LENGTH_S, shortest)] if shortest else []), *scored]:
        if run.has_scores(point["cell"]):
            yield length_s, run.read_scores(point["cell"])


def _scores_of(
    run: RunDirectory, curve: LengthCurve, shortest: Point | None
) -> Iterator[NaturalScore]:
    for length_s, clips in _crops(run, curve, shortest):
        every = clips.targets | clips.excluded
        masked = clips.excluded if clips.excluded.any() else None
        (event,) = resample(clips.targets, [clips.logits], groups=clips.groups, excluded=masked)
        (everything,) = resample(every, [clips.logits], groups=clips.groups)
        yield NaturalScore(
            curve,
            length_s,
            float(every.sum(axis=1).mean()),
            _bounded(event),
            chance_mAP(clips.targets, masked),
            _bounded(everything),
            chance_mAP(every),
        )


def _bounded(score: Resampled) -> tuple[float, float, float]:
    return (score.estimate, *score.unit_interval())


def _drawn_l85(
    run: RunDirectory, curve: LengthCurve, shortest: Point | None, in_noise: Point | None = None
) -> L85 | None:
    """Return L85 of the scores as shares of the shortest ones; None where a part of the curve is missing.

    `in_noise`: the 10 s cell at which the curve begins, where that is not the shortest.
    """
    stored = list(_crops(run, curve, shortest))
    if len(stored) < 2 or stored[0][0] != BASE_LENGTH_S:
        return None
    lengths: list[float] = []
    shares: list[Float64] = []
    first, longer = stored[0][1], stored[1:]
    if in_noise is not None and run.has_scores(in_noise["cell"]):
        longer = [(BASE_LENGTH_S, run.read_scores(in_noise["cell"])), *longer]
    else:
        lengths, shares = [BASE_LENGTH_S], [np.ones(DRAWS + 1)]
    for length_s, clips in longer:
        masked = clips.excluded if clips.excluded.any() else None
        base, own = resample(
            clips.targets, [first.logits, clips.logits], DRAWS, groups=clips.groups, excluded=masked
        )
        chance = chance_mAP(clips.targets, masked)
        above = np.array([own.estimate, *own.drawn]) - chance
        room = np.array([base.estimate, *base.drawn]) - chance
        values = np.divide(above, room, out=np.full(len(room), np.nan), where=room > 0)
        lengths.append(length_s)
        shares.append(values)
    reached = [_reached(lengths, each) for each in np.stack(shares, axis=1).tolist()]
    return L85(reached[0], np.array(reached[1:]))


def _reached(lengths_s: Sequence[float], shares: Sequence[float]) -> float:
    known = [(s, v) for s, v in zip(lengths_s, shares, strict=True) if not isnan(v)]
    return effective_length([s for s, _ in known], [v for _, v in known], SHARE).at.length_s
