"""Dry run: check everything and read every clip as a run does, without scoring or writing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from niah.records.run_directory import RunDirectory
from niah.records.run_parts import refuse_foreign
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.finished import ended
from niah.sweep.loop import together
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.setup import EvalSetup
from niah.sweep.share import Share
from niah.system.atomic import check_writable

_SCORE_BYTES = 2  # float16, as most logits are stored
_CLIP_BYTES = 40  # its id and labels
_FILE_BYTES = 2000  # its schema and statistics


@dataclass(frozen=True)
class PlannedCell:
    """One cell of a run, whether the run directory has it already, and whether it ran out of memory there."""

    cell: Cell
    done: bool
    out_of_memory: bool
    clips: int = field(default=0, compare=False)
    seconds: float | None = field(default=None, compare=False)  # to score it, by forecast
    peak_bytes: int = field(default=0, compare=False)
    score_bytes: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Forecast:
    """Time, memory and disk of the cells that are not done, by short scenes of each model on this machine.

    Attributes:
        cells: number of cells.
        clips: scenes to score.
        audio_s: seconds of audio in them.
        seconds: time to score them in one process, by model; None where a model could not be measured.
        peak_bytes: peak memory of the largest.
        score_bytes: size of the stored scores, before compression.
        longest_s: time of the longest piece of work, which no other worker can help with.
    """

    cells: int
    clips: int
    audio_s: float
    seconds: dict[str, float | None]
    peak_bytes: int
    score_bytes: int
    longest_s: float

    @property
    def total_s(self) -> float | None:
        """Seconds in one process; None where a model could not be measured."""
        values = list(self.seconds.values())
        return None if None in values else sum(value or 0.0 for value in values)

    def of_workers(self, workers: int) -> float | None:
        """Return the seconds that several workers of this kind need: no less than the longest piece of work."""
        return None if self.total_s is None else max(self.total_s / workers, self.longest_s)


def forecast(cells: Iterable[PlannedCell], slice_s: float) -> Forecast:
    """Add up the cells that are not done.

    Args:
        cells: of `planned_cells`, measured.
        slice_s: seconds of work that long cells are cut into.
    """
    todo = [each for each in cells if not each.done]
    seconds: dict[str, float | None] = {}
    for each in todo:
        before = seconds.setdefault(each.cell.model, 0.0)
        unknown = before is None or each.seconds is None
        seconds[each.cell.model] = None if unknown else (before or 0.0) + (each.seconds or 0.0)
    return Forecast(
        len(todo),
        sum(each.clips for each in todo),
        sum(each.clips * each.cell.length_s for each in todo),
        seconds,
        max((each.peak_bytes for each in todo), default=0),
        sum(each.score_bytes for each in todo),
        max((min(each.seconds or 0.0, 1.5 * slice_s) for each in todo), default=0.0),
    )


def planned_cells(
    options: RunOptions,
    note: Callable[[str], None],
    share: Share | None = None,
    *,
    measure: bool = False,
) -> list[PlannedCell]:
    """Check everything that `options` name and list the cells of the run, or those of one shard of it.

    Weights that the run would fetch are not fetched: such a model is checked but for them, and none of its cells counts
    as done.

    Args:
        options: options of the run.
        note: called with each note on the clips.
        share: this process's share of the run; None for all of it.
        measure: score a few short scenes of each model, to forecast time and memory.

    Raises:
        NiahError: the run would be refused.
    """
    refuse_foreign(options.out)
    if ended(options) is None:  # whose report alone is shown again, from a read-only folder too
        check_writable(options.out)
    setup = EvalSetup(options, fetch=False)
    for text in setup.notes:
        note(text)
    completed, out_of_memory = set[str](), set[str]()
    if (options.out / "run.json").is_file():
        directory = RunDirectory(options.out)
        directory.check_identity(setup.identity(), len(setup.clips))
        completed, out_of_memory = directory.completed(), directory.out_of_memory()
    groups = list(together(setup.cells()))
    cells = [cell for group in (share or Share()).own(groups) for cell in group]
    planned = []
    for loaded in setup.loaded():
        model = ModelEvaluator(options, loaded, setup.device)
        mine = [cell for cell in cells if cell.model == loaded.name]
        for cell in mine:
            if not model.leaves_out(cell):
                key = model.key(cell)
                costs = _costs(model, cell) if measure and key not in completed else {}
                planned.append(PlannedCell(cell, key in completed, key in out_of_memory, **costs))
    return planned


def _costs(model: ModelEvaluator, cell: Cell) -> dict[str, Any]:
    clips = len(model.prepared)
    scenes = 1 if model.is_one_scene(cell) else clips
    clip_s = model.seconds_a_clip(cell)
    return {
        "clips": scenes,
        "seconds": None if clip_s is None else scenes * clip_s,
        "peak_bytes": model.forecasts.pace("" if cell.is_base else cell.haystack).peak_bytes(
            cell.length_s
        ),
        "score_bytes": _FILE_BYTES
        + clips * (len(model.model.labels.ids) * _SCORE_BYTES + _CLIP_BYTES),
    }
