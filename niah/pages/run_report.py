"""Everything a run shows, made again from what it stored: metrics, tables, figures, one HTML page.

`report.html` is self-contained (figures inside, no network; its content security policy allows no more), all that
comes from outside (names, labels, paths, errors) is escaped, and absolute paths are cut to their last part. Nothing
here imports torch.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from niah import plots
from niah.diagnosis.controls.calibration import calibration_table
from niah.diagnosis.controls.overlap import overlap_table
from niah.diagnosis.controls.table import control_tables
from niah.diagnosis.localisation import figure as localisation
from niah.diagnosis.localisation.table import localisation_table
from niah.diagnosis.localisation.table import read as located
from niah.errors import NiahError
from niah.metrics.chance import few_clips_warning
from niah.pages.html import policy
from niah.plots.published import draw_published
from niah.records.naming import Point
from niah.records.run_directory import RunDirectory
from niah.records.schema import COLUMNS, METRIC_COLUMNS
from niah.records.summarise import summarise
from niah.system import atomic
from niah.system.folders import published_run
from niah.system.markdown_text import plain
from niah.tables import drop as tables
from niah.tables.curves import points
from niah.tables.effective_lengths import lengths_table
from niah.tables.published import statements
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Audio needle in a haystack"
SHOWN_APART = ("excluded_clips", "notes")
SHOWN_FIRST = ("model", "haystack", "snr_db", "position", "length_s", "status", *METRIC_COLUMNS)


def write(run_dir: Path | str) -> Path:
    """Redo metrics, `tables.md`, `figures/*.png` and `report.html` of a run; returns the page.

    Metrics come from the stored scores; a published run that has none keeps those of its cells.csv.
    Raises `NiahError` when the folder is no run, or has no cells yet.
    """
    run = RunDirectory(run_dir)
    if (run.path / "cells").is_dir():
        summarise(run)
    provenance = published_run(run.run_json())  # an older one tells whole paths
    cells = without_random(run.cells(), provenance)
    if cells.empty:
        raise NiahError(f"{run.path} has no finished cells yet: let `niah run` finish one")
    folder = run.path / "figures"
    figures = [*plots.draw(cells, folder), *localisation.draw(located(run.path), folder)]
    figures += draw_published(cells, provenance.get("presets", []), run.path / "figures")
    further = _further(run, cells)
    _write_text(run.path / "tables.md", _tables_md(cells, further, figures, provenance))
    page = run.path / "report.html"
    _write_text(page, _page(cells, further, figures, provenance))
    return page


def without_random(cells: "pd.DataFrame", provenance: Mapping[str, Any]) -> "pd.DataFrame":
    """The cells without accuracy for models of random weights: they are there for speed alone."""
    random = _random_models(provenance)
    if random:
        cells = cells.copy()
        for column in METRIC_COLUMNS:
            cells[column] = cells[column].mask(cells["model"].isin(random))
    return cells


def _random_models(provenance: Mapping[str, Any]) -> list[str]:
    return sorted(name for name, of in provenance.get("models", {}).items() if of.get("random"))


def _write_text(file: Path, text: str) -> None:
    with atomic.atomic_write(file) as stream:
        stream.write(text.encode())


def _warnings(cells: "pd.DataFrame", provenance: Mapping[str, Any]) -> list[str]:
    """What the reader must know before the numbers."""
    told = [str(note) for note in provenance.get("notes", [])]
    told += [
        f"{name} has random weights: its accuracy is not reported, only its speed."
        for name in _random_models(provenance)
    ]
    few = few_clips_warning(cells)
    return told if few is None else [*told, few]


def _further(run: RunDirectory, cells: "pd.DataFrame") -> list[Table]:
    """The tables after the scores, those that the run has the numbers or the scores for."""
    made = (
        lengths_table(cells),
        overlap_table(run, cells),
        calibration_table(run, cells),
        localisation_table(located(run.path)),
        *control_tables(run, cells),
        *statements(run.run_json().get("presets", [])),
    )
    return [table for table in made if table is not None]


def _tables_md(
    cells: "pd.DataFrame",
    further: Iterable[Table],
    figures: Iterable[plots.Figure],
    provenance: Mapping[str, Any],
) -> str:
    parts = ["# Tables\n", *(f"> {plain(note)}\n" for note in _warnings(cells, provenance))]
    parts += [tables.markdown(cells), *map(_further_md, further)]
    for figure in figures:
        alt = plain(figure.alt.replace("[", "(").replace("]", ")"))
        parts.append(f"## {plain(figure.title)}\n\n![{alt}](figures/{figure.file.name})\n")
    return "\n".join(parts)


def _page(
    cells: "pd.DataFrame",
    further: Iterable[Table],
    figures: Iterable[plots.Figure],
    provenance: Mapping[str, Any],
) -> str:
    drop = tables.drop_table(cells)
    template = files("niah.pages").joinpath("report_template.html").read_text("utf-8")
    return Template(template).substitute(
        policy=policy(_within("style", template), _within("script", template)),
        title=escape(TITLE),
        lead=escape(_lead(cells)),
        warnings=_list_of(_warnings(cells, provenance), "warnings"),
        caption=escape(drop.caption),
        drop_table=_table_html(drop),
        further="\n".join(map(_further_html, further)),
        figures="\n".join(map(_figure_html, figures)),
        cells_table=_cells_html(cells),
        provenance=_provenance_html(provenance),
    )


def _within(tag: str, template: str) -> str:
    """The text of the template's one element of that tag."""
    (found,) = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    return str(found)


