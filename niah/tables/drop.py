"""A run's cells as tables: the relative drop by length, in Markdown and as plain rows.

Only cells of one protocol and one list of clips go into a table. Every table shows the chance floor
(the expected mAP of random scores), because a fall can only be read against it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from niah.records.naming import Point, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.system.markdown_text import plain
from niah.tables.curves import LengthCurve, chance, lengths, lines

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """A caption in words, a header, and rows of as many texts."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table as GitHub Markdown, the caption above it; its texts are shown as they are, whatever they hold."""
        rule = ["---"] * len(self.header)
        body = [_markdown_row(row) for row in (self.header, rule, *self.rows)]
        return "\n".join([plain(self.caption), "", *body, ""])

    def __rich__(self) -> "RichTable":
        """The table for a terminal: `rich.print(table)`."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table as RichTable

        drawn = RichTable(
            title=escape(self.caption),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for index, name in enumerate(self.header):
            side: Literal["left", "right"] = "left" if index < 2 else "right"
            drawn.add_column(escape(name), justify=side, overflow="fold")
        for row in self.rows:
            drawn.add_row(*map(escape, row))
        return drawn


def markdown(cells: "pd.DataFrame") -> str:
    """The relative-drop table of a run as Markdown.

    Rows: model, haystack with SNR, position. Columns: lengths; at 10 s mAP and its interval, then
    mAP with its change from the 10 s score in per cent and the change's interval. Raises
    `NiahError` for cells of different protocols or clips (see `niah.tables.curves.lines`).
    """
    return drop_table(cells).markdown()


def drop_table(cells: "pd.DataFrame") -> Table:
    """What `markdown` shows, as a `Table`."""
    return _by_length(cells, _with_intervals, "change from 10 s [95 % interval]")


def summary(cells: "pd.DataFrame") -> Table:
    """`results_table`, for a terminal: `rich.print` draws it, and its `rows` are plain texts."""
    return results_table(cells)


def results_table(cells: "pd.DataFrame") -> Table:
    """The compact table of a README: mAP at 10 s, then per cent of it that is left."""
    return _by_length(cells, _share_left, "then per cent of it that is left")


def _by_length(cells: "pd.DataFrame", entry: "Entry", entries: str) -> Table:
    found = lines(cells)
    columns = lengths(found)
    header = scene_columns(found)
    rows = [
        (*scene_texts(line, header), *(entry(line.by_length.get(s), s) for s in columns))
        for line in found
    ]
    floor = _chance_row(found, columns, len(header), entry)
    return Table(
        f"{_about(cells)}; {entries}", (*header, *map(length_name, columns)), (*rows, *floor)
    )


def scene_columns(found: Iterable[LengthCurve]) -> tuple[str, ...]:
    """The first columns of a table of lines; "window" where a line is the sliding window's."""
    windows = any(line.window != "whole" for line in found)
    return ("model", "haystack", "position", *(["window"] if windows else []))


def scene_texts(line: LengthCurve, columns: tuple[str, ...]) -> tuple[str, ...]:
    """What a line holds fixed, as texts of `scene_columns`."""
    position = "" if line.position is None else f"{line.position:g}"
    return (line.model, line.scene, position, *([line.window] if "window" in columns else []))


def _chance_row(
    found: list[LengthCurve], columns: Iterable[float], lead: int, entry: "Entry"
) -> list[tuple[str, ...]]:
    level = chance(found)
    if level is None:
        return []
    bases = [line.base for line in found if line.base is not None and line.base["mAP"]]
    shares = sorted({round(100 * level / base["mAP"]) for base in bases})
    texts = []
    for length in columns:
        text = f"{level:.3f}"
        if entry is _share_left and length != BASE_LENGTH_S and shares:
            text = (
                " to ".join(f"{share}" for share in dict.fromkeys((shares[0], shares[-1]))) + " %"
            )
        texts.append(text)
    return [("chance", *[""] * (lead - 1), *texts)]


def _about(cells: "pd.DataFrame") -> str:
    """ "mAP of dass-v1 on 80 clips of esc-10"."""
    first = cells.iloc[0]
    return f"mAP of {first['protocol']} on {first['n_clips']} clips of {first['needles']}"


class Entry(Protocol):
    """Turns one cell (None when it was not run) at one length into text."""

    def __call__(self, point: Point | None, length_s: float) -> str: ...


def _with_intervals(point: Point | None, length_s: float) -> str:
    if point is None or point["mAP"] is None:
        return _unscored(point)
    if length_s == BASE_LENGTH_S:
        return f"{point['mAP']:.3f}{_interval(point['mAP_lo'], point['mAP_hi'], '.3f')}"
    if point["drop"] is None:
        return f"{point['mAP']:.3f}"
    low, high = _negative(point["drop_hi"]), _negative(point["drop_lo"])
    return f"{point['mAP']:.3f} ({_change(point)} %{_interval(low, high, '+.0f')})"


def _share_left(point: Point | None, length_s: float) -> str:
    if point is None or point["mAP"] is None:
        return "oom" if point is not None and point["status"] == "oom" else _unscored(point)
    if length_s == BASE_LENGTH_S or point["relative"] is None:
        return f"{point['mAP']:.3f}"
    return f"{100 * point['relative']:.0f} %"


def _unscored(point: Point | None) -> str:
    if point is None:
        return ""
    return {"oom": "out of memory", "error": "error", "ok": "not scored"}[point["status"]]


def _change(point: Point) -> str:
    return f"{-100 * point['drop'] + 0.0:+.0f}"


def _negative(drop: float | None) -> float | None:
    return None if drop is None else -100 * drop


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f" [{low:{form}}, {high:{form}}]"


def _markdown_row(row: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, row)) + " |"
