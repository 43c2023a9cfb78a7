"""Rows of `niah bench` as tables and as two figures: latency and peak memory against length."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.system import atomic
from niah.system.markdown_text import plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HEADER = (
    "name", "kernel", "length", "batch", "status", "latency", "audio s per s", "peak memory",
    "GFLOP", "GB at least", "roofline", "of roofline",
)  # fmt: skip
Rows = Sequence[dict[str, Any]]
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]  # header, lines


def rows_of(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return a table's rows, with None for missing values."""
    return [
        {str(k): None if isinstance(v, float) and isnan(v) else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def lines(rows: Rows) -> list[tuple[str, ...]]:
    """Return rows as texts under `HEADER`, by curve and length."""
    named = sorted(_named(rows), key=lambda pair: (pair[0], pair[1]["length_s"] or 0))
    return [_line(name, row) for name, row in named]


def _named(rows: Rows) -> list[tuple[str, dict[str, Any]]]:
    """Return rows with the names of their curves, with the device where there are several."""
    several = len({row["device"] for row in rows}) > 1
    return [(f"{series(row)}, {row['device']}" if several else series(row), row) for row in rows]


def _line(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    share = row["roofline_share"]
    return (
        name,
        row["kernel"] or "",
        f"{row['length_s']:g} s" if row["length_s"] else "",
        str(row["batch_size"]),
        row["status"] if row["status"] != "error" else f"error: {row['error']}",
        seconds(row["latency_s"]),
        _number(row["rtf"], "{:,.0f}"),
        _number(row["peak_memory_bytes"], "{:.2f} GiB", 2.0**30),
        _number(row["matrix_gflop"], "{:,.1f}"),
        _number(row["gbyte"], "{:,.2f}"),
        seconds(row["roofline_s"]),
        "" if share is None else f"{100 * share:.0f} %",
    )


def series(row: dict[str, Any]) -> str:
    """Return the name of a curve: the model, and its settings other than the default."""
    parts = [str(row["model"])]
    if row["window_s"]:
        parts.append(f"{row['window_s']:g} s windows")
    if (row["batch_size"] or 1) != 1:
        parts.append(f"batch {row['batch_size']}")
    if row["variant"] != "fair":
        parts.append("as published")
    if row["dtype"] != "float32":
        parts.append(str(row["dtype"]))
    return ", ".join(parts)


def seconds(value: float | None) -> str:
    """Return a time with three digits, in seconds or milliseconds."""
    if value is None:
        return ""
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _number(value: float | None, form: str, unit: float = 1.0) -> str:
    return "" if value is None else form.format(value / unit)


def markdown(title: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a titled Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(plain, cells)) + " |"

    return "\n".join([title, "", line(header), line(["---"] * len(header)), *map(line, body), ""])


def draw(rows: Rows, folder: Path) -> Path | None:
    """Draw `efficiency.png` (.svg, .pdf): latency and peak memory against length, with logarithmic axes.

    Args:
        rows: of bench.csv.
        folder: of the file.

    Returns:
        The PNG; None with fewer than two lengths.
    """
    from niah.plots.style import draw_all
    from niah.system.figure_files import wants_columns

    measured = [row for row in rows if row["status"] == "ok"]
    if len({row["length_s"] for row in measured}) < 2:
        return None
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return draw_all(lambda: _draw(_named(rows), folder), columns=wants_columns())


def _draw(rows: Sequence[tuple[str, dict[str, Any]]], folder: Path) -> Path:
    """Draw the figure for the medium of the moment."""
    from niah.plots.axes import length_axis, log_value_axis
    from niah.plots.looks import COLOURS, DASHES, MARKERS
    from niah.plots.medium import medium
    from niah.plots.style import in_style, legend, new_panels, save

    measured = [(name, row) for name, row in rows if row["status"] == "ok"]
    names = list(dict.fromkeys(name for name, _ in measured))
    with in_style():
        canvas, (left, right) = new_panels(2)
        for index, name in enumerate(names):
            own = sorted((r for n, r in measured if n == name), key=lambda r: r["length_s"])
            look: dict[str, Any] = {
                "color": COLOURS[index % len(COLOURS)],
                "marker": MARKERS[index % len(MARKERS)],
                "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
                "label": name,
                **medium().curve,
            }
            lengths = [row["length_s"] for row in own]
            left.plot(lengths, [row["latency_s"] for row in own], **look)
            right.plot(lengths, [row["peak_memory_bytes"] / 2**30 for row in own], **look)
            _mark_end(right, [row for n, row in rows if n == name], look["color"])
        left.set(title="Latency", ylabel="seconds a clip")
        right.set(title="Peak memory", ylabel="GiB")
        for axes in (left, right):
            length_axis(axes, sorted({row["length_s"] for _, row in rows if row["length_s"]}))
            log_value_axis(axes)
        legend(canvas, left)
        alt = "Latency and peak memory against length for " + "; ".join(names) + "."
        return save(canvas, folder / "efficiency.png", "What a clip costs", alt).file


def _mark_end(axes: "Axes", rows: Rows, colour: str) -> None:
    """Mark the length at which memory ran out, by the rows of a curve."""
    over = [row["length_s"] for row in rows if row["status"] == "oom"]
    if over and min(over):
        axes.axvline(min(over), color=colour, linestyle=":", linewidth=1)
