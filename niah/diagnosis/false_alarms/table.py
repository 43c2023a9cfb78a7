"""Table of recall at a number of false alarms an hour, a row a scene and rate, a column a length."""

from collections.abc import Sequence

from niah.diagnosis.false_alarms.rows import EVERY_SCENE, FEW_HOURS, ONE_SCENE, RecallAtRate
from niah.records.naming import WHOLE, length_name
from niah.system.number_text import interval_text
from niah.tables.table import Table

CAPTION = (
    "Recall at false alarms: mean recall over classes [95 % interval], each class with the lowest threshold at which "
    "scenes of the same length without a needle raise at most so many alarms of it an hour. A scene is one decision, "
    "however long: an alarm is a scene whose score of the class is above the threshold"
)
HOURS_NOTE = (
    "needs N h more: hours of scenes without a needle that are missing until the 95 % bounds of the alarm rate exclude "
    "0 alarms (3.69 expected ones). More clips (--limit) give more hours."
)
EVERY_NOTE = "at most N/h: one decision a scene cannot raise more alarms of a class, so that every threshold will do."
CONSTANT_NOTE = (
    "A constant haystack has one scene without a needle: recall there is the share of needles that score above it, "
    "at any rate of alarms."
)


def recall_table(rows: Sequence[RecallAtRate]) -> Table | None:
    """Return the table; None without rows."""
    if not rows:
        return None
    lengths_s = sorted({row.length_s for row in rows})
    windows = any(row.window != WHOLE for row in rows)
    lines: dict[tuple[object, ...], dict[float, RecallAtRate]] = {}
    for row in rows:
        lines.setdefault((*row.curve, row.per_hour), {})[row.length_s] = row
    body = []
    for by_length in lines.values():
        first = next(iter(by_length.values()))
        position = "" if first.position is None else f"{first.position:g}"
        lead = (first.model, first.scene, f"{first.per_hour:g}/h", position)
        texts = (recall_text(by_length.get(length_s)) for length_s in lengths_s)
        body.append((*lead, *([first.window] if windows else []), *texts))
    columns = ("model", "haystack", "false alarms", "position", *(["window"] if windows else []))
    header = (*columns, *map(length_name, lengths_s))
    return Table(CAPTION, header, tuple(body), _notes(rows))


def recall_text(row: RecallAtRate | None) -> str:
    """Return the recall with its interval, or the reason why there is none; "" for a scene that was not run."""
    if row is None:
        return ""
    if row.outcome == FEW_HOURS:
        return f"needs {row.more_hours:.2g} h more"
    if row.outcome == EVERY_SCENE:
        return f"at most {3600 / row.length_s:.2g}/h"
    if row.recall is None:
        return "no class"
    if row.recall_lo is None or row.recall_hi is None:  # of one recording
        return f"{row.recall:.3f}"
    return interval_text(row.recall, row.recall_lo, row.recall_hi, ".3f")


def _notes(rows: Sequence[RecallAtRate]) -> tuple[str, ...]:
    by_outcome = {FEW_HOURS: HOURS_NOTE, EVERY_SCENE: EVERY_NOTE, ONE_SCENE: CONSTANT_NOTE}
    outcomes = {row.outcome for row in rows}
    return tuple(note for outcome, note in by_outcome.items() if outcome in outcomes)
