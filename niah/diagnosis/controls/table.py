"""Tables of a run's controls, from stored scores: scenes without their needle, against length.

needle-free   the haystack continues in the needle's place: what does the model report when there is nothing to
              report? False alarms at thresholds fixed at the 10 s cell (`needle_free.thresholds`), and drift from the
              shortest needle-free scenes, which contain as little as the long ones
sham          another part of the haystack is in the needle's place, with the same two seams: its drift is from the
              needle-free scene of the same length, so it is the effect of splicing alone

A constant haystack gives the same scene for every clip: it is scored once and stored once a clip. Controls have no mAP:
their clips' labels are not in them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from niah.diagnosis.controls.needle_free import (
    RECALL,
    FalseAlarms,
    false_alarms,
    score_drift,
    thresholds,
)
from niah.diagnosis.controls.overlap import contained_classes, labels_in
from niah.errors import NiahError
from niah.metrics.average_precision import Float64
from niah.records.axes import NEEDLE_FREE, OWN, SHAM, is_noise_base
from niah.records.naming import NO_HAYSTACK, Point, axes_name, length_name, pool_of, scene_name
from niah.records.random_weights import random_models
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.records.scores import ClipScores
from niah.system.number_text import number_text
from niah.tables.curves import Variant, points, variant_names
from niah.tables.table import Table
from niah.vocabularies import display_name

if TYPE_CHECKING:
    import pandas as pd

WORST = 3  # classes named
HEADER = ("length", "scenes", "alarms a scene", "scenes with one", "drift", "most alarms")
SHAM_HEADER = ("model and scene", "position", "length", "drift", "largest drift")
FREE_CAPTION = (
    "Without a needle: false alarms at the thresholds that find {recall:.0f} % of a class's positives at 10 s (share "
    "of scenes in which a class is named, mean over classes; a scene is one decision, however long), scenes with at "
    "least one, drift of the scores from the shortest scenes (log odds; mean over classes), and the classes named in "
    "most scenes."
)
SHAM_CAPTION = (
    "Sham seams: scores of scenes whose needle's place holds another stretch of the haystack, less those of the same "
    "scenes without a seam (log odds; mean over classes, and the class that moves most)."
)


@dataclass(frozen=True)
class Control:
    """Needle-free scenes of one length.

    Attributes:
        length_s: seconds of a scene.
        scenes: number of different scenes: 1 of a constant haystack.
        classes: their ids.
        alarms: at the 10 s thresholds.
        any_alarm: share of scenes with at least one false alarm.
        drift: (classes,) log odds from the shortest length.
    """

    length_s: float
    scenes: int
    classes: tuple[str, ...]
    alarms: FalseAlarms
    any_alarm: float
    drift: Float64


def needle_free_control(
    base: ClipScores,
    free: Mapping[float, ClipScores],
    labels: Iterable[str] = (),
    recall: float = RECALL,
    *,
    is_constant: bool = False,
) -> list[Control]:
    """Evaluate a model's needle-free scenes in one haystack.

    Args:
        base: the model's 10 s cell.
        free: its needle-free scores, by length in seconds.
        labels: that are in the haystack.
        recall: of the thresholds.
        is_constant: the haystack is, so that all scenes of a length are one.

    Returns:
        One control a length, in order.

    Raises:
        NiahError: there are no scenes, or they have other classes than the base.
    """
    if not free or any(each.classes != base.classes for each in free.values()):
        raise NiahError("needle-free scores must be there, and of the classes of the 10 s cell")
    fixed = thresholds(base.targets, base.probabilities, recall)
    contained = contained_classes(base.classes, labels)
    shortest = free[min(free)].probabilities
    controls = []
    for length_s, each in sorted(free.items()):
        counted = (each.probabilities.astype(np.float64) >= fixed) & ~contained
        controls.append(
            Control(
                length_s,
                1 if is_constant else len(each.ids),
                base.classes,
                false_alarms(each.probabilities, fixed, contained),
                float(counted.any(axis=1).mean()),
                score_drift(each.probabilities, shortest),
            )
        )
    return controls


def _texts(of: Control) -> tuple[str, ...]:
    worst = of.alarms.worst(of.classes, WORST)
    named = ", ".join(f"{display_name(id_)} ({100 * share:.0f} %)" for id_, share in worst)
    return (
        length_name(of.length_s),
        f"{of.scenes}",
        f"{of.alarms.mean_share:.3g}",
        f"{100 * of.any_alarm:.0f} %",
        number_text(float(of.drift.mean()), "+.2f"),
        named,
    )


Kind = tuple[Any, ...]  # model, weights, precision, window, seed, pool, haystack, SNR, axes


def control_tables(run: RunDirectory, cells: "pd.DataFrame") -> list[Table]:
    """Tabulate the needle-free scenes and the sham seams, a row a model, scene and length.

    A model without a 10 s cell has no thresholds, and so no needle-free rows.

    Args:
        run: the scores.
        cells: of the run.

    Returns:
        The tables that have rows.
    """
    scored = [p for p in points(cells) if p["status"] == "ok" and run.has_scores(p["cell"])]
    free = _by_kind(point for point in scored if point.get("control") == NEEDLE_FREE)
    alone = {
        _system(point): point
        for point in scored
        if point["length_s"] == BASE_LENGTH_S
        and not point.get("control")
        and not is_noise_base(point)
    }
    provenance = run.run_json()
    names = variant_names(scored)
    alarms: list[tuple[str, ...]] = []
    for kind, group in sorted(free.items(), key=lambda each: _about(each[0], names)):
        first = group[0]
        base = alone.get(_system(first))
        if base is None or first["model"] in random_models(provenance):
            continue
        if (
            first["haystack"] == OWN
        ):  # other events are in its scenes: `niah.diagnosis.false_alarms` masks them
            continue
        scores = {float(point["length_s"]): run.read_scores(point["cell"]) for point in group}
        labels = labels_in(first["haystack"] or NO_HAYSTACK, provenance)
        controls = needle_free_control(
            run.read_scores(base["cell"]), scores, labels, is_constant=first["snr_db"] is None
        )
        alarms += [(_about(kind, names), *_texts(each)) for each in controls]
    sham = [row for p in scored if p.get("control") == SHAM for row in _seam(run, p, free, names)]
    caption = FREE_CAPTION.format(recall=100 * RECALL)
    tables = [
        Table(caption, ("model and scene", *HEADER), tuple(alarms)),
        Table(SHAM_CAPTION, SHAM_HEADER, tuple(sorted(sham))),
    ]
    return [table for table in tables if table.rows]


def _seam(
    run: RunDirectory,
    point: Point,
    free: Mapping[Kind, list[Point]],
    names: Mapping[Variant, str],
) -> Iterator[tuple[str, ...]]:
    """Yield the row of one sham cell, if its scenes without a seam were run."""
    plain = [p for p in free.get(_kind(point), []) if p["length_s"] == point["length_s"]]
    for each in plain[:1]:
        scores, reference = run.read_scores(point["cell"]), run.read_scores(each["cell"])
        drift = score_drift(scores.probabilities, reference.probabilities)
        most = int(np.abs(drift).argmax())
        largest = f"{display_name(scores.classes[most])} ({number_text(drift[most], '+.2f')})"
        length = length_name(point["length_s"])
        yield (
            _about(_kind(point), names),
            f"{point['position']:g}",
            length,
            number_text(drift.mean(), "+.3f"),
            largest,
        )


def _by_kind(controls: Iterable[Point]) -> dict[Kind, list[Point]]:
    grouped: dict[Kind, list[Point]] = {}
    for point in controls:
        grouped.setdefault(_kind(point), []).append(point)
    return grouped


def _system(point: Point) -> Kind:
    names = ("model", "checkpoint_sha256", "dtype", "window_s", "seed")
    return (*(point[name] for name in names), pool_of(point))


def _kind(point: Point) -> Kind:
    scene = (point["haystack"] or NO_HAYSTACK, point["snr_db"], axes_name(point))
    return (*_system(point), *scene)


def _about(kind: Kind, names: Mapping[Variant, str]) -> str:
    model, sha, dtype, window_s, _, pool, haystack, snr_db, axes = kind
    how = [f"{window_s:g} s windows"] if window_s else []
    scene = ", ".join(filter(None, (scene_name(haystack, snr_db), axes)))
    return f"{', '.join([names[model, sha, dtype], *how, *filter(None, [pool])])} in {scene}"
