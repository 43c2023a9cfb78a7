"""The optimiser of a recipe: AdamW with the field's usual exceptions from decay, or Adam as DASS was trained."""

from typing import Any

import torch
from torch import nn

from niah.training.recipes import Recipe


def make_optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """`adam`: weight decay as an L2 term on every parameter (facts 1.9). `adamw`: see `parameter_groups`."""
    betas = (recipe.betas[0], recipe.betas[1])
    if recipe.optimiser == "adam":
        return torch.optim.Adam(
            network.parameters(), recipe.learning_rate, betas, weight_decay=recipe.weight_decay
        )
    groups = parameter_groups(network, recipe.weight_decay)
    return torch.optim.AdamW(groups, recipe.learning_rate, betas)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """No decay for vectors (norms, biases, D), nor for the scan's A: decay would draw it towards a fixed memory."""
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
