"""Kaldi filter bank in torch: waveform to normalised log-mel frames, at any length.

For each frame of `frame_length` samples x, every `frame_shift` samples (snip edges):

    y[i] = gain w[i] * ((x[i] - m) - 0.97 (x[i-1] - m)),   m = mean(x),  w = symmetric Hann, or its power 0.85 (Povey)
    E[k] = sum_f M[k, f] |FFT_512(y)[f]|^2                        mel power, `energies`
    features = (log(max(E, eps)) - mean) / (2 std)                 `log_mel`, then `normalise`

M is triangular on the scale 1127 ln(1 + f / 700) from 20 Hz to Nyquist, unnormalised. This is
torchaudio.compliance.kaldi.fbank with use_energy=False, num_mel_bins=128, dither=0, frame_shift=10
(htk_compat does not matter without energy); window_type="hanning" is the front end of AST, DASS, SSAST,
SSAMBA, AuM, Audio-MAE, EAT and SSLAM (DASS: `dataloader_niah.py`), window_type="povey" on a waveform times 2^15
that of BEATs (microsoft/unilm, beats/BEATs.py).

Energies and their logarithm are separate steps because energies scale exactly with the square of a gain:
a noise's energies are computed once for all SNRs.
"""

import functools
import hashlib
import math
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.frontends.blocks import check_waveform, mel_power, squared_spectrum
from niah.frontends.mel import mel_bank, row_of

EPS = 1.1920928955078125e-07
"""Floor of the energies before the logarithm: float32 epsilon, as in Kaldi and torchaudio."""

PREEMPHASIS = 0.97
LOW_HZ = 20.0
_POVEY_POWER = 0.85
_FIRST_FIELDS = 7  # of the first version's fingerprint; a later field is in it only where it differs from its default

Window = Literal["hanning", "povey"]
Padding = Literal["log-zeros", "silence"]


