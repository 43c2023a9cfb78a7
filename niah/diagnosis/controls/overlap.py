"""Is a false alarm false? Scores where the haystack itself truly contains labelled sounds.

Babble is speech. A tagger that says "Speech" of a needle in babble is right, and plain mAP marks it
down for every clip whose needle has no speech. Three ways of scoring tell the two apart:

    all      mAP over all classes, as always
    apart    mAP over the classes that the haystack does not contain
    counted  mAP with the haystack's labels counted as positive in every scene: the AP of such a
             class is then 1, for there is no negative left to rank above

What is truly in a haystack its card says (`contains`). A model whose `all` falls and whose `apart`
does not has heard the haystack, not lost the needle; one that only ever says "Speech" has an `apart`
at chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
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
from niah.records.naming import length_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve, length_curves
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


@dataclass(frozen=True)
class OverlapScores:
    """mAP in 0..1 by the three ways; NaN where no class is left."""

    all: float
    apart: float
    counted: float


def overlap_scores(targets: Targets, scores: Scores, contained: NDArray[np.bool_]) -> OverlapScores:
    """`targets` and `scores` (clips, classes); `contained` (classes,): what the haystack holds.

    Raises:
        NiahError: `contained` is not one flag a class.
    """
    if contained.shape != (targets.shape[1],):
        raise NiahError(f"contained must be ({targets.shape[1]},) but is {contained.shape}")
    ap = average_precision(targets, scores)
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
    """Labels truly in the haystack that rows call by this name.

    From `haystacks` in run.json (name: {contains: [..]}) if it is there, else from the card of that
    name or of its beginning ("babble-synthetic" is made by the card "babble"). Empty if not known.
    """
    entry = provenance.get("haystacks", {}).get(haystack)
    if entry is not None:
        return tuple(entry.get("contains", ()))
    cards = {card.name: card for card in haystack_cards()}
    parts = haystack.split("-")
    names = ("-".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((cards[name].contains for name in names if name in cards), ())


def overlap_table(run: "RunDirectory", cells: "pd.DataFrame") -> Table | None:
    """The three scores of each of the run's `cells` with stored scores whose haystack contains a scored class.

    None when there is no such cell.
    """
    provenance = run.run_json()
    found = length_curves(cells)
    columns = scene_columns(found)
    rows = [
        (*scene_texts(line, columns), *row)
        for line in found
        for row in _line_rows(run, line, labels_in(line.haystack, provenance))
    ]
    header = (*columns, "length", "all", "apart", "counted")
    return Table(CAPTION, header, tuple(rows)) if rows else None


def _line_rows(
    run: "RunDirectory", line: LengthCurve, labels: tuple[str, ...]
) -> Iterable[tuple[str, ...]]:
    scored = [(s, p) for s, p in line.scored() if labels and run.has_scores(p["cell"])]
    base: OverlapScores | None = None
    for length, point in scored:
        clips = run.read_scores(point["cell"])
        contained = contained_classes(clips.classes, labels)
        if not contained.any():
            return
        found = overlap_scores(clips.targets, clips.logits, contained)
        base = found if length == BASE_LENGTH_S else base
        yield length_name(length), *_texts(found, None if base is found else base)


def _texts(found: OverlapScores, base: OverlapScores | None) -> tuple[str, ...]:
    texts = []
    for name in ("all", "apart", "counted"):
        value = getattr(found, name)
        share = nan if base is None else value / getattr(base, name)
        text = "" if value != value else f"{value:.3f}"
        texts.append(text if share != share else f"{text} ({100 * share:.0f} %)")
    return tuple(texts)
