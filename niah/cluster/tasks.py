"""Tasks that a worker runs: one piece of a run's work, claimed, scored and stored as any process does it.

What a worker has loaded, it keeps: the run's clips and haystacks, and every model that it has been given work of.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.setup import EvalSetup
from niah.sweep.work import CellWork
from niah.system.memory import keep_freed_memory
from niah.version import __version__


@dataclass(frozen=True)
class Task:
    """Cells of the same scenes, or one slice of their clips."""

    options: RunOptions
    folder: str  # that relative paths start from
    driver: str  # that hands it out: what an earlier one had loaded may have changed since
    cells: tuple[Cell, ...]
    slice_s: float
    part: int | None = None  # number of the slice

    def __str__(self) -> str:
        return f"{self.cells[0]}" + ("" if self.part is None else f", slice {self.part + 1}")


@dataclass(frozen=True)
class Answer:
    """Outcome of a task: rows with a reason instead of scores, slices to do instead, processes to wait for."""

    problems: tuple[str, ...] = ()
    slices: int = 0
    waits_for: tuple[str, ...] = ()
    clips: int = 0
    version: str = field(default_factory=lambda: __version__)  # of niah on the worker


@dataclass
class _Loaded:
    """One run in a worker's memory."""

    setup: EvalSetup
    directory: RunDirectory
    models: dict[str, ModelEvaluator] = field(default_factory=dict)

    def model(self, name: str) -> ModelEvaluator:
        """Return a model, loaded when it is first needed and kept."""
        if name not in self.models:
            (spec,) = (each for each in self.setup.models if each.name == name)
            model = ModelEvaluator(self.setup.options, self.setup.load(spec), self.setup.device)
            model.write_description(self.directory)
            self.models[name] = model
        return self.models[name]


_RUNS: dict[str, _Loaded] = {}  # by their driver and options


def score(task: Task) -> Answer:
    """Do a task, in a worker.

    Raises:
        NiahError: the run directory cannot be written to, or is of another run.
    """
    run = _loaded(task)
    assert run.directory.me is not None
    run.directory.me.report(cell=str(task))
    work = CellWork(run.model(task.cells[0].model), task.cells, run.directory, task.slice_s)
    if "began_s" not in run.directory.me.progress:  # the first model is loaded
        run.directory.me.report(**run.directory.me.times())
    scored = 0

    def advance(clips: int) -> None:
        nonlocal scored
        scored += clips

    slicing = work.settled_slicing()
    if slicing is not None and task.part is None:
        return Answer(slices=len(slicing.slices()))
    if slicing is None:
        if task.part is not None:  # another process has put the slices together meanwhile
            return Answer()
        outcome = work.do(advance)
    else:
        assert task.part is not None
        outcome = work.do_slice(slicing, slicing.slices()[task.part], advance)
        if not outcome.rows and not outcome.waits_for and work.is_complete(slicing):
            outcome = work.join(slicing)
    _count(run, scored, scored * task.cells[0].length_s)
    problems = [
        f"{cell}: {row['status']}: {row['error']}"
        for cell, row in zip(task.cells, outcome.rows, strict=False)
        if row["status"] != "ok"
    ]
    return Answer(tuple(problems), 0, tuple(outcome.waits_for.values()), scored)


def leave(path: str) -> None:
    """Leave a run directory, in a worker: the run is over.

    Args:
        path: of the run, absolute.
    """
    for key, run in list(_RUNS.items()):
        if run.directory.path.absolute() == Path(path):
            with suppress(NiahError):
                run.directory.close()
            del _RUNS[key]


def _loaded(task: Task) -> _Loaded:
    key = repr((task.driver, task.options, task.folder))
    if Path(task.folder).is_dir():  # models are loaded later than the first task
        os.chdir(task.folder)
    if key not in _RUNS:
        keep_freed_memory()
        leave(str(task.options.out))  # which a driver that was killed did not say
        setup = EvalSetup(task.options)
        clips = len(setup.clips)
        directory = RunDirectory.create_or_open(task.options.out, setup.identity(), clips)
        assert directory.me is not None
        directory.me.report(device=str(setup.device))
        _RUNS[key] = _Loaded(setup, directory)
    return _RUNS[key]


def _count(run: _Loaded, clips: int, audio_s: float) -> None:
    """Add to what `niah status` shows of this worker."""
    assert run.directory.me is not None
    before = run.directory.me.progress
    run.directory.me.report(
        scored_clips=before.get("scored_clips", 0) + clips,
        scored_audio_s=before.get("scored_audio_s", 0.0) + audio_s,
        **run.directory.me.times(),
    )
