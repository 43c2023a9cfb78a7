"""`niah merge`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import note
from niah.system.plurals import plural


def merge(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Run directories of one identity.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the merged run.")],
) -> None:
    """Join run directories into one: shards that were made apart. A cell that differs in two of them is refused."""
    from niah.records.merge import merge as merge_runs

    result = merge_runs(directories, out, note)
    for run, count in result.taken.items():
        print(f"{plural(count, 'cell')} from {run}")
    print(f"{plural(result.cells, 'cell')} in {out}; `niah report {out}` writes tables and figures")
