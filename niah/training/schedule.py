"""Learning rate as a function of the step alone, so that a resumed run needs no state."""

import math

from niah.training.recipes import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then a cosine to zero at the last step, or halvings after the milestone epochs."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    if recipe.schedule == "milestones":
        return (
            recipe.learning_rate
            * warm
            * 0.5 ** sum(step // steps_per_epoch >= m for m in recipe.milestones)
        )
    total = recipe.epochs * steps_per_epoch
    done = max(0.0, (step - recipe.warmup_steps) / max(1, total - recipe.warmup_steps))
    return recipe.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
