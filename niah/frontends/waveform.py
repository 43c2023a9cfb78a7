"""A waveform as a feature map of samples, for models that take waveforms.

A row is 10 ms of samples: at sample rate r a scene of L seconds is (100 L, r / 100) float32, and its rows one after
another are the sound itself. Rows do not overlap and nothing is normalised, so that scenes, windows, controls and
occlusion by rows work on waveforms as they do on log-mel frames. There are no levels: a sound's rows are its samples
times the gain.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError
from niah.frontends.blocks import check_waveform

ROWS_PER_SECOND = 100
NEEDLE_S = 10
MOST_HZ = 768_000


@dataclass(frozen=True)
class WaveformFrontend:
    """Rows of 10 ms of samples at `sample_rate`.

    Raises:
        NiahError: a rate of which 10 ms are no whole number of samples.
    """

    sample_rate: int = 16000

    def __post_init__(self) -> None:
        if self.sample_rate < ROWS_PER_SECOND or self.sample_rate % ROWS_PER_SECOND:
            raise NiahError(
                f"sample_rate {self.sample_rate}: must be a multiple of {ROWS_PER_SECOND} Hz; "
                "take 16000, 32000 or 44100 and resample in the model's own function"
            )
        if self.sample_rate > MOST_HZ:
            raise NiahError(f"sample_rate {self.sample_rate}: must be at most {MOST_HZ} Hz")

    @property
    def mels(self) -> int:
        """Samples of a row."""
        return self.sample_rate // ROWS_PER_SECOND

    @property
    def frame_length(self) -> int:
        return self.mels

    @property
    def frame_shift(self) -> int:
        return self.mels

    @property
    def lead(self) -> int:
        return 0

    @property
    def needle_frames(self) -> int:
        """Rows of 10 s."""
        return NEEDLE_S * ROWS_PER_SECOND

    @property
    def removes_mean(self) -> bool:
        return False

    @property
    def silence(self) -> float:
        """A sample of digital silence."""
        return 0.0

    @property
    def zero_row(self) -> tuple[float, ...]:
        """(): no waveform has the data set's mean log-mel."""
        return ()

    @property
    def fingerprint(self) -> str:
        """Stable hash of all parameters, for cache keys and cell keys."""
        text = f"waveform-1\nsample_rate={self.sample_rate}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def frames(self, samples: int) -> int:
        """Whole rows in that many samples."""
        return samples // self.frame_shift

    def samples(self, frames: int) -> int:
        return frames * self.frame_shift

    def energies(self, waveform: Tensor) -> Tensor:
        """Whole rows of samples: (B, samples) -> (B, rows, samples of a row)."""
        rows = self.frames(waveform.shape[-1])
        return waveform[:, : self.samples(rows)].reshape(len(waveform), rows, self.frame_shift)

    def log_mel(self, energies: Tensor) -> Tensor:
        """Return the samples as they are."""
        return energies

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Return the samples as they are."""
        return log_mel

    def levels(self, energies: Tensor) -> Tensor:  # noqa: ARG002
        """Refuse: samples are multiplied by a gain and have no logarithm that it adds to."""
        raise TypeError("samples have no levels: play them from a SampleBank")

    def gain_level(self, gain: float) -> float:  # noqa: ARG002
        """Refuse, as `levels` does."""
        raise TypeError("samples have no levels: play them from a SampleBank")

    def finish(self, levels: NDArray[np.float32], lowest: float) -> None:
        """Leave the samples as they are: they have no floor."""

    def needle(self, waveform: Tensor) -> Tensor:
        """(samples,) -> (1000, samples of a row): cut to 10 s, or padded with zeros."""
        wanted = self.samples(self.needle_frames)
        waveform = waveform[:wanted]
        padded = torch.nn.functional.pad(waveform, (0, wanted - len(waveform)))
        return padded.reshape(self.needle_frames, self.frame_shift)

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return whole rows of samples, as `energies` does.

        Raises:
            NiahError: another shape, or no floats.
        """
        check_waveform(waveform)
        return self.energies(waveform)


def is_waveform(frontend: object) -> bool:
    """Return whether a front end's rows are samples."""
    return isinstance(frontend, WaveformFrontend)
