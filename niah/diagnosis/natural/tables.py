"""Tables of natural scenes: mAP by length of the crop, and how synthetic scenes order the models."""

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

from niah.diagnosis.natural.measure import Agreement, NaturalScore, agreements, natural_scores
from niah.records.naming import WHOLE, length_name
from niah.records.run_directory import RunDirectory
from niah.system.number_text import interval_text
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "Natural scenes: crops around an annotated event of its own recording. mAP of the event's label, where other "
    "events of a crop count neither way, and of all annotated labels [95 % interval], each with that of random scores "
    "(chance), which rises with the number of labels in a crop"
)
AGREEMENT_CAPTION = (
    "Natural and synthetic scenes: rank correlation (Spearman) over models of chance-adjusted L85 in crops and in "
    "other scenes [95 % interval over resampled clips]; p by all orders of the models"
)


def natural_tables(run: RunDirectory, cells: "pd.DataFrame") -> list[Table]:
    """Return the tables of natural scenes that have rows.

    Args:
        run: the scores.
        cells: of the run.
    """
    made = natural_table(natural_scores(run, cells)), agreement_table(agreements(run, cells))
    return [table for table in made if table is not None]


def natural_table(scores: Sequence[NaturalScore]) -> Table | None:
    """Return a row a model, position and length; None without any."""
    if not scores:
        return None
    windows = any(score.curve.window != WHOLE for score in scores)
    rows = []
    for score in scores:
        curve = score.curve
        lead = (curve.model, curve.scene, curve.positions, *([curve.window] if windows else []))
        texts = (_text(score.event), f"{score.event_chance:.3f}")
        every = (_text(score.every), f"{score.every_chance:.3f}")
        rows.append((*lead, length_name(score.length_s), f"{score.labels:.1f}", *texts, *every))
    columns = ("model", "haystack", "position", *(["window"] if windows else []))
    values = ("length", "labels", "event mAP", "chance", "all-label mAP", "chance of all")
    return Table(CAPTION, (*columns, *values), tuple(rows))


def agreement_table(rows_of_scenes: Sequence[Agreement]) -> Table | None:
    """Return a row a kind of scene; None without any."""
    if not rows_of_scenes:
        return None
    rows = []
    for each in rows_of_scenes:
        c = each.correlation
        position = "" if each.position is None else f"{each.position:g}"
        rho = "all equal" if isnan(c.rho) else interval_text(c.rho, c.low, c.high, "+.2f")
        p = "" if isnan(c.p) else "< 0.001" if c.p < 0.001 else f"{c.p:.3f}"
        lengths = "; ".join(
            f"{model} {own_s:.3g} s, {here_s:.3g} s"
            for model, (own_s, here_s) in each.lengths_s.items()
        )
        rows.append((each.scene, position, f"{c.models}", rho, p, lengths))
    header = ("haystack", "position", "models", "rho", "p", "L85 in crops, here")
    return Table(AGREEMENT_CAPTION, header, tuple(rows))


def _text(values: tuple[float, float, float]) -> str:
    return interval_text(*values, ".3f")
