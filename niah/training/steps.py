"""What one training step does, decided before any clip is read: which clips, mixed with which, moved and masked how.

Everything is drawn from (seed, step) or (seed, epoch) for the whole batch, and one row of every array belongs to one
clip. A run that was killed repeats its steps exactly; processes that share a batch take rows of the same plan; workers
make any step in any order.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from niah.training.recipes import Recipe

Floats = NDArray[np.float32]
OWN, PARTNER = 0, 1


@dataclass(frozen=True)
class BatchPlan:
    """One batch of B clips; `step` counts from the run's start.

    rows, partners (B,) int64: a clip and the one laid under it. weights (B,): the clip's share, 1 leaves it alone.
    shifts (B, 2) in [0, 1), of the clip's length, and decibels (B, 2): of clip and partner.
    bands, stretches (B, 2): SpecAugment's first mel row and how many, first frame and how many.
    """

    rows: NDArray[np.int64]
    partners: NDArray[np.int64]
    weights: Floats
    shifts: Floats
    decibels: Floats
    bands: NDArray[np.int64]
    stretches: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, which: slice) -> "BatchPlan":
        """The plan of some of the batch's clips."""
        return BatchPlan(*(getattr(self, field.name)[which] for field in fields(self)))


class BatchPlanner:
    """All steps of a run: `steps[n]` is the n-th, counted over all epochs."""

    def __init__(
        self, recipe: Recipe, targets: NDArray[np.float32], *, frames: int, mels: int
    ) -> None:
        self._recipe = recipe
        self._clips = len(targets)
        self._frames, self._mels = frames, mels
        self._chances = sampling_weights(targets) if recipe.sampling == "balanced" else None
        self.per_epoch = max(1, self._clips // recipe.batch_size)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self._recipe.epochs * self.per_epoch

    def __getitem__(self, step: int) -> BatchPlan:
        recipe = self._recipe
        epoch, batch = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            self._order = epoch, epoch_order(self._clips, recipe.seed, epoch, self._chances)
        first = batch * recipe.batch_size
        rows = np.sort(
            self._order[1][first : first + recipe.batch_size]
        )  # near one another on disk
        count = len(rows)
        rng = np.random.Generator(np.random.Philox(key=[recipe.seed, (1 << 40) + step]))
        mixed = rng.random(count) < recipe.mixup_rate
        shares = rng.beta(recipe.mixup_beta, recipe.mixup_beta, count)
        partners = rng.integers(self._clips, size=count)
        shifts = rng.random((count, 2)) if recipe.roll else np.zeros((count, 2))
        decibels = rng.uniform(-1, 1, (count, 2)) * recipe.gain_db
        return BatchPlan(
            rows,
            np.where(mixed, partners, rows),
            np.where(mixed, shares, 1).astype(np.float32),
            shifts.astype(np.float32),
            decibels.astype(np.float32),
            _masks(rng, count, recipe.frequency_mask, self._mels),
            _masks(rng, count, recipe.time_mask, self._frames),
        )


def epoch_order(
    clips: int, seed: int, epoch: int, chances: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """The clips of an epoch, from (seed, epoch) alone: each once, or drawn by `chances` with replacement."""
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    if chances is None:
        return rng.permutation(clips)
    return rng.choice(clips, size=clips, p=chances)


def sampling_weights(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Chance of each clip under class-balanced sampling, as released (facts 1.9): (clips, classes) -> (clips,).

        w_class = 1000 / (clips with the class + 0.01),   w_clip = sum of w_class over its labels

    normalised to a sum of 1. A clip without labels is never drawn.
    """
    held = targets > 0.5
    weights = held @ (1000.0 / (held.sum(axis=0) + 0.01))
    chances: NDArray[np.float64] = weights / weights.sum()
    return chances


def _masks(rng: np.random.Generator, count: int, largest: int, size: int) -> NDArray[np.int64]:
    """(first, how many) of a mask: a uniform width below `largest`, a uniform place where it fits."""
    width = rng.random(count) * min(largest, size)
    first = rng.random(count) * (size - width)
    start = np.floor(first)
    return np.stack([start, np.floor(first + width) - start], axis=1).astype(np.int64)