def _lead(cells: "pd.DataFrame") -> str:
    models = " and ".join(dict.fromkeys(cells["model"]))
    first = cells.iloc[0]
    return (
        f"{models}: {first['n_clips']} labelled clips of {first['needles']}, each hidden in longer "
        f"sound by protocol {first['protocol']}. Scores are mAP from 0 to 1."
    )


def _headed(table: Table) -> tuple[str, str]:
    """A caption "What it is: how to read it" as a heading and a sentence."""
    heading, _, told = table.caption.partition(": ")
    return heading, told[:1].upper() + told[1:]


def _further_html(table: Table) -> str:
    heading, told = map(escape, _headed(table))
    scroll = f'<div class="scroll">{_table_html(table)}</div>'
    return f'<h2>{heading}</h2>\n<p class="lead">{told}</p>\n{scroll}'


def _further_md(table: Table) -> str:
    heading, told = _headed(table)
    return f"## {plain(heading)}\n\n{replace(table, caption=told).markdown()}"


def _table_html(table: Table) -> str:
    texts = table.header.index("position") if "position" in table.header else 1
    heads = (f"<th{_text_if(i < texts)}>{escape(n)}</th>" for i, n in enumerate(table.header))
    rows = []
    for row in table.rows:
        fields = (f"<td{_text_if(i < texts)}>{escape(t)}</td>" for i, t in enumerate(row))
        kind = ' class="chance"' if row[0] == "chance" else ""
        rows.append(f"<tr{kind}>{''.join(fields)}</tr>")
    return f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _text_if(is_text: bool) -> str:
    return ' class="text"' if is_text else ""


def _cells_html(cells: "pd.DataFrame") -> str:
    """All columns, scores first, with the exact value as the sort key and a short one to read."""
    names = dict.fromkeys((*SHOWN_FIRST, *map(str, cells.columns)))
    heads = (
        f'<th{_text_if(COLUMNS[name] is str)} scope="col">'
        f'<button type="button">{escape(name)}</button></th>'
        for name in names
    )
    rows = (f"<tr>{''.join(_field(name, point) for name in names)}</tr>" for point in points(cells))
    body = "\n".join(rows)
    return (
        f'<table class="sortable"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _field(name: str, point: Point) -> str:
    value = point[name]
    if value is None:
        return '<td data-value=""></td>'
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    if name == "checkpoint_sha256":
        shown = shown[:12]
    style = "bad" if name in ("status", "error") and point["status"] != "ok" else ""
    classes = " ".join(filter(None, ("text" if COLUMNS[name] is str else "", style)))
    kind = f' class="{classes}"' if classes else ""
    return f'<td{kind} data-value="{escape(str(value))}">{escape(shown)}</td>'


def _figure_html(figure: plots.Figure) -> str:
    data = base64.b64encode(figure.file.read_bytes()).decode()
    alt = escape(figure.alt)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{alt}"></figure>'


def _provenance_html(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return "<p>This folder has no run.json.</p>"
    excluded = [f"{clip['id']}: {clip['reason']}" for clip in provenance.get("excluded_clips", [])]
    told = f"<p>{len(excluded)} clips could not be used.</p>" + _list_of(excluded, "excluded")
    parts = [told if excluded else "<p>Every clip could be used.</p>"]
    for name, value in provenance.items():
        if name in SHOWN_APART:
            continue
        rows = "".join(
            f'<tr><td class="text">{escape(key)}</td>'
            f'<td class="text"><code>{escape(text)}</code></td></tr>'
            for key, text in _flat(name, value)
        )
        opened = " open" if name in ("identity", "models") else ""
        parts.append(
            f'<details{opened}><summary>{escape(name)}</summary><div class="scroll">'
            f"<table><tbody>{rows}</tbody></table></div></details>"
        )
    return "\n".join(parts)


def _flat(name: str, value: object) -> list[tuple[str, str]]:
    """Nested mappings as (dotted name, text) pairs."""
    if isinstance(value, Mapping):
        return [
            (key if inner == "" else f"{key}.{inner}", text)
            for key, each in value.items()
            for inner, text in _flat("", each)
        ]
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]


def _list_of(texts: Iterable[str], kind: str) -> str:
    entries = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{entries}</ul>' if entries else ""
