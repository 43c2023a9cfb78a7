"""Tables of a run's cells by length: the drop from the 10 s score, and the share of it that is left.

A table has cells of one protocol and one list of clips. Every table shows the chance floor (the expected mAP of random
scores), because a drop can only be read against it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from niah.records.axes import OWN, is_noise_base
from niah.records.naming import WHOLE, Point, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.system.number_text import number_text
from niah.tables.curves import LengthCurve, chance, distinct_curves, length_curves, lengths
from niah.tables.positions import MOVED, MOVED_NOTE, is_moved, positions_note
from niah.tables.table import CHANCE, Table

if TYPE_CHECKING:
    import pandas as pd

IN_NOISE = f"{length_name(BASE_LENGTH_S)} in noise"  # the needle alone with the noise under it: what masking costs


def markdown(cells: "pd.DataFrame") -> str:
    """Return `drop_table` as Markdown.

    Raises:
        NiahError: the cells are of different protocols or clips.
    """
    return drop_table(cells).markdown()


def drop_table(cells: "pd.DataFrame") -> Table:
    """Return the drop by length, a row a curve and a column a length.

    At 10 s a cell is mAP with its interval, then mAP with its change from the 10 s score in per cent
    and the change's interval.

    Raises:
        NiahError: the cells are of different protocols or clips.
    """
    return _by_length(cells, _with_intervals, "change from 10 s [95 % interval]")


def results_table(cells: "pd.DataFrame") -> Table:
    """Return the compact table of a README: mAP at 10 s, then per cent of it that is left.

    Raises:
        NiahError: the cells are of different protocols or clips.
    """
    return _by_length(cells, _share_left, "then per cent of it that is left")


def _by_length(cells: "pd.DataFrame", entry: "Entry", entries: str) -> Table:
    curves = distinct_curves(length_curves(cells))
    columns: list[tuple[str, Cells]] = []
    for length_s in lengths(curves):
        columns.append((length_name(length_s), _at(length_s)))
        if length_s == BASE_LENGTH_S and any(curve.noise_base for curve in curves):
            columns.append((IN_NOISE, lambda curve: curve.noise_base))
    header = scene_columns(curves)
    rows = [
        (
            *scene_texts(curve, header),
            *(_marked(entry(curve, cell(curve)), cell(curve)) for _, cell in columns),
        )
        for curve in curves
    ]
    floor = _chance_row(curves, [cell for _, cell in columns], len(header), entry)
    return Table(
        f"{about(cells)}; {entries}",
        (*header, *(name for name, _ in columns)),
        (*rows, *floor),
        position_notes(curves),
    )


def _at(length_s: float) -> "Cells":
    return lambda curve: curve.by_length.get(length_s)


def position_notes(curves: Iterable[LengthCurve]) -> tuple[str, ...]:
    """Return notes on the needles' positions: effective positions, and the mark of moved needles."""
    scenes = [point for curve in curves for point in curve.by_length.values()]
    moved = MOVED_NOTE if any(map(is_moved, scenes)) else None
    return tuple(note for note in (positions_note(scenes), moved) if note)


def _marked(text: str, point: Point | None) -> str:
    return f"{text} {MOVED}" if text and point is not None and is_moved(point) else text


def scene_columns(curves: Iterable[LengthCurve]) -> tuple[str, ...]:
    """Return the first columns of a table of curves, with "window" if a curve is of sliding windows."""
    windows = any(curve.window != WHOLE for curve in curves)
    return ("model", "haystack", "position", *(["window"] if windows else []))


def scene_texts(curve: LengthCurve, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fixed settings of a curve as texts.

    Args:
        curve: the curve.
        columns: from `scene_columns`.
    """
    return (
        curve.model,
        curve.scene,
        curve.positions,
        *([curve.window] if "window" in columns else []),
    )


def _chance_row(
    curves: list[LengthCurve], columns: Iterable["Cells"], n_lead: int, entry: "Entry"
) -> list[tuple[str, ...]]:
    level = chance(curves)
    if level is None:
        return []
    shares = sorted({round(100 * share) for c in curves if (share := c.chance_share) is not None})
    texts = []
    for cell in columns:
        here = [point for curve in curves if (point := cell(curve)) is not None]
        if entry is _share_left and shares and not all(map(_is_alone, here)):
            texts.append(f"{_range(shares)} %")
        else:  # several where the labels of other clips in a scene do not count
            own = sorted(float(p["chance_mAP"]) for p in here if p["chance_mAP"] is not None)
            texts.append(_range([f"{each:.3f}" for each in own or [level]]))
    return [(CHANCE, *[""] * (n_lead - 1), *texts)]


def _range(ascending: Sequence[object]) -> str:
    return " to ".join(dict.fromkeys((f"{ascending[0]}", f"{ascending[-1]}")))


def about(cells: "pd.DataFrame") -> str:
    """Return the metric, protocol and clips of a table: "mAP of dass-v1 on 80 clips of esc-10"."""
    first = cells.iloc[0]
    clips = "clip" if first["n_clips"] == 1 else "clips"
    return f"mAP of {first['protocol']} on {first['n_clips']} {clips} of {first['needles']}"


Cells = Callable[
    [LengthCurve], Point | None
]  # the cell of a curve in one column; None where it was not run


class Entry(Protocol):
    """A function from a curve and one of its cells, which may not have been run, to the cell's text."""

    def __call__(self, curve: LengthCurve, point: Point | None) -> str: ...


def _is_alone(point: Point) -> bool:
    """Return whether a cell is the needle alone, which the others are compared with."""
    return point["length_s"] == BASE_LENGTH_S and not is_noise_base(point)


def _with_intervals(curve: LengthCurve, point: Point | None) -> str:
    if point is None or point["mAP"] is None:
        return _unscored(point)
    if _is_alone(point) or curve.haystack == OWN:  # a crop is not the clip cut out
        return f"{point['mAP']:.3f}{_interval(point['mAP_lo'], point['mAP_hi'], '.3f')}"
    if point["drop"] is None:
        return f"{point['mAP']:.3f}"
    low, high = _change(point["drop_hi"]), _change(point["drop_lo"])
    return f"{point['mAP']:.3f} ({_signed(_change(point['drop']))} %{_changes(low, high)})"


def _share_left(curve: LengthCurve, point: Point | None) -> str:
    if point is None or point["mAP"] is None:
        return "oom" if point is not None and point["status"] == "oom" else _unscored(point)
    if _is_alone(point) or curve.haystack == OWN or point["relative"] is None:
        return f"{point['mAP']:.3f}"
    return f"{100 * point['relative']:.0f} %"


def _unscored(point: Point | None) -> str:
    if point is None:
        return ""
    return {"oom": "out of memory", "error": "error", "ok": "not scored"}[point["status"]]


def _change(drop: float | None) -> float | None:
    """Return a drop as a change in per cent; None where it is unknown."""
    return None if drop is None else -100 * drop


def _changes(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{_signed(low)}, {_signed(high)}]"


def _signed(per_cent: float | None) -> str:
    """Return "+3" or "-12", and "0" without a sign for values that round to it."""
    return number_text(per_cent or 0.0, "+.0f")


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f" [{low:{form}}, {high:{form}}]"
