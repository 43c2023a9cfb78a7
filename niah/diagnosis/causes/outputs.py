"""The files of `niah causes`: the table as CSV and Markdown, and the figure."""

from collections.abc import Sequence
from pathlib import Path

from niah.diagnosis.causes.figure import draw
from niah.diagnosis.causes.table import CauseRow, cause_rows, order_tables, tables
from niah.plots.style import draw_all
from niah.records.run_directory import RunDirectory
from niah.system import atomic, spreadsheet
from niah.system.figure_files import wants_columns

CSV_FILE, MARKDOWN_FILE, FIGURE_FILE = "causes.csv", "causes.md", "causes.png"


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


def csv_text(rows: Sequence[CauseRow]) -> str:
    """Return one row a variant and length, numbers in full, empty where a number is not defined."""
    return spreadsheet.rows_text(CauseRow, rows)


def markdown(rows: Sequence[CauseRow]) -> str:
    """Return a table a model, how to read it, and the figure."""
    parts = ["# Why does it drop?\n"]
    parts += [table.markdown() for table in tables(rows)]
    parts += [table.markdown() for table in order_tables(rows)]
    parts.append(
        f"A part is what one cause alone takes from the released model's {rows[0].base_name}; the parts and the "
        "remainder sum to the drop. A remedy is the same weights run another way, and its share is of its own "
        f"{rows[0].base_name}; what it gives back is that share less the released model's.\n"
    )
    parts.append(f"![Each model's drop split into its causes]({FIGURE_FILE})\n")
    return "\n".join(parts)
