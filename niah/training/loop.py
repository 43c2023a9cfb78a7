"""The training loop: features -> augmentation -> network -> loss -> AdamW, one epoch after another.

Everything random in a step is drawn from (seed, step) and the learning rate is a function of the step, so a run
that was killed goes on from its last checkpoint as if nothing had happened.
"""

import copy
import csv
import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niah import atomic
from niah.errors import NiahError
from niah.features import KaldiFrontend
from niah.memory import keep_freed_memory
from niah.metrics import average_precision, mean_average_precision
from niah.progress import progress_bar
from niah.training.augmentation import draw_mixup, gain, mixup, roll, spec_augment
from niah.training.dataset import Clips
from niah.training.losses import distillation_loss, tagging_loss
from niah.training.recipes import Recipe
from niah.training.schedule import learning_rate

State = dict[str, Tensor]
Teacher = Callable[[Tensor], Tensor]  # normalised features -> logits
CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
LOG_COLUMNS = ("epoch", "step", "loss", "learning_rate", "validation_mAP", "averaged_mAP")


@dataclass(frozen=True)
class Trained:
    """The averaged weights and the log's last line."""

    state: State
    log: dict[str, float]


def train(
    recipe: Recipe,
    network: nn.Module,
    frontend: KaldiFrontend,
    clips: Clips,
    validation: Clips,
    out: Path,
    *,
    device: torch.device | None = None,
    teacher: Teacher | None = None,
) -> Trained:
    """Train `network` in place; a checkpoint and a log line an epoch in `out`, resumed from there.

    Raises:
        NiahError: a NaN loss (the last checkpoint stays), or a checkpoint of another recipe in `out`.
    """
    device = device or torch.device("cpu")
    keep_freed_memory()
    network.to(device)
    optimiser = torch.optim.AdamW(
        _parameter_groups(network, recipe.weight_decay), betas=(0.9, 0.98)
    )
    steps_per_epoch = max(1, len(clips) // recipe.batch_size)
    with atomic.telling(out):
        out.mkdir(parents=True, exist_ok=True)
    finished, averaged, log = _resume(out / CHECKPOINT, recipe, network, optimiser)
    with progress_bar() as bar:
        task = bar.add_task(recipe.name, total=recipe.epochs * steps_per_epoch, detail="")
        bar.update(task, completed=finished * steps_per_epoch)
        for epoch in range(finished, recipe.epochs):
            network.train()
            total = 0.0
            order = epoch_order(len(clips), recipe.seed, epoch)
            for batch in range(steps_per_epoch):
                step = epoch * steps_per_epoch + batch
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(recipe, step, steps_per_epoch)
                rows = np.sort(order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size])
                loss = _step(recipe, network, frontend, clips, rows, step, device, teacher)
                _check_finite(loss, step, out)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                if recipe.clip_gradient:
                    nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_gradient)
                optimiser.step()
                total += float(loss.detach())
                bar.update(task, advance=1, detail=f"loss {total / (batch + 1):.4f}")
            averaged = _average(averaged, network, epoch - (recipe.epochs - recipe.average_last))
            log = {
                "epoch": epoch + 1,
                "step": (epoch + 1) * steps_per_epoch,
                "loss": total / steps_per_epoch,
                "learning_rate": optimiser.param_groups[0]["lr"],
                "validation_mAP": validate(network, frontend, validation, device),
                "averaged_mAP": math.nan,
            }
            if averaged and epoch + 1 == recipe.epochs:
                candidate = copy.deepcopy(network)
                candidate.load_state_dict(averaged)
                log["averaged_mAP"] = validate(candidate, frontend, validation, device)
            _append(out / LOG, log)
            _save(out / CHECKPOINT, recipe, network, optimiser, epoch + 1, averaged, log)
    return Trained(averaged or network.state_dict(), log)


