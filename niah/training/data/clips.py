"""Clips that give the batch of a planned step: features that are stored, or sound that is read and mixed each time."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.frontends import Frontend
from niah.training.data.augmentation import (
    Samples,
    gain,
    mix_targets,
    mixup,
    mixup_waveforms,
    move_waveform,
    roll,
)
from niah.training.data.batch import Batch, log_mel_of
from niah.training.data.batch_plan import OWN, PARTNER, BatchPlan
from niah.training.data.labels import SparseLabels
from niah.training.data.reading import read_samples

if TYPE_CHECKING:
    from niah.needles import NeedleSet


@dataclass(frozen=True)
class FeatureClips:
    """log_mel (n, frames, mels) float16, memory-mapped, padded with raw 0 or cut; targets (n, classes) float32."""

    log_mel: NDArray[np.float16]
    targets: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.log_mel)

    @cached_property
    def labels(self) -> SparseLabels:
        """Return the targets, sparse."""
        return SparseLabels.from_dense(self.targets)

    def features(self, rows: NDArray[np.int64] | slice) -> Tensor:
        """Return (b, frames, mels) float32 log-mel as stored."""
        return torch.from_numpy(self.log_mel[rows].astype(np.float32))

    def batch(self, plan: BatchPlan) -> Batch:
        """Return the clips of a step, mixed and moved as features."""
        targets = torch.from_numpy(self.targets[plan.rows])
        log_mel = self._moved(plan, OWN)
        if (plan.weights < 1).any():
            weights = torch.from_numpy(plan.weights)
            log_mel = mixup(log_mel, self._moved(plan, PARTNER), weights)
            partners = torch.from_numpy(self.targets[plan.partners])
            targets = mix_targets(targets, partners, weights)
        return Batch(targets, log_mel=log_mel)

    def _moved(self, plan: BatchPlan, which: int) -> Tensor:
        log_mel = self.features(plan.rows if which == OWN else plan.partners)
        if plan.shifts.any():
            log_mel = roll(log_mel, torch.from_numpy(plan.shifts[:, which]))
        if plan.decibels.any():
            log_mel = gain(log_mel, torch.from_numpy(plan.decibels[:, which]))
        return log_mel


@dataclass(frozen=True)
class SoundClips:
    """Clips read from their files in every step; mixup, shift and level on the waveform, as AST's `dataloader.py`.

    `on_device` leaves the filter bank to the training process, for its GPU.
    """

    needles: "NeedleSet"
    frontend: Frontend
    labels: SparseLabels
    on_device: bool = False

    def __len__(self) -> int:
        return len(self.needles)

    def batch(self, plan: BatchPlan) -> Batch:
        """Return the clips of a step, mixed and moved as sound."""
        longest = self.frontend.samples(self.frontend.needle_frames)
        sounds = [self._sound(plan, index)[:longest] for index in range(len(plan))]
        padded = np.zeros((len(sounds), max(len(sound) for sound in sounds)), np.float32)
        for row, sound in zip(padded, sounds, strict=True):
            row[: len(sound)] = sound
        targets = mix_targets(
            torch.from_numpy(self.labels.targets(plan.rows)),
            torch.from_numpy(self.labels.targets(plan.partners)),
            torch.from_numpy(plan.weights),
        )
        batch = Batch(
            targets,
            sounds=torch.from_numpy(padded),
            samples=tuple(len(sound) for sound in sounds),
        )
        if self.on_device:
            return batch
        return Batch(targets, log_mel=log_mel_of(batch, self.frontend, torch.device("cpu")))

    def _sound(self, plan: BatchPlan, index: int) -> Samples:
        own = self._moved(plan.rows[index], plan, index, OWN)
        if plan.weights[index] >= 1:
            return np.asarray(own - own.mean(), np.float32)
        partner = self._moved(plan.partners[index], plan, index, PARTNER)
        return mixup_waveforms(own, partner, float(plan.weights[index]))

    def _moved(self, row: int, plan: BatchPlan, index: int, which: int) -> Samples:
        samples = read_samples(self.needles.needles[row].source, self.frontend.sample_rate)
        return move_waveform(
            samples, float(plan.shifts[index, which]), float(plan.decibels[index, which])
        )
