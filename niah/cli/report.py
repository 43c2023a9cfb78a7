"""`niah report`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import note, print_json
from niah.cli.options import FALSE_ALARMS_HELP, numbers


def report(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    false_alarms: Annotated[str, typer.Option(help=FALSE_ALARMS_HELP)] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the cells and the paths as JSON.")
    ] = False,
) -> None:
    """Write tables, figures and report.html of a run again, from its stored scores."""
    from niah.sweep.options import check_rate

    rates = tuple(map(check_rate, numbers(false_alarms, "--false-alarms")))
    if as_json:
        _print_report(directory, rates)
    else:
        show_report(directory, note, rates)


def _print_report(directory: Path, rates: Sequence[float]) -> None:
    from niah.pages.run_report import write
    from niah.records.random_weights import table_without_accuracy
    from niah.records.run_directory import RunDirectory
    from niah.system.figure_files import wants_columns
    from niah.tables.curves import points

    page = write(directory, note, columns=wants_columns(), rates=rates)
    run = RunDirectory(directory)
    cells = points(table_without_accuracy(run.cells(), run.run_json()))
    print_json(
        {
            "report": page,
            "tables": [directory / f"tables.{kind}" for kind in ("md", "csv", "tex")],
            "figures": sorted((directory / "figures").glob("*.png")),
            "cells": [{name: v for name, v in cell.items() if v is not None} for cell in cells],
        }
    )


def report_again(directory: Path) -> None:
    """Write the report of a run whose diagnoses are new: they are in its tables and figures."""
    from niah.pages.run_report import write
    from niah.system.figure_files import wants_columns

    print(f"report   {write(directory, columns=wants_columns())}")


def show_report(
    directory: Path,
    warn: Callable[[str], None] = lambda _: None,
    rates: Sequence[float] = (),
    *,
    unless_made: bool = False,
) -> None:
    """Write tables, figures and report.html of a run, and print the summary tables and the paths.

    Args:
        directory: of the run.
        warn: gets each note.
        rates: false alarms an hour and class at which recall is reported; none for the run's own.
        unless_made: write nothing where the report was made from what the run holds now.
    """
    from rich.console import Console

    from niah.diagnosis.false_alarms.rows import read
    from niah.diagnosis.false_alarms.table import recall_table
    from niah.pages.run_report import write
    from niah.records.run_directory import RunDirectory
    from niah.system.figure_files import wants_columns
    from niah.tables.drop import results_table
    from niah.tables.effective_lengths import lengths_table

    columns = wants_columns()
    page = write(directory, warn, columns=columns, rates=rates, unless_made=unless_made)
    cells = RunDirectory(directory).cells()
    recalls = recall_table(read(directory))
    for table in (results_table(cells), lengths_table(cells, brief=True), recalls):
        if table is not None:
            Console().print(table)
    print(f"tables   {directory / 'tables.md'}, tables.csv, tables.tex")
    kinds = "PNG; SVG and PDF for a paper's column" if columns else "PNG"
    print(f"figures  {directory / 'figures'} ({kinds})")
    print(f"report   {page}")
