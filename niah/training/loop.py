"""The training loop: planned steps -> clips -> features -> network -> loss -> optimiser, one epoch after another.

Everything random in a step is drawn from (seed, step) and the learning rate is a function of the step, so a run
that was killed goes on from its last checkpoint as if nothing had happened, and several processes
(`accelerate launch`) train as one does on the same batch.
"""

import copy
import math
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.system import atomic
from niah.system.memory import keep_freed_memory
from niah.system.progress import progress_bar
from niah.training.augmentation import spec_augment
from niah.training.averaging import MovingAverage, State, add_to_mean
from niah.training.checkpoint import CHECKPOINT, TrainState, resume, save
from niah.training.clips import Batch, Clips, FeatureClips, log_mel_of
from niah.training.loading import batches
from niah.training.log import LOG, Events, append
from niah.training.log_mel import normalised
from niah.training.losses import DISTILLATION_LOSSES, tagging_loss
from niah.training.optimiser import make_optimiser
from niah.training.processes import Processes
from niah.training.recipes import EMA, Recipe
from niah.training.schedule import learning_rate
from niah.training.steps import BatchPlan, BatchPlanner
from niah.training.teachers import SelfTeacher, Teacher
from niah.training.validation import validate

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVENTS_EVERY = 50  # steps


@dataclass(frozen=True)
class Trained:
    """The averaged weights and the log's last line."""

    state: State
    log: dict[str, float]


def train(
    recipe: Recipe,
    network: nn.Module,
    frontend: Frontend,
    clips: Clips,
    validation: FeatureClips,
    out: Path,
    *,
    device: torch.device | None = None,
    teaching: Teacher | None = None,
    workers: int = 0,
) -> Trained:
    """Train `network` in place; a checkpoint and a log line an epoch in `out`, resumed from there.

    Args:
        device: the CPU by default; under `accelerate launch` each process takes its own of that type.
        teaching: what the student is taught beside the labels; `recipe.teacher = ["ema"]` needs none.
        workers: processes that read clips ahead; 0 reads in this one.

    Raises:
        NiahError: a NaN loss (the last checkpoint stays), a clip that cannot be read, a checkpoint of another recipe
            in `out`, a batch that the processes cannot share evenly, float16 without a GPU.
    """
    keep_freed_memory()
    processes = Processes(recipe, device or torch.device("cpu"))
    with atomic.one_line_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    return Trainer(recipe, network, frontend, clips, validation, out, processes, teaching).fit(
        workers
    )


