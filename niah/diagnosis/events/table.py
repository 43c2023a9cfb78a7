"""Table of sound events, a row a model, scene and length."""

from collections.abc import Sequence

from niah.diagnosis.events.rows import EventScores, further_settings
from niah.records.naming import length_name, system_names
from niah.tables.table import Table


def events_table(rows: Sequence[EventScores]) -> Table | None:
    """Return the table; None without rows."""
    if not rows:
        return None
    collars = ", ".join(f"{s:g}" for s in sorted({row.collar_s for row in rows}))
    caption = (
        f"Sound events: PSDS1 (no threshold); onset F within {collars} s, mean over classes [95 % interval], precision "
        "and recall of all events together, at each class's best threshold in the shortest scenes of other recordings; "
        "detected events of the clip's label in a scene, of how many, and the mean error of that count [95 % interval]"
    )
    names = system_names((row.model, row.checkpoint_sha256) for row in rows)
    body = [
        (
            names[row.model, row.checkpoint_sha256],
            row.scene,
            f"{row.position:g}",
            ", ".join(filter(None, (_method(row), setting))),
            length_name(row.length_s),
            f"{row.needles or 'annotated'}",
            _number(row.psds1),
            _bounded(row.onset_f, row.onset_lo, row.onset_hi),
            _number(row.precision),
            _number(row.recall),
            "" if row.count is None else f"{row.count:.2f} of {row.true_count:.2f}",
            _bounded(row.count_error, row.count_lo, row.count_hi, ".2f"),
        )
        for row, setting in zip(rows, further_settings(rows), strict=True)
    ]
    header = (
        *("model", "haystack", "position", "method", "length", "needles", "PSDS1", "onset F"),
        *("precision", "recall", "count", "count error"),
    )
    return Table(caption, header, tuple(body))


def _method(row: EventScores) -> str:
    if row.window_s is None:
        return f"positions, {row.place_s:.2g} s"
    return f"windows of {row.window_s:g} s, every {row.hop_s:g} s"


def _number(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else f"{value:{form}}"


def _bounded(value: float | None, low: float | None, high: float | None, form: str = ".3f") -> str:
    if value is None or low is None or high is None:
        return _number(value, form)
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"
