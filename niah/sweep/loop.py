"""The sweep: every planned cell that the run directory lacks, each written whole, by this process or another.

    setup (models, needles, haystacks) -> plan -> scenes -> adapter.logits -> scores/<cell>.parquet -> a row

Metrics are not computed here: `niah.records.summarise` computes them from the stored scores.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.errors import Terminated
from niah.records.axes import OWN
from niah.records.run_directory import RunDirectory
from niah.records.run_parts import refuse_foreign
from niah.records.summarise import summarise
from niah.records.workers import ENDED, list_workers
from niah.scenes.own import OwnRecordings
from niah.sweep import finished
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.model_record import late_networks
from niah.sweep.models import ModelSpec
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.planned import announce, settle
from niah.sweep.setup import KNOWN_EARLY, EvalSetup, identity_of_options
from niah.sweep.share import Share
from niah.sweep.work import CellWork
from niah.system import folders
from niah.system.memory import keep_freed_memory
from niah.system.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

Note = Callable[[str], None]
Group = tuple[Cell, ...]  # cells of the same scenes
_WAIT_S = 0.25, 5.0  # between two looks at the work of other processes: at first, at most
_SHOWN = 3  # processes in a note
_REPORT_EVERY_S = 5.0


@dataclass(frozen=True)
class SweepResult:
    """The table of all cells of the run directory, and the processes that are still making some of them."""

    cells: "pd.DataFrame"
    still_working: tuple[str, ...] = ()


def sweep(
    options: RunOptions, note: Note = lambda _: None, share: Share | None = None
) -> "pd.DataFrame":
    """Run, resume or amend a run directory.

    Args:
        options: options of the run.
        note: called with each note for the user (clips left out, failed cells).
        share: this process's share of the run; None for all of it.

    Returns:
        The table of all cells of the run directory (`niah.records.schema`).

    Raises:
        NiahError: anything wrong in the options. A failed cell is a row with the reason instead.
    """
    return run_sweep(options, note, share).cells


def run_sweep(
    options: RunOptions, note: Note = lambda _: None, share: Share | None = None
) -> SweepResult:
    """Run, resume or amend a run directory, alone or beside other processes.

    Args:
        options: options of the run.
        note: called with each note for the user.
        share: this process's share of the run; None for all of it.

    Raises:
        NiahError: anything wrong in the options.
    """
    known = look_before_loading(options, note)
    keep_freed_memory()
    setup = EvalSetup(options)
    for text in setup.notes:
        note(text)
    share = share or Share()
    with open_run(setup, note, known) as directory:
        assert directory.me is not None
        directory.me.report(shard=str(share), device=str(setup.device))
        stopped = False
        try:
            state = _Sweep(setup, directory, note, share)
            state.all_cells()
        except Terminated:
            stopped = True
            raise
        finally:
            directory.me.report(state=ENDED, cell="")
            working = tuple(str(each) for each in directory.others() if each.is_working)
            if not stopped and not (share.is_shard and working):
                for text in summarise(directory):
                    note(text)
        if not share.is_shard:
            finished.remember(options, directory, state.keys, setup.notes)
        return SweepResult(directory.cells(), working if share.is_shard else ())


def look_before_loading(options: RunOptions, note: Note) -> tuple[str, ...]:
    """Refuse a folder that holds another run, and name the processes at work in it, before any model is loaded.

    Args:
        options: options of the run.
        note: called with each note for the user.

    Returns:
        The processes that were named.

    Raises:
        NiahError: the folder holds something else, or a run of another protocol, level or seed.
    """
    refuse_foreign(options.out)
    if not (options.out / "run.json").is_file():
        return ()
    RunDirectory(options.out).check_identity(identity_of_options(options), names=KNOWN_EARLY)
    workers = tuple(str(each) for each in list_workers(options.out) if each.is_alive)
    _note_workers(workers, options.out, note)
    return workers


def open_run(setup: EvalSetup, note: Note, known: Collection[str] = ()) -> RunDirectory:
    """Open the run directory of a set-up for writing, and record the set-up in run.json.

    Args:
        setup: of the run.
        note: called with each note for the user.
        known: processes at work in it that were named before.

    Raises:
        NiahError: the directory holds something else, or cannot be written to.
    """
    options = setup.options
    directory = RunDirectory.create_or_open(options.out, setup.identity(), len(setup.clips))
    try:
        record = setup.record()
        directory.write_run_json({**record, **_added(setup)})
        folders.remember(record["arguments"], setup.clips.ids_sha256)
        for text in directory.warnings:
            note(text)
        others = map(str, directory.others())
        _note_workers([other for other in others if other not in known], options.out, note)
    except BaseException:
        directory.close()
        raise
    return directory


def _note_workers(workers: Collection[str], out: Path, note: Note) -> None:
    if workers:
        note(
            f"{_processes(workers)} also at work in {out}: each cell is scored by the one that claims it first"
        )


def _added(setup: EvalSetup) -> dict[str, Any]:
    """Entries that each part of a run adds to run.json: its preset; its haystacks, with the labels audible in them."""
    contained: dict[str, dict[str, Any]] = {
        each.name: {"contains": list(each.contains), "sha256": each.fingerprint}
        for each in setup.haystacks.values()
    }
    if OWN in contained:
        contained[OWN]["recordings"] = OwnRecordings(setup.clips).durations
    return {"presets": [*filter(None, [setup.options.preset])], "haystacks": contained}


@dataclass
class _Sweep:
    """The state of one call of `run_sweep`."""

    setup: EvalSetup
    directory: RunDirectory
    note: Note
    share: Share
    waits_for: dict[Group, Mapping[str, str]] = field(default_factory=dict)
    _model: ModelEvaluator | None = None
    _keys: dict[str, set[str]] = field(default_factory=dict)  # cells by model
    _late: str = ""  # the note on networks that the model of the last cell loads in its calls
    _reported: float = 0.0
    _scored: dict[str, float] = field(
        default_factory=lambda: {"scored_clips": 0, "scored_audio_s": 0.0, "open_audio_s": 0.0}
    )

    @property
    def keys(self) -> set[str]:
        """Keys of the cells that were looked at."""
        return set().union(*self._keys.values())

    def all_cells(self) -> None:
        """Score the process's own cells, then help or wait."""
        groups = list(together(self.setup.cells()))
        own = self.share.own(groups)
        self.done = self.directory.completed()
        self.out_of_memory = self.directory.out_of_memory()
        with progress_bar() as self.bar:
            announce(self.setup, self.directory, (cell for group in groups for cell in group))
            total = sum(_work(cell) for group in own for cell in group)
            self.task = self.bar.add_task("sweep", total=total, detail="")
            self._pass(own)
            if self.share.is_shard:
                if rest := self._unclaimed([group for group in groups if group not in own]):
                    self.bar.update(self.task, total=total + sum(_work(c) for g in rest for c in g))
                    self._pass(rest)
            else:
                self._wait()
        if not self.share.is_shard:
            settle(self.directory)
        self._note_equal_models()

    def _note_equal_models(self) -> None:
        """Note each model whose cells are another's, by its network, weights and classes: they are under that name."""
        rows = {row["cell"]: str(row["model"]) for row, _ in self.directory.rows()}
        for name, keys in self._keys.items():
            others = {rows[key] for key in keys if key in rows} - {name}
            if others:
                names = " and ".join(f"'{other}'" for other in sorted(others))
                self.note(
                    f"model '{name}' has the network and weights of {names}: its scores are the same cells, "
                    "under that name"
                )

    def _pass(self, groups: Sequence[Group]) -> None:
        """Load each model that has work, and do what no other process is doing."""
        for spec in self.setup.models:
            mine = [group for group in groups if group[0].model == spec.name]
            for group in mine:
                model = self._loaded(spec)
                if not model.leaves_out(group[0]):
                    self._do(model, group)

    def _loaded(self, spec: ModelSpec) -> ModelEvaluator:
        """Return the model's evaluator; only one model is in memory."""
        if self._model is None or self._model.model.name != spec.name:
            self._model = None
            loaded = self.setup.load(spec)
            self._model = ModelEvaluator(self.setup.options, loaded, self.setup.device)
            self._model.write_description(self.directory)
        return self._model

    def _do(self, model: ModelEvaluator, group: Group) -> None:
        keys = {cell: model.key(cell) for cell in group}
        self._keys.setdefault(model.model.name, set()).update(keys.values())
        todo = [cell for cell in group if keys[cell] not in self.done]
        self.bar.update(self.task, detail=str(group[0]))
        if group not in self.waits_for:
            self.bar.advance(self.task, sum(map(_work, group)) - sum(map(_work, todo)))
        self.waits_for.pop(group, None)
        if not todo:
            return
        for cell in todo:
            if keys[cell] in self.out_of_memory:
                self.note(f"{cell}: ran out of memory before, is tried again")
        self._scored["open_audio_s"] = 0.0
        self._report(str(group[0]), force=True)
        per_clip = sum(map(_work, todo)) / len(model.prepared)
        skip = partial(self._skip, per_clip)
        work = CellWork(model, todo, self.directory, self.share.slice_s, skip)
        outcome = work.do(partial(self._advance, per_clip))
        if (late := late_networks(model.model)) not in ("", self._late):
            self._late = late
            self.note(late)
        for row, cell in zip(outcome.rows, todo, strict=False):
            if row["status"] != "ok":
                self.note(f"{cell}: {row['status']}: {row['error']}")
        if outcome.waits_for:
            self.waits_for[group] = outcome.waits_for

    def _unclaimed(self, groups: list[Group]) -> list[Group]:
        """Return the other shards' cells, where these write to the same directory; else they have one of their own."""
        assert self.directory.me is not None
        assert self.directory.claims is not None
        attempts = self.directory.claims.attempts().values()
        workers = {attempt.worker for each in attempts for attempt in each}
        return groups if workers - {self.directory.me.name} else []

    def _wait(self) -> None:
        """Wait for the cells that other processes work on, and take over those of processes that died."""
        assert self.directory.claims is not None
        claims = self.directory.claims
        if self.waits_for:
            names = _processes({by for each in self.waits_for.values() for by in each.values()})
            self.note(f"{len(self.waits_for)} of the cells are in the hands of {names}: waiting")
        pause_s = _WAIT_S[0]
        while self.waits_for:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _WAIT_S[1])
            free = [g for g, units in self.waits_for.items() if not all(map(claims.is_busy, units))]
            if free:
                self._pass(free)
                pause_s = _WAIT_S[0]

    def _advance(self, per_clip: float, clips: int) -> None:
        self.bar.advance(self.task, clips * per_clip)
        audio_s = clips * per_clip * len(self.setup.clips)
        self._scored["scored_clips"] += clips
        self._scored["scored_audio_s"] += audio_s
        self._scored["open_audio_s"] += audio_s
        self._report(None)

    def _skip(self, per_clip: float, clips: int) -> None:
        self.bar.advance(self.task, clips * per_clip)

    def _report(self, cell: str | None, *, force: bool = False) -> None:
        """Tell `niah status` how far this process is, now and then."""
        assert self.directory.me is not None
        now = time.monotonic()
        self._scored |= self.directory.me.times()  # from here on: the first model is loaded
        if not force and now - self._reported < _REPORT_EVERY_S:
            return
        self._reported = now
        self.directory.me.report(**self._scored, **({} if cell is None else {"cell": cell}))


def together(cells: Iterable[Cell]) -> Iterator[Group]:
    """Group neighbouring cells that differ in pooling alone: one pass scores them all."""
    for _, group in groupby(cells, key=lambda cell: replace(cell, pooling=None)):
        yield tuple(group)


def _processes(names: Iterable[str]) -> str:
    """Name processes: "process host:123", "2 processes (..)"."""
    listed = sorted(names)
    shown = ", ".join(listed[:_SHOWN]) + (", .." if len(listed) > _SHOWN else "")
    return f"process {shown}" if len(listed) == 1 else f"{len(listed)} processes ({shown})"


def _work(cell: Cell) -> float:
    """Return the seconds of audio, which the progress bar counts, so that its time left is realistic."""
    return cell.length_s
