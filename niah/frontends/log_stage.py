"""From mel energies to features: a logarithm with an offset or a floor, then a mean and a scale.

    features = (unit * ln(stage(E)) - mean) / scale,   stage(E) = E + floor where `adds_floor`, else max(E, floor)

E is mel power, which grows with the square of a gain, or (`power` 1) mel magnitude, which grows with the gain.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

CLIP_S = 10
_FLOAT32_NEPERS = 17.0  # ln(1 + e^-17) is lost in float32


@dataclass(frozen=True)
class LogStage:
    """The logarithm and the normalisation of a front end."""

    floor: float
    adds_floor: bool
    unit: float = 1.0  # of the logarithm, in nepers of E: 10 / ln 10 for decibels of power
    mean: float = 0.0
    scale: float = 1.0
    power: int = 2

    @property
    def silence(self) -> float:
        """Return the feature of digital silence, that of the floor."""
        return (self.unit * math.log(self.floor) - self.mean) / self.scale

    def log_mel(self, energies: Tensor) -> Tensor:
        """Compute unit * ln(E + floor), or of max(E, floor); any shape."""
        staged = energies + self.floor if self.adds_floor else energies.clamp_min(self.floor)
        return staged.log_().mul_(self.unit)

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Compute (x - mean) / scale, any shape."""
        return (log_mel - self.mean) / self.scale

    def denormalise(self, features: Tensor) -> Tensor:
        """Invert `normalise`: features of any shape to log-mel."""
        return features * self.scale + self.mean

    def decibels(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute decibels of mel energies (10 log10 of power, 20 log10 of magnitude) from features, for pictures."""
        per_unit = np.float32(20 / self.power / math.log(10) / self.unit)
        return (features * np.float32(self.scale) + np.float32(self.mean)) * per_unit

    def levels(self, energies: Tensor) -> Tensor:
        """Compute (unit ln E - mean) / scale without floor or offset, in place."""
        return energies.log_().mul_(self.unit).sub_(self.mean).div_(self.scale)

    def gain_level(self, gain: float) -> float:
        """Return power unit ln(g) / scale, since energies scale with g^power."""
        return self.power * self.unit * math.log(gain) / self.scale

    def finish(self, levels: NDArray[np.float32], lowest: float) -> None:
        """Compute max(level, silence), in place; for an offset, silence + s ln(1 + exp((level - silence) / s)).

        s = unit / scale is one neper of energy in features.
        """
        step = self.unit / self.scale
        if not self.adds_floor:
            if lowest < self.silence + 1e-3 * step:
                np.maximum(levels, np.float32(self.silence), out=levels)
        elif lowest < self.silence + _FLOAT32_NEPERS * step:
            levels -= np.float32(self.silence)
            levels /= np.float32(step)
            np.logaddexp(levels, np.float32(0), out=levels)
            levels *= np.float32(step)
            levels += np.float32(self.silence)


class Staged(ABC):
    """The part of a front end that its `LogStage` computes, and its features of a 10 s clip."""

    sample_rate: int

    @property
    @abstractmethod
    def _stage(self) -> LogStage: ...

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Return the frames of a clip."""

    @abstractmethod
    def __call__(self, waveform: Tensor) -> Tensor:
        """Compute features of whole clips: (B, samples) -> (B, frames, mels)."""

    @property
    def needle_frames(self) -> int:
        """Return the frames of 10 s."""
        return self.frames(CLIP_S * self.sample_rate)

    @property
    def removes_mean(self) -> bool:
        """Return False: the waveform's mean stays."""
        return False

    @property
    def silence(self) -> float:
        """Return the feature of digital silence, that of the floor or offset."""
        return self._stage.silence

    def log_mel(self, energies: Tensor) -> Tensor:
        """Compute the logarithm of energies with its offset or floor, any shape."""
        return self._stage.log_mel(energies)

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Compute (x - mean) / scale, any shape."""
        return self._stage.normalise(log_mel)

    def denormalise(self, features: Tensor) -> Tensor:
        """Invert `normalise`: features of any shape to log-mel."""
        return self._stage.denormalise(features)

    def decibels(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute decibels of the mel energies of features, for pictures."""
        return self._stage.decibels(features)

    def levels(self, energies: Tensor) -> Tensor:
        """Compute the normalised logarithm of energies without floor or offset, in place."""
        return self._stage.levels(energies)

    def gain_level(self, gain: float) -> float:
        """Return what a gain of the waveform adds to a level."""
        return self._stage.gain_level(gain)

    def finish(self, levels: NDArray[np.float32], lowest: float) -> None:
        """Apply the floor or offset, in place."""
        self._stage.finish(levels, lowest)

    def needle(self, waveform: Tensor) -> Tensor:
        """Cut a clip to 10 s or pad it with zeros: (samples,) -> (needle_frames, mels)."""
        wanted = CLIP_S * self.sample_rate
        waveform = waveform[:wanted]
        return self(pad(waveform, (0, wanted - len(waveform)))[None])[0]
