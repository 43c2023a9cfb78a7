"""`niah report`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import note


def report(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Write tables, figures and report.html of a run again, from its stored scores."""
    show_report(directory, note)


def show_report(directory: Path, warn: Callable[[str], None] = lambda _: None) -> None:
    """Write tables, figures and report.html of a run, and print the summary tables and the paths.

    Args:
        directory: of the run.
        warn: gets each note.
    """
    from rich.console import Console

    from niah.pages.run_report import write
    from niah.records.run_directory import RunDirectory
    from niah.tables.drop import results_table
    from niah.tables.effective_lengths import lengths_table

    page = write(directory, warn, columns=True)
    cells = RunDirectory(directory).cells()
    for table in (results_table(cells), lengths_table(cells, brief=True)):
        if table is not None:
            Console().print(table)
    print(f"tables   {directory / 'tables.md'}, tables.csv, tables.tex")
    print(f"figures  {directory / 'figures'} (PNG; SVG and PDF for a paper's column)")
    print(f"report   {page}")
