"""Recall of several different needles, from the stored scores of a run.

A scene with several needles has m labels, those of all its clips. Those among the m highest scores are recalled:

    set recall        (labels among the m highest scores) / m, mean over scenes; random scores have m / classes
    recall by place   the same of the labels of one clip of each scene, by its place in time: first, between or last.
                      Which place a clip has is drawn by its id (`niah.needles.companions`)

Both need no threshold, and one needle is the first point of the same curve. Labels that the haystack contains are left
out. Scenes of one recording are resampled together.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah.diagnosis.controls.overlap import contained_classes, labels_in
from niah.diagnosis.several_needles.rows import PLACES, SeveralNeedles
from niah.metrics.average_precision import Float64
from niah.metrics.means import resample_mean
from niah.needles.companions import own_place
from niah.records.naming import NO_HAYSTACK, Point, axes_name
from niah.records.run_directory import RunDirectory
from niah.records.scores import ClipScores
from niah.records.summarise import noise_key
from niah.tables.curves import LengthCurve, distinct_curves, length_curves

if TYPE_CHECKING:
    import pandas as pd

AXIS = "needles_per_scene"


def measure(run: RunDirectory, cells: "pd.DataFrame") -> list[SeveralNeedles]:
    """Compute a row for each scene with several different needles, and for the same scene with one.

    Args:
        run: the scores.
        cells: of the run.

    Returns:
        The rows in the order of tables; empty where no scene has several.

    Raises:
        NiahError: cells of different clips; scores that are damaged.
    """
    if AXIS not in cells.columns:
        return []
    provenance = run.run_json()
    listed: dict[tuple[Any, ...], list[tuple[LengthCurve, Point]]] = {}
    for curve in distinct_curves(length_curves(cells)):
        for length_s, point in curve.scored():
            if point["haystack"] not in (None, NO_HAYSTACK) and run.has_scores(point["cell"]):
                kind = (*noise_key(point), curve.position, _other_axes(point), length_s)
                listed.setdefault(kind, []).append((curve, point))
    several = [own for own in listed.values() if any(p.get(AXIS) for _, p in own)]
    rows = [_row(run, curve, point, provenance) for own in several for curve, point in own]
    return sorted(rows, key=lambda r: (r.model, r.scene, r.position or 0.0, r.length_s, r.needles))


def set_recall(
    logits: NDArray[Any], present: NDArray[np.bool_], of: NDArray[np.bool_] | None = None
) -> Float64:
    """Compute the share of each scene's labels that is among as many highest scores as the scene has labels.

    Of equal scores at the end of these, each counts as its chance to be among them.

    Args:
        logits: (scenes, classes).
        present: (scenes, classes) bool, the labels of each scene.
        of: (scenes, classes) bool, the labels whose recall is wanted; None for all of `present`.

    Returns:
        (scenes,) shares in 0..1, NaN for a scene without such a label.
    """
    wanted = present if of is None else of
    places = present.sum(axis=1, keepdims=True)  # m of each scene
    descending = -np.sort(-logits.astype(np.float64), axis=1)
    lowest = np.take_along_axis(descending, np.maximum(places - 1, 0), axis=1)
    above, tied = logits > lowest, logits == lowest
    left = places - above.sum(axis=1, keepdims=True)
    recalled = np.where(above, 1.0, tied * left / tied.sum(axis=1, keepdims=True))
    count = wanted.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((recalled * wanted).sum(axis=1) / np.where(count > 0, count, np.nan))


def _row(
    run: RunDirectory, curve: LengthCurve, point: Point, provenance: Mapping[str, Any]
) -> SeveralNeedles:
    clips = run.read_scores(point["cell"])
    counted = ~contained_classes(clips.classes, labels_in(point["haystack"], provenance))
    logits, own = clips.logits[:, counted], clips.targets[:, counted]
    present = own | clips.excluded[:, counted]
    needles = int(point.get(AXIS) or 1)
    shares = set_recall(logits, present)
    total = resample_mean(shares, groups=clips.groups)
    low, high = total.unit_interval()
    return SeveralNeedles(
        model=curve.model,
        checkpoint_sha256=str(point["checkpoint_sha256"] or ""),
        haystack=str(point["haystack"]),
        snr_db=point["snr_db"],
        axes=_other_axes(point),
        position=curve.position,
        window=curve.window,
        length_s=float(point["length_s"]),
        needles=needles,
        cell=str(point["cell"]),
        clips=len(clips.ids),
        labels=float(present.sum(axis=1).mean()),
        set_recall=total.estimate,
        set_lo=low,
        set_hi=high,
        chance=float(present.sum(axis=1).mean() / max(1, int(counted.sum()))),
        **dict(_by_place(clips, set_recall(logits, present, own), needles, int(point["seed"]))),
    )


def _by_place(
    clips: ClipScores, shares: Float64, needles: int, seed: int
) -> Iterator[tuple[str, Any]]:
    """Yield the fields of the recall by place; none for one needle."""
    if needles == 1:
        return
    places = np.array([own_place(seed, clip_id, needles) for clip_id in clips.ids])
    kinds = np.where(places == 0, 0, np.where(places == needles - 1, 2, 1))
    for index, name in enumerate(PLACES):
        here = np.flatnonzero((kinds == index) & np.isfinite(shares))
        if here.size:
            own = resample_mean(shares[here], groups=[clips.groups[i] for i in here.tolist()])
            low, high = own.unit_interval()
            yield from ((name, own.estimate), (f"{name}_lo", low), (f"{name}_hi", high))


def _other_axes(point: Point) -> str:
    return axes_name({**point, AXIS: None})
