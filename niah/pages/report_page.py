"""The content of report.html, as values for its template: a summary, figures, tables, cells, provenance."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from niah.pages import html
from niah.pages.provenance import sections
from niah.plots import Figure
from niah.plots.curves import adjusted_of
from niah.plots.text import short_name
from niah.records.naming import Point, length_name, position_name, with_windows
from niah.records.schema import BASE_LENGTH_S, COLUMNS, METRIC_COLUMNS, OPTIONAL_METRICS
from niah.system.number_text import number_text
from niah.tables.curves import LengthCurve, length_curves, points, relative_share
from niah.tables.files import headed
from niah.tables.method import bibtex, method_paragraph, run_version
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Audio needle in a haystack"
SHOWN_APART = ("excluded_clips", "notes")
SHOWN_FIRST = ("model", "haystack", "snr_db", "position", "length_s", "status", *METRIC_COLUMNS)
MOST_SUMMED_UP = 8  # models in the summary
OPEN = "Effective length"  # the further table that is not folded
CSS_PX_PER_IN = 96


@dataclass(frozen=True)
class Section:
    """A further table below its heading; `open` unless it is folded."""

    title: str
    text: str
    table: Table
    open: bool


@dataclass(frozen=True)
class Field:
    """One field of the table of cells: its text, its exact value, its classes."""

    shown: str
    value: str
    kind: str = ""


def page(
    cells: "pd.DataFrame",
    drop: Table,
    further: Iterable[Table],
    figures: Iterable[Figure],
    warnings: Sequence[str],
    provenance: Mapping[str, Any],
) -> str:
    """Fill the template of report.html.

    Args:
        cells: rows of one protocol and one list of clips.
        drop: the main table.
        further: the tables after it, folded except for the effective lengths.
        figures: in their order.
        warnings: shown before the numbers.
        provenance: run.json, without the folders of its author.

    Returns:
        The HTML.
    """
    return html.page(
        "report.html",
        style=html.part("templates", "report.css"),
        script=html.part("templates", "report.js"),
        title=TITLE,
        lead=_lead(cells),
        summary=summary(cells),
        warnings=warnings,
        figures=[_figure(figure) for figure in figures],
        drop=drop,
        sections=[_section(table) for table in further],
        cells=_cells(cells),
        provenance=_provenance(provenance),
        method=method_paragraph(cells, provenance),
        bibtex=bibtex(provenance, run_version(cells)),
    )


def summary(cells: "pd.DataFrame") -> list[str]:
    """Return a sentence a model: its score on the clips alone, and the share left in its longest scenes."""
    curves: dict[tuple[str, str], list[LengthCurve]] = {}
    for curve in length_curves(cells):
        if not curve.axes:
            curves.setdefault((curve.model, curve.window), []).append(curve)
    texts = [
        text for (model, window), own in curves.items() if (text := _sum_up(model, window, own))
    ]
    more = len(texts) - MOST_SUMMED_UP
    return texts[:MOST_SUMMED_UP] + ([f"and {more} more, in the tables below."] if more > 0 else [])


def _sum_up(model: str, window: str, curves: Sequence[LengthCurve]) -> str | None:
    base = curves[0].base
    if base is None or base["mAP"] is None:
        return None
    text = f"{with_windows(short_name(model), window)}: mAP {base['mAP']:.3f} on the clips alone"
    scored = [(s, point, c) for c in curves for s, point in c.scored() if s != BASE_LENGTH_S]
    if not scored:
        return f"{text}."
    longest_s = max(s for s, _, _ in scored)
    last = [(point, curve) for s, point, curve in scored if s == longest_s]
    last.sort(key=lambda each: float(each[0]["mAP"]))
    parts = [f"in {_scene_words(*last[0])}"]
    if len(last) > 1:
        parts = [f"best in {_scene_words(*last[-1])}", f"worst in {_scene_words(*last[0])}"]
    return f"{text}; at {length_name(longest_s)} {'; '.join(parts)}."


def _scene_words(point: Point, curve: LengthCurve) -> str:
    place = "" if curve.position is None else f", {position_name(curve.position)}"
    scene = curve.scene.replace(curve.haystack, short_name(curve.haystack), 1)
    parts = []
    if (left := relative_share(point)) is not None:
        parts.append(f"{100 * left:.0f} % left")
    if above := adjusted_of(point):
        parts.append(f"{number_text(100 * above[0], '.0f')} % of what is above chance")
    if (floor := point.get("needle_free_mAP")) is not None:
        parts.append(f"{floor:.3f} without the needle")
    about = f" ({', '.join(parts)})" if parts else ""
    return f"{scene}{place}: {point['mAP']:.3f}{about}"


def _lead(cells: "pd.DataFrame") -> str:
    names = list(dict.fromkeys(map(short_name, cells["model"])))
    shown = names[:MOST_SUMMED_UP]
    if len(names) > MOST_SUMMED_UP:
        shown.append(f"{len(names) - MOST_SUMMED_UP} more")
    models = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    first = cells.iloc[0]
    return (
        f"{models}: {first['n_clips']} labelled clips of {first['needles']}, each hidden in longer "
        f"sound by protocol {first['protocol']}. Scores are mAP from 0 to 1."
    )


def _section(table: Table) -> Section:
    heading, text = headed(table)
    return Section(heading, text, table, heading.startswith(OPEN))


def _figure(figure: Figure) -> dict[str, str | int]:
    """Return a figure at its own size, so that the letters of all have the same."""
    data = base64.b64encode(figure.file.read_bytes()).decode()
    return {"data": data, "alt": figure.alt, "width": round(CSS_PX_PER_IN * figure.width_in)}


def _cells(cells: "pd.DataFrame") -> dict[str, Any]:
    """Return all columns, scores first, with the exact value as the sort key and a short one to show."""
    further = [name for name in OPTIONAL_METRICS if name in cells.columns]
    names = list(dict.fromkeys((*SHOWN_FIRST, *further, *map(str, cells.columns))))
    return {
        "columns": [{"name": name, "is_text": COLUMNS[name] is str} for name in names],
        "rows": [[_field(name, point) for name in names] for point in points(cells)],
    }


def _field(name: str, point: Point) -> Field:
    value = point[name]
    if value is None:
        return Field("", "")
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    if name.endswith("sha256"):
        shown = shown[:12]
    failed = name in ("status", "error") and point["status"] != "ok"
    classes = ("text" if COLUMNS[name] is str else "", "bad" if failed else "")
    return Field(shown, str(value), " ".join(filter(None, classes)))


def _provenance(content: Mapping[str, Any]) -> dict[str, Any]:
    excluded = [f"{clip['id']}: {clip['reason']}" for clip in content.get("excluded_clips", [])]
    count = f"{len(excluded)} clip{'s' * (len(excluded) != 1)} could not be used."
    return {
        "known": bool(content),
        "clips": count if excluded else "Every clip could be used.",
        "excluded": excluded,
        "parts": [(name, pairs) for name, pairs in sections(content) if name not in SHOWN_APART],
    }
