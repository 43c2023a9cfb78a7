"""The training loop: steps one after another (`niah.training.step`), a log line and a checkpoint after each epoch.

Everything random in a step is drawn from (seed, step) and the learning rate is a function of the step, so a run
that was killed goes on from its last checkpoint as if nothing had happened, and several processes
(`accelerate launch`) train as one does on the same batch.
"""

import copy
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.system.atomic import one_line_os_errors, remove_leftovers
from niah.system.memory import keep_freed_memory
from niah.system.progress import progress_bar
from niah.training.averaging import State, add_to_mean
from niah.training.checkpoint import (
    CHECKPOINT,
    CheckpointWriter,
    Origin,
    TrainState,
    content_of,
    resume,
    writes_beside,
)
from niah.training.data.batch import Batch, Clips
from niah.training.data.batch_plan import BatchPlan, BatchPlanner
from niah.training.data.clips import FeatureClips
from niah.training.data.loading import batches, ended_workers_in_one_line, shard_batches
from niah.training.data.shard_clips import ShardClips
from niah.training.log import EVENTS, LOG, Events, ProgressLines, restored_log, write_log
from niah.training.optimiser import learning_rate
from niah.training.processes import Processes
from niah.training.recipes import Recipe
from niah.training.recomputing import recompute_blocks
from niah.training.step import TrainingStep
from niah.training.teachers import Teacher
from niah.training.validation import validate

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVENTS_EVERY = 50  # steps


@dataclass(frozen=True)
class Trained:
    """Averaged weights, and the last line of the log."""

    state: State
    log: dict[str, float]


def train(
    recipe: Recipe,
    network: nn.Module,
    frontend: Frontend,
    clips: Clips | ShardClips,
    validation: FeatureClips,
    out: Path,
    *,
    processes: Processes | None = None,
    teacher: Teacher | None = None,
    workers: int = 0,
    origin: Origin | None = None,
    head: str = "",
) -> Trained:
    """Train `network` in place; a checkpoint and a log line an epoch in `out`, resumed from there.

    Args:
        recipe: settings of the training.
        network: trained in place.
        frontend: front end of the network.
        clips: training clips.
        validation: clips that the network is scored on after each epoch.
        out: folder of the checkpoint and the log.
        processes: this process and its device; by default alone on the CPU.
        teacher: the student's targets beside the labels; `recipe.teacher = ["ema"]` needs none.
        workers: processes that read clips ahead; 0 reads in this one.
        origin: hashes of clips, teachers and card; a checkpoint of others is not resumed.
        head: layer of the network whose outputs are the classes, for a learning rate of its own.

    Raises:
        NiahError: a NaN loss (the last checkpoint stays), a clip that cannot be read, a checkpoint of another recipe
            or of other clips in `out`, a damaged checkpoint or log, a batch that the processes cannot share evenly,
            float16 without a GPU, a worker that was killed.
    """
    keep_freed_memory()
    processes = processes or Processes(recipe, torch.device("cpu"))
    with one_line_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if processes.is_first:
            remove_leftovers(out)
    return Trainer(
        recipe,
        network,
        frontend,
        clips,
        validation,
        out,
        processes,
        teacher,
        origin or Origin(),
        head,
    ).fit(workers)


