"""A mono sound, its level, and the error of a file that cannot be one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError

Reason = Literal[
    "missing",
    "not-audio",
    "truncated",
    "empty",
    "past-end",
    "too-short",
    "silent",
    "nan",
    "level",
    "too-long",
]


class AudioError(NiahError):
    """A file that cannot serve as a sound; `reason` is one of `Reason`, for counting."""

    def __init__(self, name: str, reason: Reason, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.reason: Reason = reason


@dataclass(frozen=True)
class Waveform:
    """Mono sound: `samples` (n,) float32, full scale 1, and what was done to the file's."""

    samples: NDArray[np.float32]
    sample_rate: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


def rms(x: NDArray[np.floating]) -> float:
    """Return sqrt(mean(x^2)), summed in float64; the mean is not removed. 0 for no samples."""
    return float(np.sqrt(square_sum(x) / x.size)) if x.size else 0.0


def square_sum(x: NDArray[np.floating]) -> float:
    """Return the sum of x^2 in float64: the same bits on any number of cores, unlike a product of BLAS."""
    x64 = np.asarray(x, dtype=np.float64).ravel()
    return float(np.einsum("i,i->", x64, x64))
