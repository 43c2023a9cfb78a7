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
from niah.records.run_directory import RunDirectory
from niah.system import atomic


def write(run: RunDirectory) -> list[Path]:
    """Write causes.csv, causes.md and causes.png into the run's folder; return their paths.

    Raises:
        NiahError: the folder has no variants, or cannot be written.
    """
    rows = cause_rows(run)
    texts = {CSV_FILE: csv_text(rows), MARKDOWN_FILE: markdown(rows)}
    for name, text in texts.items():
        with atomic.atomic_write(run.path / name) as stream:
            stream.write(text.encode())
    figure = draw(rows, run.path / FIGURE_FILE)
    return [*(run.path / name for name in texts), figure.file]
