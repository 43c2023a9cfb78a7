"""Clips of one training step, before SpecAugment and normalisation, where masks and missing frames are raw 0.

That is the order of `dataloader.py` of AST and DASS. Front ends other than Kaldi's have no such stage in common: there
the features themselves serve, and their 0.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from niah.frontends import Frontend
from niah.frontends.kaldi import KaldiFrontend
from niah.training.data.batch_plan import BatchPlan
from niah.training.data.labels import SparseLabels


@dataclass(frozen=True)
class Batch:
    """Clips of one step.

    Attributes:
        targets: (b, classes) float32.
        log_mel: (b, frames, mels) float32, not normalised; or None.
        sounds: (b, samples) float32, zero-padded, for a filter bank on the device; or None.
        samples: number of real samples of each sound.
        plan: the plan as it was carried out, where a clip may have been replaced by another one; or None.
        problems: why clips could not be read, in whose places others are.
    """

    targets: Tensor
    log_mel: Tensor | None = None
    sounds: Tensor | None = None
    samples: tuple[int, ...] = ()
    plan: BatchPlan | None = None
    problems: tuple[str, ...] = ()

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, from which a GPU copies while it computes (DataLoader's hook)."""
        return Batch(
            self.targets.pin_memory(),
            None if self.log_mel is None else self.log_mel.pin_memory(),
            None if self.sounds is None else self.sounds.pin_memory(),
            self.samples,
            self.plan,
            self.problems,
        )


class Clips(Protocol):
    """The clips as the loop needs them."""

    @property
    def labels(self) -> SparseLabels: ...

    def __len__(self) -> int: ...

    def batch(self, plan: BatchPlan) -> Batch: ...


def log_mel_of(batch: Batch, frontend: Frontend, device: torch.device) -> Tensor:
    """Return the log-mel features of a batch, on `device`.

    Args:
        batch: features, or sounds that go through the filter bank here.
        frontend: the network's.
        device: of the result.

    Returns:
        (b, frames, mels) float32, not normalised.
    """
    if batch.log_mel is not None:
        return batch.log_mel.to(device, non_blocking=True)
    assert batch.sounds is not None
    return log_mel_of_sounds(frontend, batch.sounds.to(device, non_blocking=True), batch.samples)


def log_mel_of_sounds(frontend: Frontend, sounds: Tensor, samples: tuple[int, ...]) -> Tensor:
    """Return log-mel before normalisation, cut or padded with raw 0.

    Args:
        frontend: the network's.
        sounds: (b, samples) waveforms, zero-padded.
        samples: number of real samples of each.

    Returns:
        (b, needle_frames, mels) float32.
    """
    kaldi = isinstance(frontend, KaldiFrontend)
    log_mel = frontend.log_mel(frontend.energies(sounds)) if kaldi else frontend(sounds)
    missing = frontend.needle_frames - log_mel.shape[1]
    cut = log_mel[:, : frontend.needle_frames]
    padded = torch.nn.functional.pad(cut, (0, 0, 0, max(0, missing)))
    for row, count in zip(padded, samples, strict=True):
        row[frontend.frames(count) :] = 0
    return padded


def normalised(frontend: Frontend, log_mel: Tensor) -> Tensor:
    """Normalise log-mel features to the network's input.

    Args:
        frontend: the network's.
        log_mel: (b, frames, mels) as `log_mel_of_sounds` returns them.
    """
    return frontend.normalise(log_mel) if isinstance(frontend, KaldiFrontend) else log_mel
