"""Log-mel of a centred short-time Fourier transform: the front ends of PaSST, HTS-AT and PANNs.

    y[i] = x[i+1] - 0.97 x[i]                              PaSST's pre-emphasis; HTS-AT: y = x
    E[k] = sum_f M[k, f] |FFT_1024(w * frame)[f]|^2        frames centred on multiples of the hop, ends reflected
    PaSST:  features = (ln(E + 1e-5) + 4.5) / 5            an offset: it is added to E
    HTS-AT: features = 10 log10(max(E, 1e-10))             a floor, and decibels

PaSST (kkoutini/PaSST, models/preprocess.py in evaluation): symmetric Hann of 800 samples, Kaldi's mel bank of 128 from
0 to 15 kHz. HTS-AT (RetroCirce/HTS-Audio-Transformer, torchlibrosa): periodic Hann of 1024, librosa's Slaney bank of 64
from 50 Hz to 14 kHz; the network's batch normalisation replaces mean and deviation. PANNs (qiuqiangkong/
audioset_tagging_cnn, pytorch/models.py) has HTS-AT's at 32 kHz, and at 16 kHz a window and FFT of 512, to 8 kHz.

Only the ends of a clip are padded. `energies` pads nothing: a haystack consists of whole frames. A window shorter than
the FFT is padded at its end, which differs from the official code in phase only.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from niah.errors import NiahError
from niah.frontends.blocks import check_waveform, mel_power, squared_spectrum
from niah.frontends.log_stage import LogStage, Staged
from niah.frontends.mel import Scale, mel_bank, row_of

DECIBELS_PER_NEPER = 10 / math.log(10)


@dataclass(frozen=True)
class StftFrontend(Staged):
    """Front end with fixed parameters; features = (unit * ln(stage(E)) - mean) / scale.

    `stage` is E + floor where `adds_floor`, else max(E, floor). `zero_row` is the data set's mean log-mel as features:
    () where only a checkpoint knows it (`with_zero_row`).
    """

    mels: int
    window_length: int
    periodic: bool
    preemphasis: float
    mel_scale: Scale
    low_hz: float
    high_hz: float
    floor: float
    adds_floor: bool
    unit: float
    mean: float
    scale: float
    zero_row: tuple[float, ...]
    sample_rate: int = 32000
    fft_size: int = 1024
    frame_shift: int = 320

    @property
    def fingerprint(self) -> str:
        """Return a stable hash of all parameters, for cache keys and cell keys."""
        parts = sorted(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return hashlib.sha256("\n".join(["stft-log-mel-1", *parts]).encode()).hexdigest()[:16]

    @property
    def frame_length(self) -> int:
        """Return the samples of a frame: the window, and one more before it for pre-emphasis."""
        return self.window_length + self._taken

    @property
    def lead(self) -> int:
        """Return half the window."""
        return self.window_length // 2

    @property
    def _stage(self) -> LogStage:
        return LogStage(self.floor, self.adds_floor, self.unit, self.mean, self.scale)

    @property
    def _taken(self) -> int:
        return 1 if self.preemphasis else 0

    def with_zero_row(self, row: Sequence[float]) -> "StftFrontend":
        """Return the front end with the mean log-mel that a checkpoint has learned (HTS-AT: `bn0.running_mean`).

        Raises:
            NiahError: not one value, or one a mel.
        """
        if len(row) not in (1, self.mels):
            raise NiahError(f"a mean log-mel must have {self.mels} values, got {len(row)}")
        return dataclasses.replace(self, zero_row=tuple(float(value) for value in row))

    def frames(self, samples: int) -> int:
        """Return the centred frames of a clip, 1 + n // shift after pre-emphasis; 0 if it is too short."""
        left = samples - self._taken
        return 1 + left // self.frame_shift if left > self.lead else 0

    def samples(self, frames: int) -> int:
        """Return the fewest samples that have `frames` whole frames."""
        return self.frame_length + (frames - 1) * self.frame_shift if frames > 0 else 0

    def row_of(self, hertz: float) -> float:
        """Return the mel row (fractional, 0 to mels) of a frequency, for the axes of pictures."""
        return row_of(hertz, self.mels, self.low_hz, self.high_hz, self.mel_scale)

    def energies(self, waveform: Tensor) -> Tensor:
        """Compute the mel power of whole frames, without padding: (B, samples) -> (B, frames, mels)."""
        return self._mel_power(self._emphasised(waveform))

    def __call__(self, waveform: Tensor) -> Tensor:
        """Compute the features of whole clips, ends reflected: (B, samples) at `sample_rate` -> (B, frames, mels).

        Raises:
            NiahError: another shape, or no floats.
        """
        check_waveform(waveform)
        if self.frames(waveform.shape[-1]) == 0:
            return waveform.new_empty((waveform.shape[0], 0, self.mels))
        emphasised = self._emphasised(waveform)
        padded = torch.nn.functional.pad(emphasised[:, None], (self.lead, self.lead), "reflect")
        return self.normalise(self.log_mel(self._mel_power(padded[:, 0])))

    def _emphasised(self, waveform: Tensor) -> Tensor:
        """Apply pre-emphasis: (B, n) -> (B, n - 1), or unchanged without."""
        if not self.preemphasis:
            return waveform
        return waveform[:, 1:] - self.preemphasis * waveform[:, :-1]

    def _mel_power(self, emphasised: Tensor) -> Tensor:
        samples, shift = emphasised.shape[-1], self.frame_shift
        return mel_power(
            emphasised,
            self._power,
            self._bank(emphasised),
            frames=max(0, 1 + (samples - self.window_length) // shift),
            shift=shift,
            length=self.window_length,
        )

    def _power(self, samples: Tensor) -> Tensor:
        """Compute |FFT|^2 of each frame: (samples,) -> (frames, bins)."""
        frames = samples.unfold(0, self.window_length, self.frame_shift)
        padded = samples.new_zeros((frames.shape[0], self.fft_size))
        window = _hann(self.window_length, self.periodic, samples.dtype, samples.device)
        torch.mul(frames, window, out=padded[:, : self.window_length])
        return squared_spectrum(padded)

    def _bank(self, like: Tensor) -> Tensor:
        return mel_bank(
            self.mels,
            self.fft_size,
            self.sample_rate,
            self.low_hz,
            self.high_hz,
            self.mel_scale,
            like.dtype,
            like.device,
        )


@functools.lru_cache(maxsize=16)
def _hann(length: int, periodic: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    window = torch.hann_window(length, periodic=periodic, dtype=torch.float64)
    return window.to(device, dtype)


PASST = StftFrontend(
    mels=128,
    window_length=800,
    periodic=False,
    preemphasis=0.97,
    mel_scale="kaldi",
    low_hz=0.0,
    high_hz=15000.0,
    floor=1e-5,
    adds_floor=True,
    unit=1.0,
    mean=-4.5,
    scale=5.0,
    zero_row=(0.0,),
)
"""PaSST: (ln(E + 1e-5) + 4.5) / 5, 1000 frames for 10 s."""

HTSAT = StftFrontend(
    mels=64,
    window_length=1024,
    periodic=True,
    preemphasis=0.0,
    mel_scale="slaney",
    low_hz=50.0,
    high_hz=14000.0,
    floor=1e-10,
    adds_floor=False,
    unit=DECIBELS_PER_NEPER,
    mean=0.0,
    scale=1.0,
    zero_row=(),
)
"""HTS-AT: decibels, 1001 frames a 10 s clip. Its normalisation is in the network, so the mean log-mel of the haystack
`zero` is the checkpoint's: the adapter uses `HTSAT.with_zero_row(bn0.running_mean)`."""

PANNS_16K = dataclasses.replace(
    HTSAT, window_length=512, fft_size=512, high_hz=8000.0, sample_rate=16000, frame_shift=160
)
"""Cnn14 of PANNs at 16 kHz; at 32 kHz it is `HTSAT`."""
