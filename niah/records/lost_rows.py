"""Rows that a run's table has and its folder of rows lacks: copied in part, or deleted."""

import csv
from pathlib import Path

from niah.records.row_files import row_files
from niah.records.schema import is_cell
from niah.system.plurals import plural

_SHOWN = 3


def lost_rows(run: Path) -> list[str]:
    """Return a sentence on cells of cells.csv without a file in cells/, which the next table will lack; [] without.

    Args:
        run: its folder.
    """
    try:
        with (run / "cells.csv").open(encoding="utf-8-sig", newline="") as table:
            named = {str(row.get("cell")) for row in csv.DictReader(table)}
    except (OSError, ValueError, csv.Error):  # none yet, or a table that others have saved
        return []
    lost = sorted(filter(is_cell, named - {file.stem for file in row_files(run / "cells")}))
    if not lost:
        return []
    shown = ", ".join(lost[:_SHOWN]) + (", .." if len(lost) > _SHOWN else "")
    return [
        f"{run / 'cells'} has no file of {plural(len(lost), 'cell')} that cells.csv had ({shown}): the tables go on "
        "without; the `niah run` that made them makes them again, or take the files from a copy of the run"
    ]
