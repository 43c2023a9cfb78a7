"""Overlap-aware scores, where the haystack itself contains labelled sounds.

Babble is speech. A tagger that says "Speech" for a needle in babble is right, but plain mAP counts it
as wrong for every clip whose needle has no speech. Three scores separate the two:

    all      mAP over all classes, as usual
    apart    mAP over the classes that the haystack does not contain
    counted  mAP with the haystack's labels counted as positive in every scene: the AP of such a
             class is then 1, as it has no negatives

The haystack's card states the labels (`contains`). A model whose `all` falls while `apart` does not
has recognised the haystack, not lost the needle; one that always says "Speech" has `apart` at chance.

Each cell's scores are stored in the run's `overlap.csv` (`niah.records.measured_cells`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah.cards import haystack_cards
from niah.errors import NiahError
from niah.metrics.average_precision import (
    Scores,
    Targets,
    average_precision,
    mean_average_precision,
)
from niah.records.axes import MASKING_AXES, OWN
from niah.records.measured_cells import MeasuredCells, OfScores
from niah.records.naming import Point, length_name, position_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve, at_one_position, length_curves
from niah.tables.drop import scene_columns, scene_texts
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from niah.records.run_directory import RunDirectory

CAPTION = (
    "Overlap-aware mAP, where the haystack truly contains labels: over all classes, over those it "
    "does not contain (apart), and with its labels counted as positive in every scene (counted); "
    "in brackets per cent of the same at 10 s."
)
CSV_FILE, VERSION = "overlap.csv", 2  # of the formulas
MOST_CURVES = 120  # of more, those of one position: each cell's scores are read


@dataclass(frozen=True)
class OverlapScores:
    """mAP in 0..1 computed in the three ways; NaN where no class is left."""

    all: float
    apart: float
    counted: float


@dataclass(frozen=True)
class StoredOverlap(OfScores):
    """A row of `overlap.csv`: `OverlapScores` of one cell; all empty where no scored class is in the haystack."""

    all: float | None
    apart: float | None
    counted: float | None

    @property
    def scores(self) -> OverlapScores:
        """Return the three scores."""
        values = (self.all, self.apart, self.counted)
        return OverlapScores(*(nan if value is None else value for value in values))


def overlap_scores(
    targets: Targets,
    scores: Scores,
    contained: NDArray[np.bool_],
    mAP: float | None = None,
    excluded: NDArray[np.bool_] | None = None,
) -> OverlapScores:
    """Compute the three scores of one cell.

    Args:
        targets: (clips, classes) bool.
        scores: (clips, classes).
        contained: (classes,) bool, labels that are in the haystack.
        mAP: over all classes, where it is known: then only the contained ones are ranked.
        excluded: (clips, classes) bool, entries that do not count.

    Raises:
        NiahError: `contained` is not one flag a class.
    """
    if contained.shape != (targets.shape[1],):
        raise NiahError(f"contained must be ({targets.shape[1]},) but is {contained.shape}")
    if mAP is not None:  # the APs of all others are in it
        masked = None if excluded is None else excluded[:, contained]
        own = average_precision(targets[:, contained], scores[:, contained], masked)
        scored, there = int(targets.any(axis=0).sum()), ~np.isnan(own)
        others, rest = mAP * scored - own[there].sum(), scored - int(there.sum())
        counted_mAP = (others + len(own)) / (rest + len(own))
        return OverlapScores(mAP, others / rest if rest else nan, counted_mAP)
    ap = average_precision(targets, scores, excluded)
    counted = np.where(contained, 1.0, ap)  # all clips positive: precision is 1 at every rank
    return OverlapScores(
        mean_average_precision(ap),
        mean_average_precision(ap[~contained]),
        mean_average_precision(counted),
    )


def contained_classes(classes: Sequence[str], labels: Iterable[str]) -> NDArray[np.bool_]:
    """Return which of `classes` are among a haystack's `labels`: (classes,) bool."""
    return np.isin(np.array(classes, dtype=object).astype(str), sorted(labels))


def labels_in(haystack: str, provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels that are in a haystack, from run.json if it has them, else from its card.

    Args:
        haystack: its name in rows. The card may have the first part of it only ("babble" for "babble-synthetic").
        provenance: run.json; its `haystacks` are {name: {contains: [..]}}.

    Returns:
        Labels, empty if unknown.
    """
    entry = provenance.get("haystacks", {}).get(haystack)
    if entry is not None:
        return tuple(entry.get("contains", ()))
    cards = {card.name: card for card in haystack_cards()}
    parts = haystack.split("-")
    names = ("-".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((cards[name].contains for name in names if name in cards), ())


def overlap_table(run: "RunDirectory", cells: "pd.DataFrame") -> Table | None:
    """Tabulate the three scores of each cell, stored or of stored scores, whose haystack contains a scored class.

    Args:
        run: the scores.
        cells: of the run.

    Returns:
        None when there is no such cell.
    """
    provenance = run.run_json()
    curves = at_one_position(length_curves(cells), MOST_CURVES)
    columns = scene_columns(curves)
    stored = MeasuredCells(run, StoredOverlap, CSV_FILE, VERSION)
    rows = [
        (*scene_texts(curve, columns), *row)
        for curve in curves
        for row in _curve_rows(stored, curve, labels_in(curve.haystack, provenance))
    ]
    if rows:
        stored.write()
    header = (*columns, "length", "all", "apart", "counted")
    return Table(f"{CAPTION}{left_out(cells)}", header, tuple(rows)) if rows else None


def left_out(cells: "pd.DataFrame") -> str:
    """Return a sentence on the curves that are not in a table of stored scores; "" where all are."""
    curves = length_curves(cells)
    shown = at_one_position(curves, MOST_CURVES)
    if len(shown) == len(curves):
        return ""
    position = next(curve.position for curve in shown if curve.position is not None)
    return f" Of {len(curves)} curves those with the {position_name(position)}."


def _curve_rows(
    stored: MeasuredCells[StoredOverlap], curve: LengthCurve, labels: tuple[str, ...]
) -> Iterable[tuple[str, ...]]:
    base: OverlapScores | None = None
    for length, point in curve.scored() if labels else ():
        row = _of_cell(stored, point, labels)
        if row is None:
            continue
        if row.all is None:
            return  # no cell of the curve has scores of such a class
        overlap = row.scores
        base = overlap if length == BASE_LENGTH_S else base
        masks = curve.haystack == OWN or any(point.get(name) for name in MASKING_AXES)
        yield length_name(length), *_texts(overlap, None if masks or base is overlap else base)


def _of_cell(
    stored: MeasuredCells[StoredOverlap], point: Point, labels: tuple[str, ...]
) -> StoredOverlap | None:
    def measures() -> dict[str, float | None]:
        clips = stored.run.read_scores(point["cell"])
        contained = contained_classes(clips.classes, labels)
        if not contained.any():
            return dict.fromkeys(("all", "apart", "counted"))
        of = asdict(
            overlap_scores(clips.targets, clips.logits, contained, point["mAP"], clips.excluded)
        )
        return {name: None if isnan(value) else value for name, value in of.items()}

    return stored.of(point, (labels, point["mAP"]), measures)


def _texts(overlap: OverlapScores, base: OverlapScores | None) -> tuple[str, ...]:
    texts = []
    for name in ("all", "apart", "counted"):
        value = getattr(overlap, name)
        share = nan if base is None else value / getattr(base, name)
        text = "" if value != value else f"{value:.3f}"
        texts.append(text if share != share else f"{text} ({100 * share:.0f} %)")
    return tuple(texts)
