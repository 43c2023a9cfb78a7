"""Retention above chance, (mAP - chance) / (10 s mAP - chance), and the mAP of scenes without a needle.

A share of the 10 s score has a floor, because random scores have an mAP too: of two models at that floor the weaker
keeps the larger share. The chance-adjusted share is 1 for an unchanged score and 0 for a score at chance. The empirical
floor is the mAP of scenes without a needle against the labels of the missing needle: if it is above chance, the
haystack itself reveals the class.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from niah.records.axes import OWN
from niah.records.naming import Point, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.system.number_text import number_text
from niah.tables.curves import LengthCurve, distinct_curves, length_curves, lengths
from niah.tables.drop import about, scene_columns, scene_texts
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

Entry = Callable[[Point], str]


def adjusted_share(point: Point) -> float | None:
    """Return the chance-adjusted share of a cell: the stored one, or computed for cells without intervals.

    None where these are unknown, of natural crops, or where the 10 s score does not differ significantly from chance.
    """
    if point.get("haystack") == OWN:  # a crop is not the clip cut out: `niah.diagnosis.natural`
        return None
    if point.get("adjusted") is not None:
        return float(point["adjusted"])
    if "adjusted" in point and point.get("drop_lo") is not None:
        return None
    own, base, floor = (point[name] for name in ("mAP", "base_mAP", "chance_mAP"))
    if None in (own, base, floor) or base <= floor:
        return None
    return float((own - floor) / (base - floor))


def adjusted_table(cells: "pd.DataFrame") -> Table | None:
    """Return the chance-adjusted shares by length in per cent, with 95 % intervals where cells have them.

    Returns:
        None when no longer scene has one.

    Raises:
        NiahError: the cells are of different protocols or clips.
    """
    return _table(
        cells,
        f"Chance-adjusted share: per cent left of what the 10 s score is above chance [95 % interval]; {about(cells)}",
        _adjusted_text,
    )


def needle_free_table(cells: "pd.DataFrame") -> Table | None:
    """Return the mAP of the same scenes without their needle, by length.

    Returns:
        None when it was not measured.

    Raises:
        NiahError: the cells are of different protocols or clips.
    """
    return _table(
        cells,
        f"Needle-free floor: mAP of the haystack alone against the needles' labels; {about(cells)}",
        _needle_free_text,
    )


def _table(cells: "pd.DataFrame", caption: str, entry: Entry) -> Table | None:
    curves = distinct_curves(length_curves(cells))
    longer_s = [length_s for length_s in lengths(curves) if length_s != BASE_LENGTH_S]
    columns = scene_columns(curves)
    rows = []
    for curve in curves:
        texts = _texts(curve, longer_s, entry)
        if any(texts):
            rows.append((*scene_texts(curve, columns), *texts))
    if not rows:
        return None
    return Table(caption, (*columns, *map(length_name, longer_s)), tuple(rows))


def _texts(curve: LengthCurve, longer_s: list[float], entry: Entry) -> list[str]:
    cells = (curve.by_length.get(length_s) for length_s in longer_s)
    return ["" if point is None else entry(point) for point in cells]


def _adjusted_text(point: Point) -> str:
    value = adjusted_share(point)
    if value is None:
        return ""
    low, high = point.get("adjusted_lo"), point.get("adjusted_hi")
    interval = "" if None in (low, high) else f" [{_per_cent(low)}, {_per_cent(high)}]"
    return f"{_per_cent(value)} %{interval}"


def _needle_free_text(point: Point) -> str:
    value = point.get("needle_free_mAP")
    return "" if value is None else f"{value:.3f}"


def _per_cent(share: float | None) -> str:
    return number_text(100 * (share or 0.0), ".0f")
