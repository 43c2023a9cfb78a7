"""`niah check`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def check(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    against: Annotated[
        str,
        typer.Option(
            help="'published' (the papers' numbers), or another run's directory or cells.csv."
        ),
    ] = "published",
    form: Annotated[
        str,
        typer.Option("--format", help="markdown, junit (XML) or github (workflow annotations)."),
    ] = "markdown",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write it to; the verdict is then printed. [default: print it]"),
    ] = None,
) -> None:
    """Regression gate: every cell against a reference within its tolerance. Exit status 1 when any is off."""
    from niah.compare.check import check as run_check
    from niah.compare.check_formats import written
    from niah.system import atomic

    result = run_check(directory, against if against == "published" else Path(against))
    text = written(result, form)
    if out is None:
        print(text)
    else:
        with atomic.atomic_write(out) as stream:
            stream.write(text.encode())
        print(f"{result.verdict()} Written to {out}.")
    if not result.ok:
        sys.exit(1)
