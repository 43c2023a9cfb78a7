"""The training loop: planned steps -> clips -> features -> network -> loss -> optimiser, one epoch after another.

Everything random in a step is drawn from (seed, step) and the learning rate is a function of the step, so a run
that was killed goes on from its last checkpoint as if nothing had happened, and several processes
(`accelerate launch`) train as one does on the same batch.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.randomness import torch_seed
from niah.system.atomic import one_line_os_errors, remove_leftovers
from niah.system.memory import keep_freed_memory
from niah.system.progress import progress_bar
from niah.training.averaging import MovingAverage, State, add_to_mean
from niah.training.checkpoint import (
    CHECKPOINT,
    CheckpointWriter,
    Origin,
    TrainState,
    content_of,
    resume,
    writes_beside,
)
from niah.training.data.augmentation import spec_augment
from niah.training.data.batch import Batch, Clips, log_mel_of, normalised
from niah.training.data.batch_plan import BatchPlan, BatchPlanner
from niah.training.data.clips import FeatureClips
from niah.training.data.loading import batches, ended_workers_in_one_line, shard_batches
from niah.training.data.shard_clips import ShardClips
from niah.training.graphs import replayed_network
from niah.training.log import EVENTS, LOG, Events, ProgressLines, restored_log, write_log
from niah.training.losses import DISTILLATION_LOSSES, tagging_loss
from niah.training.optimiser import learning_rate, make_optimiser, set_learning_rate
from niah.training.processes import Processes
from niah.training.recipes import EMA, Recipe
from niah.training.recomputing import recompute_blocks
from niah.training.teachers import SelfTeacher, Teacher
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
    ) -> None:
        self.recipe, self.frontend, self.out = recipe, frontend, out
        self.clips, self.validation = clips, validation
        self.processes = processes
        self.network = network.to(processes.device)
        if recipe.gradient_checkpointing:
            recompute_blocks(self.network)
        self.moving = MovingAverage(self.network, recipe.ema_momentum) if _has_ema(recipe) else None
        self.teacher = SelfTeacher(self.moving) if self.moving else teacher
        self.origin = origin
        self.optimiser = make_optimiser(recipe, self.network)
        self.replayed = replayed_network(recipe, self.network, processes)
        self.state = resume(
            out / CHECKPOINT,
            recipe,
            self.network,
            self.optimiser,
            processes.scaler,
            self.moving.network if self.moving else None,
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

    def fit(self, workers: int) -> Trained:
        """Take the steps that are left, and return the averaged weights."""
        state, first = self.state, self.processes.is_first
        if not state.finished:
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
            step = state.step
            loss = self._step(model, step, plan, batch)
            state.step += 1
            state.loss_sum += loss
            epoch, within = divmod(state.step, per_epoch)
            detail = f"loss {state.loss_sum / (within or per_epoch):.4f}"
            bar.update(task, completed=state.step, detail=detail)
            lines.step(state.step, detail)
            if events is not None and state.step % EVENTS_EVERY == 0:
                events.add(state.step, {"loss": loss, "learning_rate": self._rate(step)})
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

    def _step(self, model: nn.Module, step: int, plan: BatchPlan, batch: Batch) -> float:
        """Update the weights once; return the loss, the mean over all processes."""
        model.train()
        set_learning_rate(self.optimiser, self._rate(step))
        features, targets = self._features(plan, batch)
        self.optimiser.zero_grad()
        total = torch.zeros((), device=features.device)
        parts = _parts(len(features), self.recipe.accumulate)
        seed = self.recipe.seed * 1_000_003 + step + (self.processes.index << 32)
        with torch_seed(seed, features.device):  # for drop path
            for part in parts:
                with self.processes.accumulating(model, last=part is parts[-1]):
                    share = (part.stop - part.start) / len(features)
                    loss = share * self._loss(model, features[part], targets[part], plan.part(part))
                    self.processes.backward(loss)
                    total += loss.detach()
        mean = self.processes.mean(total)
        if not math.isfinite(mean):
            raise self._diverged(f"the loss is {mean}", step)
        self.processes.update(self.optimiser, self.network, self.recipe.clip_gradient)
        if self.moving is not None:
            self.moving.update(self.network)
        return mean

    def _features(self, plan: BatchPlan, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return normalised features (b, frames, mels) and targets (b, classes) on the device."""
        device = self.processes.device
        log_mel = log_mel_of(batch, self.frontend, device)
        masked = spec_augment(
            log_mel, torch.from_numpy(plan.bands), torch.from_numpy(plan.frame_masks)
        )
        return normalised(self.frontend, masked), batch.targets.to(device, non_blocking=True)

    def _loss(self, model: nn.Module, features: Tensor, targets: Tensor, plan: BatchPlan) -> Tensor:
        """Return (1 - w) BCE + w distillation, as DASS's `traintest.py`."""
        recipe = self.recipe
        logits = self._logits(model, features).float()
        loss = tagging_loss(logits, targets)
        if self.teacher is None:
            return loss
        with torch.no_grad(), self.processes.autocast():
            teacher_logits = self.teacher(features, plan).float()
        distance = DISTILLATION_LOSSES[recipe.distillation]
        distilled = distance(logits, teacher_logits, recipe.temperature)
        return (1 - recipe.distillation_weight) * loss + recipe.distillation_weight * distilled

    def _logits(self, model: nn.Module, features: Tensor) -> Tensor:
        if self.replayed is not None:
            return self.replayed(features)
        with self.processes.autocast():
            logits: Tensor = model(features)
        return logits

    def _rate(self, step: int) -> float:
        return learning_rate(self.recipe, step, self.planner.per_epoch)

    def _end_epoch(self, epoch: int, seconds: float, events: Events | None) -> None:
        recipe, state = self.recipe, self.state
        if self.replayed is not None:
            self.replayed.make_room()
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
            "learning_rate": self.optimiser.param_groups[0]["lr"],
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
            moving = self.moving.network.state_dict() if self.moving else None
            content = content_of(
                self.recipe,
                self.state,
                self.network,
                self.optimiser,
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


def _has_ema(recipe: Recipe) -> bool:
    return recipe.teacher == (EMA,)


def _note_best(state: TrainState, score: float) -> None:
    """Count averaged epochs without a better score: patience on earlier ones would leave nothing to average."""
    if score > state.best_mAP:
        state.best_mAP, state.epochs_since_best = score, 0
    else:
        state.epochs_since_best += 1


def _parts(count: int, parts: int) -> list[slice]:
    """Part `count` rows into slices of nearly the same length, none empty."""
    bounds = [round(i * count / parts) for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(bounds) if b > a]
