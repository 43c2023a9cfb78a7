"""`niah compare`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import print_tables
from niah.cli.options import separated_models


def compare(
    a: Annotated[Path, typer.Argument(help="A run directory.")],
    b: Annotated[
        Path | None,
        typer.Argument(
            help="Another run on the same clips; without it, give two --model of the first."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Model to compare (NAME or NAME@SHA256); several by commas, or repeat: A's, then B's.",
        ),
    ] = None,
    correction: Annotated[
        str,
        typer.Option(
            help="Correction of p-values for the number of cells: holm, bh (Benjamini-Hochberg) or none."
        ),
    ] = "holm",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for compare.md and compare.csv. [default: print only]"),
    ] = None,
) -> None:
    """Compare two models or checkpoints cell by cell: paired difference, 95 % interval, corrected p-value."""
    from niah.compare.paired import compare as run_compare
    from niah.system import atomic

    comparison = run_compare(a, b, models=separated_models(model, a, b), correction=correction)
    print_tables(comparison.tables(), comparison.notes, comparison.markdown())
    if out is not None:
        with atomic.one_line_os_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("compare.md", comparison.markdown()),
            ("compare.csv", comparison.csv()),
        ):
            with atomic.atomic_write(out / name) as stream:
                stream.write(text.encode())
            print(f"written  {out / name}")
