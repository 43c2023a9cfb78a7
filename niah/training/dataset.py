"""Training clips as log-mel features on disk, made once and memory-mapped by every run that uses them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from niah.atomic import telling
from niah.features import EPS, KaldiFrontend
from niah.progress import track

if TYPE_CHECKING:
    from niah.needles import NeedleSet

_FORMAT = "1"


@dataclass(frozen=True)
class Clips:
    """log_mel (n, frames, mels) float16, memory-mapped, padded with raw 0 or cut; targets (n, classes) float32."""

    log_mel: NDArray[np.float16]
    targets: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.log_mel)


def load_clips(needles: "NeedleSet", frontend: KaldiFrontend, cache: Path) -> Clips:
    """The clips' features from the cache, or made now (with a progress bar).

    float16 holds log-mel (-16 to 16) to 0.008, far below any augmentation.
    """
    path = cache / f"{_key(needles, frontend)}.npy"
    if not path.is_file():
        _make(needles, frontend, path)
    targets = needles.targets().astype(np.float32)
    return Clips(np.load(path, mmap_mode="r"), targets)


def _key(needles: "NeedleSet", frontend: KaldiFrontend) -> str:
    contents = [needle.source.digest() for needle in needles.needles]
    told = "\n".join([_FORMAT, frontend.fingerprint, *contents])
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def _make(needles: "NeedleSet", frontend: KaldiFrontend, path: Path) -> None:
    shape = (len(needles.needles), frontend.needle_frames, frontend.mels)
    with telling(path.parent):
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


def _fill(out: NDArray[np.float16], needles: "NeedleSet", frontend: KaldiFrontend) -> None:
    from niah.needles import waveform

    for row, needle in enumerate(track(needles.needles, "training features")):
        samples = torch.from_numpy(waveform(needle, frontend.sample_rate).samples)
        energies = frontend.energies((samples - samples.mean())[None])[0, : frontend.needle_frames]
        out[row, : len(energies)] = energies.clamp_min(EPS).log().numpy()
