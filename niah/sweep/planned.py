"""Number of cells that a run will have: while it runs, and after it was interrupted."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from niah.records.run_directory import RunDirectory
from niah.sweep.plan import Cell
from niah.sweep.setup import EvalSetup

_NAMES = tuple(field.name for field in fields(Cell))


def announce(setup: EvalSetup, directory: RunDirectory, cells: Iterable[Cell]) -> None:
    """Tell `niah status` the size of the whole run, all shards of it, and note it in run.json.

    Cells of earlier commands that this one does not plan, of other lengths or models, count too.

    Args:
        setup: of the run.
        directory: open for writing.
        cells: planned ones.
    """
    assert directory.me is not None
    planned = [cell for cell in cells if not setup.leaves_out(cell)]
    names = {_name(vars(cell)) for cell in planned}
    window_s = setup.options.window_s
    others = [
        row
        for row, _ in directory.rows()
        if _name(row) not in names or window_s not in (None, row.get("window_s"))
    ]
    count = len(planned) + len(others)
    others_s = sum(float(row["length_s"] or 0) * int(row["n_clips"] or 0) for row in others)
    directory.me.report(
        planned_cells=count,
        planned_audio_s=len(setup.clips) * sum(cell.length_s for cell in planned) + others_s,
    )
    directory.write_run_json({"planned_cells": count})


def settle(directory: RunDirectory) -> None:
    """Note in run.json that a run is whole: its cells are those that are stored.

    Models of one network and weights share cells, so there may be fewer than planned.

    Args:
        directory: open for writing.
    """
    directory.write_run_json({"planned_cells": len(directory.rows())})


def _name(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in _NAMES)
