"""Training clips: as log-mel features on disk, made once, or as sound that is read and mixed in every step.

Both give the batch of a planned step (`niah.training.batch_plan`), before SpecAugment and normalisation, where masks
and missing frames are raw 0 (`dataloader.py` of AST and DASS). Front ends other than Kaldi's have no such stage in
common: there the features themselves serve, and their 0.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.audio import AudioError, load
from niah.frontends import Frontend
from niah.frontends.kaldi import KaldiFrontend
from niah.training.augmentation import (
    Samples,
    gain,
    mix_targets,
    mixup,
    mixup_waveforms,
    move_waveform,
    roll,
)
from niah.training.batch_plan import OWN, PARTNER, BatchPlan
from niah.training.labels import SparseLabels
from niah.training.row_store import ALONE, RowStore, Share, refuse_beyond

if TYPE_CHECKING:
    from niah.needles import NeedleSet
    from niah.needles.needle import Source

LARGEST_FEATURES_GB = 100.0
_FORMAT = "2"


@dataclass(frozen=True)
class Batch:
    """Clips of one step and their targets (b, classes) float32.

    `log_mel` (b, frames, mels) float32, not normalised; or `sounds` (b, samples) zero-padded, with the number of real
    samples of each in `samples`, for a filter bank on the device.
    """

    targets: Tensor
    log_mel: Tensor | None = None
    sounds: Tensor | None = None
    samples: tuple[int, ...] = ()

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, from which a GPU copies while it computes (DataLoader's hook)."""
        return Batch(
            self.targets.pin_memory(),
            None if self.log_mel is None else self.log_mel.pin_memory(),
            None if self.sounds is None else self.sounds.pin_memory(),
            self.samples,
        )


class Clips(Protocol):
    """The clips as the loop needs them."""

    @property
    def labels(self) -> SparseLabels: ...

    def __len__(self) -> int: ...

    def batch(self, plan: BatchPlan) -> Batch: ...


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


def read_samples(source: "Source", sample_rate: int) -> Samples:
    """Return a clip's sound (samples,) at `sample_rate`; digital silence is a sound to train on.

    Raises:
        NiahError: it cannot be read.
    """
    try:
        return source.waveform(sample_rate).samples
    except AudioError as error:
        read = getattr(source, "read", None)
        if error.reason != "silent" or read is None:
            raise
        return load(read(), sample_rate, name=source.name, allow_silence=True).samples


def log_mel_of(batch: Batch, frontend: Frontend, device: torch.device) -> Tensor:
    """Return (b, frames, mels) log-mel of a batch, on `device`."""
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
    """Return the network's input, of the output of `log_mel_of_sounds`."""
    return frontend.normalise(log_mel) if isinstance(frontend, KaldiFrontend) else log_mel


def load_features(
    needles: "NeedleSet",
    frontend: Frontend,
    cache: Path,
    *,
    share: Share = ALONE,
    largest_gb: float = LARGEST_FEATURES_GB,
) -> FeatureClips:
    """Return the clips' features from the cache; those that are missing or damaged are made now.

    float16 holds log-mel (-16 to 16) to 0.008, far below any augmentation.

    Raises:
        NiahError: a clip that cannot be read, more than `largest_gb` gigabytes, no room on the disk.
    """
    shape = (len(needles.needles), frontend.needle_frames, frontend.mels)
    path = cache / f"{content_key(needles, frontend)}.npy"
    store = RowStore(path, shape, np.dtype(np.float16))
    instead = 'set pipeline = "waveform", which stores none, or allow it with --features-gb'
    refuse_beyond(store, largest_gb, instead)
    rows = store.load_or_make(
        lambda first, last: feature_rows(needles, frontend, first, last), "training features", share
    )
    return FeatureClips(rows, needles.targets().astype(np.float32))


def feature_rows(
    needles: "NeedleSet", frontend: Frontend, first: int, last: int
) -> NDArray[np.float16]:
    """Return (last - first, frames, mels): log-mel of some clips, each less its mean and before normalisation."""
    longest = frontend.samples(frontend.needle_frames)
    rows = []
    for needle in needles.needles[first:last]:
        samples = torch.from_numpy(read_samples(needle.source, frontend.sample_rate))
        sound = (samples - samples.mean())[None, :longest]
        rows.append(log_mel_of_sounds(frontend, sound, (sound.shape[1],))[0].numpy())
    return np.stack(rows).astype(np.float16)


def content_key(needles: "NeedleSet", frontend: Frontend) -> str:
    """Return the name of what is computed from these clips' sound by that front end."""
    contents = [needle.source.digest() for needle in needles.needles]
    text = "\n".join([_FORMAT, frontend.fingerprint, *contents])
    return hashlib.sha256(text.encode()).hexdigest()[:24]
