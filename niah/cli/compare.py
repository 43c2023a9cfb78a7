"""`niah compare`."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[Path, typer.Argument(help="A run directory.")],
    b: Annotated[
        Path | None,
        typer.Argument(help="Another, on the same clips; or give two --model of the one."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="Which model (NAME or NAME@SHA256); repeat: A's, then B's."
        ),
    ] = None,
    correction: Annotated[
        str, typer.Option(help="For the number of cells: holm, bh (Benjamini-Hochberg) or none.")
    ] = "holm",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for compare.md and compare.csv. [default: print only]"),
    ] = None,
) -> None:
    """Two models or checkpoints cell by cell: paired difference, 95 % interval, corrected p-value."""
    from niah.compare.paired import compare as run_compare
    from niah.system import atomic

    found = run_compare(a, b, models=tuple(model or ()), correction=correction)
    print(found.markdown())
    if out is not None:
        with atomic.one_line_os_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        for name, text in (("compare.md", found.markdown()), ("compare.csv", found.csv())):
            with atomic.atomic_write(out / name) as stream:
                stream.write(text.encode())
            print(f"written  {out / name}")
