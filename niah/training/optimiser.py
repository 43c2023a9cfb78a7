"""The optimiser of a recipe and its learning rate, which is a function of the step alone: a resumed run needs no state.

AdamW with the field's usual exceptions from decay, or Adam as DASS was trained (`traintest.py`); the classifier's last
layers may have a rate of their own, as SSAST's and SSAMBA's have (`--head_lr`).
"""

import math
import re
from typing import Any

import torch
from torch import nn

from niah.errors import NiahError
from niah.training.recipes import Recipe

_RATE_SCALE = "rate_scale"  # key of a parameter group: its rate over `learning_rate`


def make_optimiser(recipe: Recipe, network: nn.Module, head: str = "") -> torch.optim.Optimizer:
    """Make the optimiser of a recipe for a network.

    `adam` decays every parameter by an L2 term; `adamw` see `parameter_groups`. With `head_learning_rate`, groups of
    the head follow those of the body.

    Args:
        recipe: optimiser, decay and rates.
        network: parameters.
        head: layer of the network whose outputs are the classes (`NetworkAdapter.head`); "" where none is known.

    Raises:
        NiahError: a rate for the head in a network without one.
    """
    betas = (recipe.betas[0], recipe.betas[1])
    # one pass over each parameter, and on a GPU a few launches
    fused = next(network.parameters()).device.type in ("cpu", "cuda") or None
    if recipe.optimiser == "adam":
        groups: list[dict[str, Any]] = [{"params": list(network.parameters())}]
        if recipe.head_learning_rate:
            groups = _split_head(recipe, network, head, groups)
        return torch.optim.Adam(
            groups, recipe.learning_rate, betas, weight_decay=recipe.weight_decay, fused=fused
        )
    groups = parameter_groups(network, recipe.weight_decay)
    if recipe.head_learning_rate:
        groups = _split_head(recipe, network, head, groups)
    return torch.optim.AdamW(groups, recipe.learning_rate, betas, fused=fused)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Group the parameters by decay: none for vectors (norms, biases, D) nor for the scan's A.

    The biases of DASS's steps, one row a direction, are no vector: they decay.

    Args:
        network: parameters.
        weight_decay: of all others.
    """
    exempt = {
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim <= 1 or name.endswith(("A_logs", "A_log", "A_b_log"))
    }
    named = list(network.named_parameters())
    return [
        {"params": [p for n, p in named if n not in exempt], "weight_decay": weight_decay},
        {"params": [p for n, p in named if n in exempt], "weight_decay": 0.0},
    ]


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's rate, times the group's own scale where it has one.

    Args:
        optimiser: changed in place.
        rate: learning rate of the body.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(_RATE_SCALE, 1.0)


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the rate of a step: warm-up, then a cosine to zero at the last step, or a factor after each milestone.

    Args:
        recipe: rates and schedule.
        step: 0, 1, .. over all epochs.
        steps_per_epoch: number of steps.
    """
    rate = recipe.learning_rate * _warm(recipe, step)
    if recipe.schedule == "milestones":
        passed = sum(step // steps_per_epoch >= epoch for epoch in recipe.milestones)
        return rate * recipe.milestone_factor**passed
    total = recipe.epochs * steps_per_epoch
    done = max(0.0, (step - recipe.warmup_steps) / max(1, total - recipe.warmup_steps))
    return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _warm(recipe: Recipe, step: int) -> float:
    """(step + 1) / warmup_steps; with `warmup_stair` above 1 in stairs of that many steps from 0, as released."""
    if step >= recipe.warmup_steps:
        return 1.0
    if recipe.warmup_stair > 1:
        return step // recipe.warmup_stair * recipe.warmup_stair / recipe.warmup_steps
    return (step + 1) / recipe.warmup_steps


def _split_head(
    recipe: Recipe, network: nn.Module, head: str, groups: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Part the groups: those of the body, then those of the head, which is the whole of a numbered row of layers."""
    layers = re.sub(r"\.\d+$", "", head)  # mlp_head, of which mlp_head.0 is the norm
    own = {id(p) for n, p in network.named_parameters() if head and n.startswith(f"{layers}.")}
    if not own:
        raise NiahError(
            f"recipe '{recipe.name}': head_learning_rate: the adapter of '{recipe.model}' names no head "
            '(head = "NAME" in its class, the layer whose outputs are the classes)'
        )
    scale = recipe.head_learning_rate / recipe.learning_rate
    of_body = [
        {**group, "params": [p for p in group["params"] if id(p) not in own]} for group in groups
    ]
    of_head = [
        {**group, "params": [p for p in group["params"] if id(p) in own], _RATE_SCALE: scale}
        for group in groups
    ]
    return [*of_body, *of_head]
