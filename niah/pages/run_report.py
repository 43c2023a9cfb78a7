"""The report of a run from its stored scores: metrics, tables, figures, one HTML page.

`report.html` is self-contained (figures inside, no network; its content security policy allows no more), everything
from outside (names, labels, paths, errors) is escaped, and absolute paths are shortened to their last part. Nothing
here imports torch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah import plots
from niah.diagnosis.controls.calibration import calibration_table
from niah.diagnosis.controls.overlap import overlap_table
from niah.diagnosis.controls.table import control_tables
from niah.diagnosis.events.rows import read as events_of
from niah.diagnosis.events.table import events_table
from niah.diagnosis.false_alarms import rows as recall_rows
from niah.diagnosis.false_alarms.measure import measure
from niah.diagnosis.false_alarms.rows import RecallAtRate
from niah.diagnosis.false_alarms.table import recall_table
from niah.diagnosis.localisation.table import stored_table
from niah.diagnosis.natural.tables import natural_tables
from niah.diagnosis.several_needles import rows as several_rows
from niah.diagnosis.several_needles.measure import measure as measure_several
from niah.diagnosis.several_needles.rows import SeveralNeedles
from niah.diagnosis.several_needles.table import several_table
from niah.diagnosis.streaming.rows import read as streams_of
from niah.diagnosis.streaming.table import stream_tables
from niah.errors import NiahError
from niah.metrics.chance import few_clips_warning, few_recordings_warning, one_recording_warning
from niah.pages import report_page
from niah.pages.figures import FigureContent, drawn_beside
from niah.pages.made_from import is_made, mark
from niah.records.random_weights import random_models, table_without_accuracy
from niah.records.run_directory import RunDirectory
from niah.records.run_json import why_no_cells
from niah.records.run_parts import lacks_rows
from niah.records.summarise import summarise
from niah.system import atomic
from niah.system.folders import published_run
from niah.system.markdown_text import plain
from niah.system.printable import content_of
from niah.tables import drop as tables
from niah.tables.above_chance import adjusted_table, needle_free_table
from niah.tables.curves import points, without_masks
from niah.tables.effective_lengths import lengths_table
from niah.tables.files import csv_file, headed, latex_file
from niah.tables.published import statements
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd


def write(
    run_dir: Path | str,
    note: Callable[[str], None] = lambda _: None,
    *,
    columns: bool = False,
    rates: Sequence[float] = (),
    unless_made: bool = False,
) -> Path:
    """Write metrics, `tables.md`, `.tex` and `.csv`, `figures/*.png` and `report.html` of a run again.

    Metrics are computed from the stored scores; a published run without scores keeps those in its cells.csv.

    Args:
        run_dir: the run's folder.
        note: gets each warning about its scores.
        columns: also draw every figure as SVG and PDF of the width of a paper's column.
        rates: false alarms an hour and class at which recall is reported; none for those of the run, or of its last
            report.
        unless_made: leave everything as it is where it was made from what the run holds now.

    Returns:
        The page.

    Raises:
        NiahError: the folder is no run, has no cells yet, or cannot be written to; a row in it was edited or damaged;
            rates of a run without scenes without a needle.
    """
    run = RunDirectory(run_dir)
    warnings = []
    if not lacks_rows(run.path):
        with (
            run.join()
        ):  # beside a run that is still going on: it completes the tables, not the cells
            warnings = [*run.warnings, *summarise(run)]
    for text in warnings:
        note(text)
    page, settings = run.path / "report.html", f"{columns} {[*map(float, rates)]} {warnings}"
    if unless_made and is_made(run.path, settings):
        return page
    provenance = published_run(run.run_json())  # older ones have whole paths
    if warnings:
        names = [text.replace(f"{run.path}/", "") for text in warnings]
        provenance = {**provenance, "notes": [*provenance.get("notes", []), *names]}
    cells = table_without_accuracy(run.cells(), provenance)
    if cells.empty:
        raise NiahError(f"{run.path} {why_no_cells(provenance)}")
    recalls = _recalls(run, cells, rates, note)
    several = _several(run, cells)
    content = FigureContent(run.path, cells, recalls, several, provenance.get("presets", []))
    with drawn_beside(content, columns=columns) as drawn:
        further = _further(run, cells, [recall_table(recalls), several_table(several)])
        figures = drawn()
    _write_text(run.path / "tables.md", _tables_md(cells, further, figures, provenance))
    every = (tables.drop_table(cells), *further)
    _write_text(run.path / "tables.tex", latex_file(every))
    _write_text(run.path / "tables.csv", csv_file(every))
    warnings = _warnings(cells, provenance)
    drop = tables.drop_table(cells)
    text = report_page.page(cells, drop, further, figures, warnings, provenance)
    _write_text(page, text + mark(run.path, settings))
    return page


def _write_text(file: Path, text: str) -> None:
    with atomic.atomic_write(file) as stream:
        stream.write(content_of(file.name, text))


def _warnings(cells: "pd.DataFrame", provenance: Mapping[str, Any]) -> list[str]:
    """Return the notes that a reader needs before the numbers."""
    warnings = [str(note) for note in provenance.get("notes", [])]
    warnings += [
        f"{name} has random weights: its accuracy is not reported, only its speed."
        for name in random_models(provenance)
    ]
    recordings = provenance.get("needles", {}).get("recordings")
    few = (
        few_clips_warning(without_masks(cells)),
        one_recording_warning(points(cells)) or few_recordings_warning(recordings),
    )
    return [*warnings, *filter(None, few)]


def _recalls(
    run: RunDirectory, cells: "pd.DataFrame", rates: Sequence[float], note: Callable[[str], None]
) -> list[RecallAtRate]:
    """Compute recall at false alarms, and store it; a run without scores keeps the stored rows."""
    own_rates = run.run_json().get("arguments", {}).get("false_alarms") or ()
    stored = []
    try:
        stored = recall_rows.read(run.path)
    except NiahError as error:
        if not (rates or own_rates) or not (run.path / "scores").is_dir():
            raise
        note(f"{error}; it is made again")
    wanted = rates or dict.fromkeys((*own_rates, *(row.per_hour for row in stored)))
    if not wanted:
        return []
    rows = measure(run, cells, sorted(map(float, wanted)))
    if rows:
        recall_rows.write(run.path, rows)
        return rows
    if rates:
        raise NiahError(
            f"{run.path} has no scores of scenes without a needle, which recall at false alarms needs: "
            "`niah run` the same with --false-alarms"
        )
    return stored


def _several(run: RunDirectory, cells: "pd.DataFrame") -> list[SeveralNeedles]:
    """Compute the recall of several needles, and store it; a run without scores keeps the stored rows."""
    rows = measure_several(run, cells)
    if rows:
        several_rows.write(run.path, rows)
    return rows or several_rows.read(run.path)


def _further(
    run: RunDirectory, cells: "pd.DataFrame", recalls: Iterable[Table | None]
) -> list[Table]:
    """Return the tables after the scores for which the run has numbers or scores."""
    made = (
        adjusted_table(cells),
        lengths_table(cells),
        needle_free_table(cells),
        *recalls,
        overlap_table(run, cells),
        calibration_table(run, cells),
        stored_table(run.path),
        events_table(events_of(run.path)),
        *stream_tables(streams_of(run.path)),
        *natural_tables(run, cells),
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
    parts += [tables.markdown(cells), *map(_section, further)]
    for figure in figures:
        alt = plain(figure.alt.replace("[", "(").replace("]", ")"))
        parts.append(f"## {plain(figure.title)}\n\n![{alt}](figures/{figure.file.name})\n")
    return "\n".join(parts)


def _section(table: Table) -> str:
    heading, text = headed(table)
    return f"## {plain(heading)}\n\n{replace(table, caption=text).markdown()}"