@dataclass(frozen=True)
class KaldiFrontend:
    """Front end with fixed parameters; the defaults are those of the AST and DASS family.

    `needle_frames` is the length that a clip is padded or cut to (10.24 s); `mean` and `std` are
    the data set's log-mel statistics. `padding` is of zeros in place of log energies (AST's loader; they
    are normalised like the others), or of samples of zeros. Equal front ends compare equal and may
    share cached features.
    """

    sample_rate: int = 16000
    mels: int = 128
    frame_length: int = 400
    frame_shift: int = 160
    mean: float = -4.2677393
    std: float = 4.5689974
    needle_frames: int = 1024
    window: Window = "hanning"
    gain: float = 1.0  # of the waveform, for models that do not use full scale 1
    removes_mean: bool = True
    padding: Padding = "log-zeros"

    @property
    def fft_size(self) -> int:
        """Return the smallest power of two that is no shorter than a frame."""
        return 1 << (self.frame_length - 1).bit_length()

    @property
    def fingerprint(self) -> str:
        """Return a stable hash of all parameters, for cache keys and cell keys."""
        known = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        first = list(known)[:_FIRST_FIELDS]
        included = {k: v for k, (v, default) in known.items() if k in first or v != default}
        parts = ["kaldi-fbank-hanning-1", *(f"{k}={v!r}" for k, v in sorted(included.items()))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def lead(self) -> int:
        """Return 0: a clip's first frame begins with the clip."""
        return 0

    @property
    def silence(self) -> float:
        """Return (log eps - mean) / (2 std), the feature of digital silence and the lowest possible."""
        return (math.log(EPS) - self.mean) / (2 * self.std)

    @property
    def zero_row(self) -> tuple[float, ...]:
        """Return the data set's mean log-mel, normalised: 0."""
        return (0.0,)

    def frames(self, samples: int) -> int:
        """Return the whole frames of `samples` samples (snip edges): 1 + (n - length) // shift, or 0."""
        if samples < self.frame_length:
            return 0
        return 1 + (samples - self.frame_length) // self.frame_shift

    def samples(self, frames: int) -> int:
        """Return the fewest samples that give `frames` frames."""
        return self.frame_length + (frames - 1) * self.frame_shift if frames > 0 else 0

    def row_of(self, hertz: float) -> float:
        """Return the mel row (fractional, 0 to mels) of a frequency, for the axes of pictures."""
        return row_of(hertz, self.mels, LOW_HZ, self.sample_rate / 2, "kaldi")

    def energies(self, waveform: Tensor) -> Tensor:
        """Compute mel power: (B, samples) -> (B, frames, mels) of the same (floating) dtype and device.

        There is no logarithm, no floor, and no subtraction of the waveform's mean (a frame's own mean is subtracted, so
        that of the waveform matters only for rounding).
        """
        return mel_power(
            waveform,
            self._power,
            self._bank(waveform),
            frames=self.frames(waveform.shape[-1]),
            shift=self.frame_shift,
            length=self.frame_length,
        )

    def log_mel(self, energies: Tensor) -> Tensor:
        """Compute log(max(E, eps)), any shape."""
        return energies.clamp_min(EPS).log_()

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Compute (x - mean) / (2 std), any shape."""
        return (log_mel - self.mean) / (2 * self.std)

    def denormalise(self, features: Tensor) -> Tensor:
        """Invert `normalise`: features of any shape to log-mel."""
        return features * (2 * self.std) + self.mean

    def decibels(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute 10 log10 of the mel energies of features, for pictures."""
        return (features * (2 * self.std) + self.mean) * np.float32(10 / math.log(10))

    def levels(self, energies: Tensor) -> Tensor:
        """Compute (log E - mean) / (2 std) without a floor, in place."""
        return energies.log_().sub_(self.mean).div_(2 * self.std)

    def gain_level(self, gain: float) -> float:
        """Return ln(g) / std, since energies scale with g^2."""
        return math.log(gain) / self.std

    def finish(self, levels: NDArray[np.float32], lowest: float) -> None:
        """Compute max(level, silence), in place."""
        if lowest < self.silence + 1e-3:
            np.maximum(levels, np.float32(self.silence), out=levels)

    def needle(self, waveform: Tensor) -> Tensor:
        """Cut or pad (by `padding`) a clip: (samples,) -> (needle_frames, mels)."""
        wanted = self.samples(self.needle_frames)
        waveform = waveform[:wanted]
        if self.padding == "silence":
            waveform = torch.nn.functional.pad(waveform, (0, wanted - len(waveform)))
        log_mel = self.log_mel(self.energies(waveform[None]))[0]
        missing = self.needle_frames - len(log_mel)
        return self.normalise(torch.nn.functional.pad(log_mel, (0, 0, 0, missing)))

    def __call__(self, waveform: Tensor) -> Tensor:
        """Compute the normalised features of whole waveforms, less their mean if `removes_mean`; no padding.

        Args:
            waveform: (B, samples) at `sample_rate`.

        Returns:
            (B, frames, mels).

        Raises:
            NiahError: another shape, or no floats.
        """
        check_waveform(waveform)
        if self.removes_mean:
            waveform = waveform - waveform.mean(dim=-1, keepdim=True)
        features = self.energies(waveform).clamp_min_(EPS).log_()
        return features.sub_(self.mean).div_(2 * self.std)

    def _power(self, samples: Tensor) -> Tensor:
        """Compute |FFT|^2 of each frame: (samples,) -> (frames, bins)."""
        # The window is 0 at a frame's first sample, so its predecessor never matters and
        # pre-emphasis may run over all samples; removing the mean first equals subtracting
        # (1 - 0.97) m afterwards.
        emphasised = samples.clone()
        emphasised[1:] -= PREEMPHASIS * samples[:-1]
        frames = emphasised.unfold(0, self.frame_length, self.frame_shift)
        means = samples.unfold(0, self.frame_length, self.frame_shift).mean(dim=-1, keepdim=True)
        padded = samples.new_zeros((frames.shape[0], self.fft_size))
        inside = padded[:, : self.frame_length]
        torch.sub(frames, means, alpha=1 - PREEMPHASIS, out=inside)
        inside *= _window(self.frame_length, self.window, self.gain, samples.dtype, samples.device)
        return squared_spectrum(padded)

    def _bank(self, like: Tensor) -> Tensor:
        high = self.sample_rate / 2
        return mel_bank(
            self.mels,
            self.fft_size,
            self.sample_rate,
            LOW_HZ,
            high,
            "kaldi",
            like.dtype,
            like.device,
        )


@functools.lru_cache(maxsize=16)
def _window(
    length: int, name: Window, gain: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return the symmetric Hann window (length,), or its power 0.85 (Povey), times the gain."""
    window = torch.hann_window(length, periodic=False, dtype=torch.float64)
    if name == "povey":
        window = window.pow(_POVEY_POWER)
    return (window * gain).to(device, dtype)


AST = KaldiFrontend()
"""AST, DASS, SSAST, SSAMBA, AuM and Audio-MAE."""

EAT = KaldiFrontend(mean=-4.268, std=4.569)
"""EAT and SSLAM: the same with rounded statistics."""

BEATS = KaldiFrontend(
    mean=15.41663,
    std=6.55582,
    needle_frames=998,  # 10 s: BEATs takes any length without padding
    window="povey",
    gain=2.0**15,
    removes_mean=False,
    padding="silence",
)
"""BEATs: waveform in 16-bit units, Povey window. A clip below 10 s is padded with zeros in the waveform. This is our
rule, as the authors mask their padding and publish none for a single clip."""
