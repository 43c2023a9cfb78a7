"""The files of `niah causes`: the table as CSV and Markdown, and the figure."""

from pathlib import Path

from niah.diagnosis.causes.figure import draw
from niah.diagnosis.causes.table import (
    CSV_FILE,
    FIGURE_FILE,
    MARKDOWN_FILE,
    cause_rows,
    csv_text,
    markdown,
)
from niah.plots.style import draw_all
from niah.records.run_directory import RunDirectory
from niah.system import atomic
from niah.system.figure_files import wants_columns


def write(run: RunDirectory) -> list[Path]:
    """Write causes.csv, causes.md and causes.png (.svg, .pdf) into the run's folder; return the first three's paths.

    Raises:
        NiahError: the folder has no variants, or cannot be written.
    """
    rows = cause_rows(run)
    texts = {CSV_FILE: csv_text(rows), MARKDOWN_FILE: markdown(rows)}
    for name, text in texts.items():
        with atomic.atomic_write(run.path / name) as stream:
            stream.write(text.encode())
    figure = draw_all(lambda: draw(rows, run.path / FIGURE_FILE), columns=wants_columns())
    return [*(run.path / name for name in texts), figure.file]
