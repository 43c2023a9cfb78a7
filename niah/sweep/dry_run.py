"""Dry run: check everything and read every clip as a run does, without scoring or writing."""

from collections.abc import Callable
from dataclasses import dataclass

from niah.records.run_directory import RunDirectory
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell, plan
from niah.sweep.setup import EvalSetup


@dataclass(frozen=True)
class PlannedCell:
    """One cell of a run, whether the run directory has it already, and whether it ran out of memory there."""

    cell: Cell
    done: bool
    out_of_memory: bool


def planned_cells(options: RunOptions, note: Callable[[str], None]) -> list[PlannedCell]:
    """Check everything that `options` name and list the cells of the run.

    Weights that the run would fetch are not fetched: such a model is checked but for them, and none of its cells counts
    as done.

    Args:
        options: options of the run.
        note: called with each note on the clips.

    Raises:
        NiahError: the run would be refused.
    """
    setup = EvalSetup(options, fetch=False)
    for text in setup.notes:
        note(text)
    completed, out_of_memory = set[str](), set[str]()
    if (options.out / "run.json").is_file():
        directory = RunDirectory(options.out)
        directory.check_identity(setup.identity(), len(setup.clips))
        completed, out_of_memory = directory.completed(), directory.out_of_memory()
    cells = plan(options, [model.name for model in setup.models])
    planned = []
    for loaded in setup.loaded():
        model = ModelEvaluator(options, loaded, setup.device)
        mine = [cell for cell in cells if cell.model == loaded.name]
        for cell in mine:
            if not model.leaves_out(cell):
                key = model.key(cell)
                planned.append(PlannedCell(cell, key in completed, key in out_of_memory))
    return planned
