"""`niah cite`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.errors import NiahError


def cite(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="A run directory. Without one: BibTeX of this software."
        ),
    ] = None,
) -> None:
    """Print how a run was made, as a paragraph for a method section, and the BibTeX entries that belong to it."""
    from niah.tables.method import bibtex

    if directory is None:
        print(bibtex(), end="")
        return
    from niah.records.random_weights import table_without_accuracy
    from niah.records.run_directory import RunDirectory
    from niah.records.run_json import why_no_cells
    from niah.system.folders import published_run
    from niah.tables.method import method_paragraph, run_version

    run = RunDirectory(directory)
    provenance = published_run(run.run_json())
    cells = table_without_accuracy(run.cells(), provenance)
    if cells.empty:
        raise NiahError(f"{run.path} {why_no_cells(provenance)}")
    print(method_paragraph(cells, provenance))
    print()
    print(bibtex(provenance, run_version(cells)), end="")