def epoch_order(clips: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The epoch's permutation, from (seed, epoch) alone."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(clips)


@torch.inference_mode()
def validate(
    network: nn.Module, frontend: KaldiFrontend, clips: Clips, device: torch.device
) -> float:
    """mAP of the network as it is, over whole 10 s clips."""
    network.eval()
    scores = [
        network(
            _features(frontend, torch.from_numpy(clips.log_mel[i : i + 16].astype(np.float32))).to(
                device
            )
        ).cpu()
        for i in range(0, len(clips), 16)
    ]
    ap = average_precision(clips.targets > 0.5, torch.cat(scores).double().numpy())
    return mean_average_precision(ap)


def _features(frontend: KaldiFrontend, log_mel: Tensor) -> Tensor:
    return frontend.normalise(log_mel)


def _step(
    recipe: Recipe,
    network: nn.Module,
    frontend: KaldiFrontend,
    clips: Clips,
    rows: NDArray[np.int64],
    step: int,
    device: torch.device,
    teacher: Teacher | None,
) -> Tensor:
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    torch.manual_seed(recipe.seed * 1_000_003 + step)  # drop path draws from the global generator
    log_mel = torch.from_numpy(clips.log_mel[rows].astype(np.float32))
    targets = torch.from_numpy(clips.targets[rows])
    features, targets = augment(recipe, log_mel, targets, generator)
    features, targets = _features(frontend, features).to(device), targets.to(device)
    logits = network(features)
    loss = tagging_loss(logits, targets)
    if teacher is None:
        return loss
    with torch.no_grad():
        wanted = teacher(features).to(device)
    weight = recipe.distillation_weight
    return (1 - weight) * loss + weight * distillation_loss(logits, wanted, recipe.temperature)


def augment(
    recipe: Recipe, log_mel: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A recipe's augmentation of a batch (B, frames, mels) of log-mel and its (B, classes) targets."""
    if recipe.roll:
        log_mel = roll(log_mel, generator)
    if recipe.gain_db:
        log_mel = gain(log_mel, recipe.gain_db, generator)
    if recipe.mixup_rate:
        partners, weights = draw_mixup(
            len(log_mel), recipe.mixup_rate, recipe.mixup_beta, generator
        )
        log_mel, targets = mixup(log_mel, targets, partners, weights)
    return spec_augment(log_mel, recipe.frequency_mask, recipe.time_mask, generator), targets


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """No decay for vectors (norms, biases, D), nor for the scan's A: decay would draw it towards a fixed memory."""
    decayed = [p for n, p in network.named_parameters() if p.ndim > 1 and not n.endswith("A_logs")]
    others = [p for n, p in network.named_parameters() if p.ndim <= 1 or n.endswith("A_logs")]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _average(averaged: State, network: nn.Module, count: int) -> State:
    """Running mean of the weights; `count` epochs are in it already, below 0 it has not begun."""
    if count < 0:
        return averaged
    state = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
    if count == 0:
        return state
    return {k: averaged[k] + (v - averaged[k]) / (count + 1) for k, v in state.items()}


def _check_finite(loss: Tensor, step: int, out: Path) -> None:
    if not bool(torch.isfinite(loss)):
        raise NiahError(
            f"the loss is {float(loss.detach())} at step {step}; the last good checkpoint is {out / CHECKPOINT}"
        )


def _fingerprint(recipe: Recipe) -> str:
    return repr(sorted(asdict(recipe).items()))


def _save(
    path: Path,
    recipe: Recipe,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    averaged: State,
    log: dict[str, float],
) -> None:
    content = io.BytesIO()  # torch tells a full disk in its own words, and not in one line
    torch.save(
        {
            "recipe": _fingerprint(recipe),
            "epoch": epoch,
            "model": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "averaged": averaged,
            "log": log,
        },
        content,
    )
    with atomic.writing(path) as stream:
        stream.write(content.getbuffer())


def _resume(
    path: Path, recipe: Recipe, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, State, dict[str, float]]:
    if not path.is_file():
        return 0, {}, {}
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["recipe"] != _fingerprint(recipe):
        raise NiahError(
            f"{path} is a checkpoint of another recipe: give another --out, or remove it"
        )
    network.load_state_dict(saved["model"])
    optimiser.load_state_dict(saved["optimiser"])
    return saved["epoch"], saved["averaged"], saved["log"]


def _append(path: Path, log: dict[str, float]) -> None:
    """Add the epoch's line; a line of it that a kill left without its checkpoint is replaced."""
    lines: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            lines = [line for line in csv.DictReader(file) if int(line["epoch"]) < log["epoch"]]
    lines.append({k: round(v, 6) for k, v in log.items()})
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, LOG_COLUMNS)
    writer.writeheader()
    writer.writerows(lines)
    with atomic.writing(path) as stream:
        stream.write(text.getvalue().encode())
