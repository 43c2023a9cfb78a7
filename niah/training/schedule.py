"""Learning rate as a function of the step alone, so that a resumed run needs no state."""

import math

from niah.training.recipes import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then a cosine to zero at the last step, or halvings after the milestone epochs."""
    rate = recipe.learning_rate * _warm(recipe, step)
    if recipe.schedule == "milestones":
        return rate * 0.5 ** sum(step // steps_per_epoch >= m for m in recipe.milestones)
    total = recipe.epochs * steps_per_epoch
    done = max(0.0, (step - recipe.warmup_steps) / max(1, total - recipe.warmup_steps))
    return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _warm(recipe: Recipe, step: int) -> float:
    """(step + 1) / warmup_steps; in stairs of `warmup_stair` steps from 0, as released, where one is given."""
    if step >= recipe.warmup_steps:
        return 1.0
    if recipe.warmup_stair > 1:
        return step // recipe.warmup_stair * recipe.warmup_stair / recipe.warmup_steps
    return (step + 1) / recipe.warmup_steps
