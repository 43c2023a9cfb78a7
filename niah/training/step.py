"""One step of a training: batch -> features -> network -> loss -> gradients -> weights.

    loss = (1 - w) BCE(logits, labels) + w distance(logits, teacher's logits),    as DASS's `traintest.py`

Everything random in it is drawn from (seed, step).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from niah.frontends import Frontend
from niah.randomness import torch_seed
from niah.training.averaging import MovingAverage
from niah.training.data.augmentation import spec_augment
from niah.training.data.batch import Batch, log_mel_of, normalised
from niah.training.data.batch_plan import BatchPlan
from niah.training.graphs import replayed_network
from niah.training.losses import DISTILLATION_LOSSES, tagging_loss
from niah.training.optimiser import make_optimiser, set_learning_rate
from niah.training.processes import Processes
from niah.training.recipes import EMA, Recipe
from niah.training.teachers import SelfTeacher, Teacher


class TrainingStep:
    """The network, its optimiser and its teacher.

    Attributes:
        network: trained in place, on the device.
        optimiser: of its weights.
        moving: the moving average of its weights, where that is the teacher.
        replayed: its pass as CUDA graphs, where these serve.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        frontend: Frontend,
        processes: Processes,
        teacher: Teacher | None,
        head: str = "",
    ) -> None:
        self.recipe, self.frontend, self.processes = recipe, frontend, processes
        self.network = network
        has_ema = recipe.teacher == (EMA,)
        self.moving = MovingAverage(network, recipe.ema_momentum) if has_ema else None
        self.teacher = SelfTeacher(self.moving) if self.moving else teacher
        self.optimiser = make_optimiser(recipe, network, head)
        self.replayed = replayed_network(recipe, network, processes)

    def gradients(self, model: nn.Module, step: int, plan: BatchPlan, batch: Batch) -> float:
        """Compute the gradients of a batch, in as many parts as the recipe accumulates.

        Args:
            model: the network as the processes share it.
            step: number of the step.
            plan: what is drawn for it.
            batch: its clips.

        Returns:
            The loss, the mean over all processes; NaN or infinite where the training has diverged.
        """
        model.train()
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
        return self.processes.mean(total)

    def update(self, rate: float) -> None:
        """Update the weights by the gradients at a learning rate, and their moving average."""
        set_learning_rate(self.optimiser, rate)
        self.processes.update(self.optimiser, self.network, self.recipe.clip_gradient)
        if self.moving is not None:
            self.moving.update(self.network)

    def _features(self, plan: BatchPlan, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return normalised features (b, frames, mels) and targets (b, classes) on the device."""
        device = self.processes.device
        log_mel = log_mel_of(batch, self.frontend, device)
        masked = spec_augment(
            log_mel, torch.from_numpy(plan.bands), torch.from_numpy(plan.frame_masks)
        )
        return normalised(self.frontend, masked), batch.targets.to(device, non_blocking=True)

    def _loss(self, model: nn.Module, features: Tensor, targets: Tensor, plan: BatchPlan) -> Tensor:
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


def _parts(count: int, parts: int) -> list[slice]:
    """Part `count` rows into slices of nearly the same length, none empty."""
    bounds = [round(i * count / parts) for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(bounds) if b > a]
