"""The plan of a training step, decided before any clip is read: which clips, mixed with which, moved and masked how.

Everything is drawn from (seed, step) or (seed, epoch) for the whole batch, and one row of every array belongs to one
clip. A run that was killed repeats its steps exactly; processes that share a batch take rows of the same plan; workers
make any step in any order.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from niah.training.data.labels import SparseLabels
from niah.training.recipes import Recipe

Floats = NDArray[np.float32]
OWN, PARTNER = 0, 1


@dataclass(frozen=True)
class BatchPlan:
    """One batch of B clips.

    rows, partners (B,) int64: a clip and the one mixed under it.
    weights (B,): the clip's share; 1 leaves it alone.
    shifts (B, 2), in [0, 1) of the clip's length, and decibels (B, 2): of clip and partner.
    bands, frame_masks (B, 2): SpecAugment's first mel and number of mels, first frame and number of frames.
    """

    rows: NDArray[np.int64]
    partners: NDArray[np.int64]
    weights: Floats
    shifts: Floats
    decibels: Floats
    bands: NDArray[np.int64]
    frame_masks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, which: slice) -> Self:
        """Return the plan of some of the batch's clips."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))


class BatchPlanner:
    """All steps of a training: `planner[n]` is the n-th, counted over all epochs."""

    def __init__(self, recipe: Recipe, labels: SparseLabels, *, frames: int, mels: int) -> None:
        self._recipe = recipe
        self._n_clips = len(labels)
        self._frames, self._mels = frames, mels
        self._chances = sampling_weights(labels) if recipe.sampling == "balanced" else None
        self.per_epoch = max(1, self._n_clips // recipe.batch_size)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self._recipe.epochs * self.per_epoch

    def __getitem__(self, step: int) -> BatchPlan:
        recipe = self._recipe
        rows = self._rows(*divmod(step, self.per_epoch))
        count = len(rows)
        rng = np.random.Generator(np.random.Philox(key=[recipe.seed, (1 << 40) + step]))
        mixed = rng.random(count) < recipe.mixup_rate
        shares = rng.beta(recipe.mixup_beta, recipe.mixup_beta, count)
        partners = rng.integers(self._n_clips, size=count)
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

    def _rows(self, epoch: int, batch: int) -> NDArray[np.int64]:
        """Return the clips of a batch, sorted, since they are near one another on disk then."""
        recipe = self._recipe
        if self._order[0] != epoch:
            self._order = epoch, epoch_order(self._n_clips, recipe.seed, epoch, self._chances)
        first = batch * recipe.batch_size
        return np.sort(self._order[1][first : first + recipe.batch_size])


def epoch_order(
    n_clips: int, seed: int, epoch: int, chances: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """Return the clips of an epoch, (n_clips,), from (seed, epoch) alone.

    Args:
        n_clips: number of clips.
        seed: the recipe's.
        epoch: 0, 1, ..
        chances: (n_clips,) probabilities for drawing with replacement; None takes each clip once.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    if chances is None:
        return rng.permutation(n_clips)
    return rng.choice(n_clips, size=n_clips, p=chances)


def sampling_weights(labels: SparseLabels) -> NDArray[np.float64]:
    """Return each clip's chance (clips,) under class-balanced sampling, as released.

        w_class = 1000 / (clips with the class + 0.01),   w_clip = sum of w_class over its labels

    normalised to a sum of 1 (`gen_weight_file.py` of AST and DASS). A clip without labels is never drawn.
    """
    counts = labels.clips_per_class().astype(np.float64)
    weights = labels.sums(1000.0 / (counts + 0.01))
    chances: NDArray[np.float64] = weights / weights.sum()
    return chances


def _masks(rng: np.random.Generator, count: int, largest: int, size: int) -> NDArray[np.int64]:
    """Return (count, 2), first and width: a uniform width below `largest`, a uniform place where it fits."""
    width = rng.random(count) * min(largest, size)
    first = rng.random(count) * (size - width)
    start = np.floor(first)
    return np.stack([start, np.floor(first + width) - start], axis=1).astype(np.int64)
