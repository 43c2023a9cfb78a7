"""`niah check`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import print_tables
from niah.cli.options import SEVERAL, separated_models


def check(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    against: Annotated[
        str,
        typer.Option(
            help="Another run's directory, or its cells.csv with run.json and scores beside it; or 'published' (the "
            "papers' numbers, for runs on AudioSet's evaluation list)."
        ),
    ] = "published",
    tolerance: Annotated[
        float,
        typer.Option(
            help="mAP that may differ: a cell fails when it differs by more and, against another run, the paired "
            "difference is beyond chance too."
        ),
    ] = 0.005,
    one_sided: Annotated[
        bool,
        typer.Option("--one-sided", help="Test for a loss only. [default: a gain fails as well]"),
    ] = False,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Skip cells of the reference that the run lacks, instead of failing.",
        ),
    ] = False,
    unpaired: Annotated[
        bool,
        typer.Option(
            "--unpaired",
            help="Compare the numbers in cells.csv with the tolerance alone, without run.json or scores.",
        ),
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help=f"Check only this model (NAME or NAME@SHA256 of its weights); {SEVERAL}.",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", help="markdown, json, junit (XML) or github (annotations)."),
    ] = "markdown",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the result; then only the verdict is printed. [default: print all]"
        ),
    ] = None,
) -> None:
    """Compare every cell of a reference with the run's: a regression gate.

    Against another run the two are paired: the difference of mAP comes from the stored scores of both on the same
    clips. A cell is off when the difference is larger than --tolerance and the p-value of "no difference", corrected
    by Holm for all cells, is below 0.05. Exit status: 0 all pass, 1 a cell is off or missing or nothing was
    compared, 2 not comparable or a wrong option.
    """
    from niah.compare.check import check as run_check
    from niah.compare.check_formats import formatted
    from niah.records.run_parts import refuse_part
    from niah.system import atomic

    if out is not None:
        refuse_part(out, "--out")
    result = run_check(
        directory,
        against,
        tolerance=tolerance,
        one_sided=one_sided,
        allow_missing=allow_missing,
        unpaired=unpaired,
        models=separated_models(model, directory),
    )
    text = formatted(result, "json" if as_json else form)
    if out is None and form == "markdown" and not as_json and result.rows:
        print_tables([result.table()], result.all_notes, text)
    elif out is None:
        print(text)
    else:
        with atomic.atomic_write(out) as stream:
            stream.write(text.encode())
        print(f"{result.verdict()} Written to {out}.")
    if not result.ok:
        sys.exit(1)
