"""Training clips: as log-mel features on disk, made once, or as sound that is read and mixed in every step.

Both give the batch of a planned step (`niah.training.steps`), before SpecAugment.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.frontends import Frontend
from niah.system.atomic import one_line_os_errors
from niah.system.progress import track
from niah.training.augmentation import (
    Samples,
    gain,
    mix_targets,
    mixup,
    mixup_waveforms,
    move_waveform,
    roll,
)
from niah.training.log_mel import log_mel_of_sounds
from niah.training.steps import OWN, PARTNER, BatchPlan

if TYPE_CHECKING:
    from niah.needles import NeedleSet

_FORMAT = "2"


@dataclass(frozen=True)
class Batch:
    """Clips of one step and their targets (b, classes) float32.

    `log_mel` (b, frames, mels) float32, not normalised; or `sounds` (b, samples) with as many real `samples` each, for
    a filter bank on the device.
    """

    targets: Tensor
    log_mel: Tensor | None = None
    sounds: Tensor | None = None
    samples: tuple[int, ...] = ()


class Clips(Protocol):
    """What the loop asks of its clips."""

    @property
    def targets(self) -> NDArray[np.float32]: ...

    def __len__(self) -> int: ...

    def batch(self, step: BatchPlan) -> Batch: ...


@dataclass(frozen=True)
class FeatureClips:
    """log_mel (n, frames, mels) float16, memory-mapped, padded with raw 0 or cut; targets (n, classes) float32."""

    log_mel: NDArray[np.float16]
    targets: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.log_mel)

    def features(self, rows: NDArray[np.int64] | slice) -> Tensor:
        """(b, frames, mels) float32 log-mel as stored."""
        return torch.from_numpy(self.log_mel[rows].astype(np.float32))

    def batch(self, step: BatchPlan) -> Batch:
        targets = torch.from_numpy(self.targets[step.rows])
        mixed = step.weights < 1
        log_mel = self._moved(step, OWN)
        if mixed.any():
            weights = torch.from_numpy(step.weights)
            log_mel = mixup(log_mel, self._moved(step, PARTNER), weights)
            partners = torch.from_numpy(self.targets[step.partners])
            targets = mix_targets(targets, partners, weights)
        return Batch(targets, log_mel=log_mel)

    def _moved(self, step: BatchPlan, which: int) -> Tensor:
        log_mel = self.features(step.rows if which == OWN else step.partners)
        if step.shifts.any():
            log_mel = roll(log_mel, torch.from_numpy(step.shifts[:, which]))
        if step.decibels.any():
            log_mel = gain(log_mel, torch.from_numpy(step.decibels[:, which]))
        return log_mel


@dataclass(frozen=True)
class SoundClips:
    """Clips read from their files in every step; mixup, shift and level on the waveform, as released (facts 1.9).

    `on_device` leaves the filter bank to the training process, for its GPU.
    """

    needles: "NeedleSet"
    frontend: Frontend
    targets: NDArray[np.float32]
    on_device: bool = False

    def __len__(self) -> int:
        return len(self.needles)

    def batch(self, step: BatchPlan) -> Batch:
        longest = self.frontend.samples(self.frontend.needle_frames)
        sounds = [self._sound(step, index)[:longest] for index in range(len(step))]
        padded = np.zeros((len(sounds), max(len(sound) for sound in sounds)), np.float32)
        for row, sound in zip(padded, sounds, strict=True):
            row[: len(sound)] = sound
        targets = mix_targets(
            torch.from_numpy(self.targets[step.rows]),
            torch.from_numpy(self.targets[step.partners]),
            torch.from_numpy(step.weights),
        )
        given = Batch(
            targets,
            sounds=torch.from_numpy(padded),
            samples=tuple(len(sound) for sound in sounds),
        )
        if self.on_device:
            return given
        return Batch(targets, log_mel=log_mel_of(given, self.frontend, torch.device("cpu")))

    def _sound(self, step: BatchPlan, index: int) -> Samples:
        own = self._moved(step.rows[index], step, index, OWN)
        if step.weights[index] >= 1:
            return np.asarray(own - own.mean(), np.float32)
        partner = self._moved(step.partners[index], step, index, PARTNER)
        return mixup_waveforms(own, partner, float(step.weights[index]))

    def _moved(self, row: int, step: BatchPlan, index: int, which: int) -> Samples:
        source = self.needles.needles[row].source
        samples = source.waveform(self.frontend.sample_rate).samples
        return move_waveform(
            samples, float(step.shifts[index, which]), float(step.decibels[index, which])
        )


def log_mel_of(batch: Batch, frontend: Frontend, device: torch.device) -> Tensor:
    """(b, frames, mels) log-mel of a batch, on `device`."""
    if batch.log_mel is not None:
        return batch.log_mel.to(device)
    assert batch.sounds is not None
    return log_mel_of_sounds(frontend, batch.sounds.to(device), batch.samples)


def load_features(needles: "NeedleSet", frontend: Frontend, cache: Path) -> FeatureClips:
    """The clips' features from the cache, or made now (with a progress bar).

    float16 holds log-mel (-16 to 16) to 0.008, far below any augmentation.
    """
    path = cache / f"{content_key(needles, frontend)}.npy"
    if not path.is_file():
        _make(needles, frontend, path)
    targets = needles.targets().astype(np.float32)
    return FeatureClips(np.load(path, mmap_mode="r"), targets)


def content_key(needles: "NeedleSet", frontend: Frontend) -> str:
    """Name of what is computed from these clips' sound by that front end."""
    contents = [needle.source.digest() for needle in needles.needles]
    told = "\n".join([_FORMAT, frontend.fingerprint, *contents])
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def _make(needles: "NeedleSet", frontend: Frontend, path: Path) -> None:
    shape = (len(needles.needles), frontend.needle_frames, frontend.mels)
    with one_line_os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            _fill(_claimed(unfinished, shape), needles, frontend)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _claimed(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """A zeroed array on disk whose blocks are its own: writing to a mapping of a full disk is a crash."""
    out: NDArray[np.float16] = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=shape
    )
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return out


def _fill(out: NDArray[np.float16], needles: "NeedleSet", frontend: Frontend) -> None:
    longest = frontend.samples(frontend.needle_frames)
    for row, needle in enumerate(track(needles.needles, "training features")):
        samples = torch.from_numpy(needle.source.waveform(frontend.sample_rate).samples)
        sound = (samples - samples.mean())[None, :longest]
        out[row] = log_mel_of_sounds(frontend, sound, (sound.shape[1],))[0].numpy()
