"""The sweep: every planned cell that the run directory lacks, one after another, each written whole.

    setup (models, needles, haystacks) -> plan -> scenes -> adapter.logits -> scores/<cell>.parquet -> a row

Metrics are not computed here: `niah.records.summarise` computes them from the stored scores.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, TaskID

from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell, plan
from niah.sweep.setup import EvalSetup
from niah.system import folders
from niah.system.memory import keep_freed_memory
from niah.system.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

Note = Callable[[str], None]


def sweep(options: RunOptions, note: Note = lambda _: None) -> "pd.DataFrame":
    """Run, resume or amend a run directory.

    Args:
        options: options of the run.
        note: called with each note for the user (clips left out, failed cells).

    Returns:
        The table of all cells of the run directory (`niah.records.schema`).

    Raises:
        NiahError: anything wrong in the options. A failed cell is a row with the reason instead.
    """
    keep_freed_memory()
    setup = EvalSetup(options)
    for text in setup.notes:
        note(text)
    with RunDirectory.create_or_open(options.out, setup.identity(), len(setup.clips)) as directory:
        record = setup.record()
        directory.write_run_json({**record, **_added(directory, setup)})
        folders.remember(record["arguments"], setup.clips.ids_sha256)
        for text in directory.warnings:
            note(text)
        try:
            _Sweep(setup, directory, note).all_cells()
        finally:
            for text in summarise(directory):
                note(text)
        return directory.cells()


def _added(directory: RunDirectory, setup: EvalSetup) -> dict[str, Any]:
    """Entries that each part of a run adds to run.json: its preset; its haystacks, with the labels audible in them."""
    stored = directory.run_json()
    contained = {
        each.name: {"contains": list(each.contains), "sha256": each.fingerprint}
        for each in setup.haystacks.values()
    }
    presets = dict.fromkeys([*stored.get("presets", []), *filter(None, [setup.options.preset])])
    return {"presets": [*presets], "haystacks": {**stored.get("haystacks", {}), **contained}}


@dataclass
class _Sweep:
    """The state of one call of `sweep`."""

    setup: EvalSetup
    directory: RunDirectory
    note: Note

    def all_cells(self) -> None:
        cells = plan(self.setup.options, [model.name for model in self.setup.models])
        done = self.directory.completed()
        out_of_memory = self.directory.out_of_memory()
        with progress_bar() as bar:
            task = bar.add_task("sweep", total=sum(_work(cell) for cell in cells), detail="")
            for loaded in self.setup.loaded():
                model = ModelEvaluator(self.setup.options, loaded, self.setup.device)
                self.directory.write_run_json({"models": {loaded.name: model.described()}})
                mine = [cell for cell in cells if cell.model == loaded.name]
                for group in _together(cell for cell in mine if not model.leaves_out(cell)):
                    todo = [cell for cell in group if model.key(cell) not in done]
                    bar.update(task, detail=str(group[0]))
                    bar.advance(task, sum(map(_work, group)) - sum(map(_work, todo)))
                    if not todo:
                        continue
                    for cell in todo:
                        if model.key(cell) in out_of_memory:
                            self.note(f"{cell}: ran out of memory before, is tried again")
                    per_clip = sum(map(_work, todo)) / len(loaded.prepared)
                    rows = model.run(todo, self.directory, partial(_advance, bar, task, per_clip))
                    self.directory.write_rows((row, None) for row in rows)
                    for cell, row in zip(todo, rows, strict=True):
                        if row["status"] != "ok":
                            self.note(f"{cell}: {row['status']}: {row['error']}")


def _together(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Group neighbouring cells that differ in pooling alone: one pass scores them all."""
    for _, group in groupby(cells, key=lambda cell: replace(cell, pooling=None)):
        yield list(group)


def _advance(bar: Progress, task: TaskID, per_clip: float, clips: int) -> None:
    bar.advance(task, clips * per_clip)


def _work(cell: Cell) -> float:
    """Return the seconds of audio, which the progress bar counts, so that its time left is realistic."""
    return cell.length_s
