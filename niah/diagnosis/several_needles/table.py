"""Table of the recall of several different needles, a row a scene, length and number of needles."""

from collections.abc import Sequence

from niah.diagnosis.several_needles.rows import PLACES, SeveralNeedles
from niah.records.naming import WHOLE, length_name
from niah.system.number_text import interval_text
from niah.tables.table import Table

CAPTION = (
    "Several needles: share of a scene's m labels among its m highest scores [95 % interval], what random scores get "
    "(chance), and the same for the labels of one clip by its place in time among the others: a model that hears the "
    "beginning alone recalls the first"
)


def several_table(rows: Sequence[SeveralNeedles]) -> Table | None:
    """Return the table; None without rows."""
    if not rows:
        return None
    windows = any(row.window != WHOLE for row in rows)
    body = []
    for row in rows:
        position = "" if row.position is None else f"{row.position:g}"
        lead = (row.model, row.scene, position, *([row.window] if windows else []))
        values = (row.at(place) for place in PLACES)
        texts = ("" if value is None else _text(*value) for value in values)
        own = _text(row.set_recall, row.set_lo, row.set_hi)
        number = f"{row.needles}"
        body.append((*lead, length_name(row.length_s), number, own, f"{row.chance:.3f}", *texts))
    columns = ("model", "haystack", "position", *(["window"] if windows else []))
    header = (*columns, "length", "needles", "set recall", "chance", *PLACES)
    return Table(CAPTION, header, tuple(body))


def _text(value: float, low: float, high: float) -> str:
    return interval_text(value, low, high, ".3f")