class Trainer:
    """One call of `train`."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        frontend: Frontend,
        clips: Clips | ShardClips,
        validation: FeatureClips,
        out: Path,
        processes: Processes,
        teacher: Teacher | None,
        origin: Origin,
        head: str,
    ) -> None:
        self.recipe, self.frontend, self.out = recipe, frontend, out
        self.clips, self.validation = clips, validation
        self.processes = processes
        self.network = network.to(processes.device)
        if recipe.gradient_checkpointing:
            recompute_blocks(self.network)
        self.origin = origin
        self.step = TrainingStep(recipe, self.network, frontend, processes, teacher, head)
        moving = self.step.moving
        self.state = resume(
            out / CHECKPOINT,
            recipe,
            self.network,
            self.step.optimiser,
            processes.scaler,
            moving.network if moving else None,
            self.origin,
        )
        if processes.is_first:
            state = self.state
            state.history = restored_log(
                out / LOG, state.history, state.log, finished=state.finished
            )
        beside = writes_beside(processes.device)
        self.checkpoints = CheckpointWriter(out / CHECKPOINT, beside=beside)
        self.planner = (
            clips.planner
            if isinstance(clips, ShardClips)
            else BatchPlanner(
                recipe, clips.labels, frames=frontend.needle_frames, mels=frontend.mels
            )
        )
        processes.check_batch(min(recipe.batch_size, len(clips)))

    def fit(self, workers: int) -> Trained:
        """Take the steps that are left, and return the averaged weights."""
        state, first = self.state, self.processes.is_first
        if not state.finished:
            if first and self.recipe.warmup_steps > len(self.planner):
                text = f"warmup_steps = {self.recipe.warmup_steps} are more than all steps, {len(self.planner)}"
                print(f"note: {text}: learning_rate is not reached", file=sys.stderr)
            events = Events(self.out / EVENTS, state.step) if first else None
            with progress_bar() as bar:
                task = bar.add_task(self.recipe.name, total=len(self.planner), detail="")
                silent = bar.console.is_terminal or not first
                lines = ProgressLines(
                    self.recipe.name, self.recipe.epochs, len(self.planner), silent=silent
                )
                try:
                    with ended_workers_in_one_line():
                        self._all_steps(workers, bar, task, events, lines)
                finally:
                    self.checkpoints.wait()
            if events is not None:
                events.close()
        return Trained(state.averaged or self.network.state_dict(), state.log)

    def _all_steps(
        self,
        workers: int,
        bar: "Progress",
        task: "TaskID",
        events: Events | None,
        lines: ProgressLines,
    ) -> None:
        state, per_epoch = self.state, self.planner.per_epoch
        model = self.processes.shared(self.network)
        began = time.perf_counter()
        for plan, batch in self._batches(workers):
            rate = learning_rate(self.recipe, state.step, per_epoch)
            loss = self.step.gradients(model, state.step, plan, batch)
            if not math.isfinite(loss):
                raise self._diverged(f"the loss is {loss}", state.step)
            self.step.update(rate)
            state.step += 1
            state.loss_sum += loss
            epoch, within = divmod(state.step, per_epoch)
            detail = f"loss {state.loss_sum / (within or per_epoch):.4f}"
            bar.update(task, completed=state.step, detail=detail)
            lines.step(state.step, detail)
            if events is not None and state.step % EVENTS_EVERY == 0:
                events.add(state.step, {"loss": loss, "learning_rate": rate})
            if within == 0:
                seconds = time.perf_counter() - began
                self._end_epoch(epoch, seconds, events)
                lines.epoch(state.log, seconds)
                began = time.perf_counter()
                if state.finished:
                    return
            elif self.recipe.checkpoint_steps and state.step % self.recipe.checkpoint_steps == 0:
                self._save()

    def _batches(self, workers: int) -> Iterator[tuple[BatchPlan, Batch]]:
        """Yield the steps that are left with their clips."""
        step, processes = self.state.step, self.processes
        options: dict[str, Any] = {
            "first": step,
            "share": processes.share,
            "workers": workers,
            "device": processes.device,
        }
        if isinstance(self.clips, ShardClips):
            return shard_batches(self.clips, **options)
        return batches(self.clips, self.planner, **options)

    def _end_epoch(self, epoch: int, seconds: float, events: Events | None) -> None:
        recipe, state = self.recipe, self.state
        if self.step.replayed is not None:
            self.step.replayed.make_room()
        self._check_weights()
        scores = validate(self.network, self.frontend, self.validation, self.processes)
        if epoch > recipe.epochs - recipe.average_last:
            state.averaged = add_to_mean(state.averaged, self.network, state.averaged_epochs)
            state.averaged_epochs += 1
            _note_best(state, scores["validation_mAP"])
        patience = recipe.patience
        ended = patience > 0 and state.epochs_since_best >= patience
        state.finished = epoch == recipe.epochs or ended
        state.log = {
            "epoch": epoch,
            "step": state.step,
            "loss": state.loss_sum / self.planner.per_epoch,
            "learning_rate": self.step.optimiser.param_groups[0]["lr"],
            **scores,
            "averaged_mAP": math.nan,
        }
        if state.finished:
            state.log["averaged_mAP"] = self._score_of_average()
        state.loss_sum = 0.0
        state.history.append({name: round(value, 6) for name, value in state.log.items()})
        if self.processes.is_first:
            write_log(self.out / LOG, state.history)
            if events is not None:
                events.add(state.step, {**scores, "epoch_seconds": seconds})
        self._save()

    def _score_of_average(self) -> float:
        candidate = copy.deepcopy(self.network)
        candidate.load_state_dict(self.state.averaged)
        scores = validate(candidate, self.frontend, self.validation, self.processes)
        return scores["validation_mAP"]

    def _save(self) -> None:
        self._check_weights()
        if self.processes.is_first:
            moving = self.step.moving.network.state_dict() if self.step.moving else None
            content = content_of(
                self.recipe,
                self.state,
                self.network,
                self.step.optimiser,
                self.processes.scaler,
                moving,
                self.origin,
            )
            self.checkpoints.write(content)
        self.processes.wait()

    def _check_weights(self) -> None:
        """Check weights before they are stored: a finite loss can have a gradient that is not."""
        finite = [torch.isfinite(each).all() for each in self.network.parameters()]
        if not bool(torch.stack(finite).all()):  # one wait for the device
            raise self._diverged("weights are NaN or infinite", self.state.step)

    def _diverged(self, what: str, step: int) -> NiahError:
        self.checkpoints.wait()
        file = self.out / CHECKPOINT
        last = (
            f"the last good checkpoint is {file}"
            if file.is_file()
            else "there is no checkpoint yet"
        )
        return NiahError(
            f"the training has diverged, {what} at step {step}: lower learning_rate or raise warmup_steps, in "
            f"another folder; {last}"
        )


def _note_best(state: TrainState, score: float) -> None:
    """Count averaged epochs without a better score: patience on earlier ones would leave nothing to average."""
    if score > state.best_mAP:
        state.best_mAP, state.epochs_since_best = score, 0
    else:
        state.epochs_since_best += 1