class Trainer:
    """One call of `train`."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        frontend: Frontend,
        clips: Clips,
        validation: FeatureClips,
        out: Path,
        processes: Processes,
        teaching: Teacher | None,
    ) -> None:
        self.recipe, self.frontend, self.out = recipe, frontend, out
        self.clips, self.validation = clips, validation
        self.processes = processes
        self.network = network.to(processes.device)
        self.moving = MovingAverage(self.network, recipe.ema_momentum) if _has_ema(recipe) else None
        self.teaching = SelfTeacher(self.moving) if self.moving else teaching
        self.optimiser = make_optimiser(recipe, self.network)
        self.standing = resume(
            out / CHECKPOINT,
            recipe,
            self.network,
            self.optimiser,
            processes.scaler,
            self.moving.network if self.moving else None,
        )
        self.steps = BatchPlanner(
            recipe, clips.targets, frames=frontend.needle_frames, mels=frontend.mels
        )

    def fit(self, workers: int) -> Trained:
        standing = self.standing
        if not standing.finished:
            events = (
                Events(self.out / "tensorboard", standing.step) if self.processes.is_first else None
            )
            with progress_bar() as bar:
                task = bar.add_task(self.recipe.name, total=len(self.steps), detail="")
                self._all_steps(workers, bar, task, events)
            if events is not None:
                events.close()
        return Trained(standing.averaged or self.network.state_dict(), standing.log)

    def _all_steps(
        self, workers: int, bar: "Progress", task: "TaskID", events: Events | None
    ) -> None:
        standing, per_epoch = self.standing, self.steps.per_epoch
        model = self.processes.shared(self.network)
        began = time.perf_counter()
        for step, batch in batches(
            self.clips,
            self.steps,
            first=standing.step,
            share=self.processes.share,
            workers=workers,
            device=self.processes.device,
        ):
            number = standing.step
            loss = self._step(model, number, step, batch)
            standing.step += 1
            standing.loss_sum += loss
            epoch, within = divmod(standing.step, per_epoch)
            told = f"loss {standing.loss_sum / (within or per_epoch):.4f}"
            bar.update(task, completed=standing.step, detail=told)
            if events is not None and standing.step % EVENTS_EVERY == 0:
                events.add(standing.step, {"loss": loss, "learning_rate": self._rate(number)})
            if within == 0:
                self._end_epoch(epoch, time.perf_counter() - began, events)
                began = time.perf_counter()
                if standing.finished:
                    return
            elif self.recipe.checkpoint_steps and standing.step % self.recipe.checkpoint_steps == 0:
                self._save()

    def _step(self, model: nn.Module, number: int, step: BatchPlan, batch: Batch) -> float:
        """One update of the weights; returns the loss, the mean over all processes."""
        model.train()
        seed = self.recipe.seed * 1_000_003 + number
        torch.manual_seed(
            seed + (self.processes.index << 32)
        )  # drop path draws from the global generator
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(number)
        features, targets = self._features(step, batch)
        self.optimiser.zero_grad()
        total = torch.zeros((), device=features.device)
        parts = _parts(len(features), self.recipe.accumulate)
        for part in parts:
            with self.processes.accumulating(model, last=part is parts[-1]):
                share = (part.stop - part.start) / len(features)
                loss = share * self._loss(model, features[part], targets[part], step.part(part))
                self.processes.backward(loss)
                total += loss.detach()
        mean = self.processes.mean(total)
        _check_finite(mean, number, self.out)
        self.processes.update(self.optimiser, self.network, self.recipe.clip_gradient)
        if self.moving is not None:
            self.moving.update(self.network)
        return mean

    def _features(self, step: BatchPlan, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised features (b, frames, mels) and targets (b, classes) on the device."""
        device = self.processes.device
        log_mel = log_mel_of(batch, self.frontend, device)
        masked = spec_augment(
            log_mel, torch.from_numpy(step.bands), torch.from_numpy(step.stretches)
        )
        return normalised(self.frontend, masked), batch.targets.to(device)

    def _loss(self, model: nn.Module, features: Tensor, targets: Tensor, step: BatchPlan) -> Tensor:
        """(1 - w) BCE + w distillation (facts 1.9)."""
        recipe = self.recipe
        with self.processes.autocast():
            logits = model(features).float()
        loss = tagging_loss(logits, targets)
        if self.teaching is None:
            return loss
        with torch.no_grad(), self.processes.autocast():
            wanted = self.teaching(features, step).float()
        taught = DISTILLATION_LOSSES[recipe.distillation](logits, wanted, recipe.temperature)
        return (1 - recipe.distillation_weight) * loss + recipe.distillation_weight * taught

    def _rate(self, step: int) -> float:
        return learning_rate(self.recipe, step, self.steps.per_epoch)

    def _end_epoch(self, epoch: int, seconds: float, events: Events | None) -> None:
        recipe, standing = self.recipe, self.standing
        scores = validate(self.network, self.frontend, self.validation, self.processes)
        if epoch > recipe.epochs - recipe.average_last:
            standing.averaged = add_to_mean(
                standing.averaged, self.network, standing.averaged_epochs
            )
            standing.averaged_epochs += 1
            _note_best(standing, scores["validation_mAP"])
        patience = recipe.patience
        ended = patience > 0 and standing.epochs_since_best >= patience
        standing.finished = epoch == recipe.epochs or ended
        standing.log = {
            "epoch": epoch,
            "step": standing.step,
            "loss": standing.loss_sum / self.steps.per_epoch,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            **scores,
            "averaged_mAP": math.nan,
        }
        if standing.finished:
            standing.log["averaged_mAP"] = self._score_of_average()
        standing.loss_sum = 0.0
        if self.processes.is_first:
            append(self.out / LOG, standing.log)
            if events is not None:
                events.add(standing.step, {**scores, "epoch_seconds": seconds})
        self._save()

    def _score_of_average(self) -> float:
        candidate = copy.deepcopy(self.network)
        candidate.load_state_dict(self.standing.averaged)
        scores = validate(candidate, self.frontend, self.validation, self.processes)
        return scores["validation_mAP"]

    def _save(self) -> None:
        if self.processes.is_first:
            moving = self.moving.network.state_dict() if self.moving else None
            save(
                self.out / CHECKPOINT,
                self.recipe,
                self.standing,
                self.network,
                self.optimiser,
                self.processes.scaler,
                moving,
            )
        self.processes.wait()


def _has_ema(recipe: Recipe) -> bool:
    return recipe.teacher == (EMA,)


def _note_best(standing: TrainState, score: float) -> None:
    """Patience counts averaged epochs alone: stopping earlier would leave nothing to average (facts 5, item 13)."""
    if score > standing.best_mAP:
        standing.best_mAP, standing.epochs_since_best = score, 0
    else:
        standing.epochs_since_best += 1


def _parts(count: int, parts: int) -> list[slice]:
    """So many slices of nearly the same length, none empty."""
    bounds = [round(i * count / parts) for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(bounds) if b > a]


def _check_finite(loss: float, step: int, out: Path) -> None:
    if not math.isfinite(loss):
        raise NiahError(
            f"the loss is {loss} at step {step}; the last good checkpoint is {out / CHECKPOINT}"
        )
