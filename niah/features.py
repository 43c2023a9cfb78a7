"""Kaldi filter bank in torch: waveform to normalised log-mel frames, at any length.

For each frame of `frame_length` samples x, every `frame_shift` samples (snip edges):

    y[i] = w[i] * ((x[i] - m) - 0.97 (x[i-1] - m)),   m = mean(x),  w = symmetric Hann
    E[k] = sum_f M[k, f] |FFT_512(y)[f]|^2                        mel power, `energies`
    features = (log(max(E, eps)) - mean) / (2 std)                 `log_mel`, then `normalise`

M is triangular on the scale 1127 ln(1 + f / 700) from 20 Hz to Nyquist, unnormalised. This is
torchaudio.compliance.kaldi.fbank with htk_compat=True, use_energy=False, window_type="hanning",
num_mel_bins=128, dither=0, frame_shift=10: the front end of AST, DASS, SSAST, Audio-MAE, EAT and
SSLAM (DESIGN section 4).

Energies are kept apart from their logarithm because they scale exactly with the square of a gain:
a noise's energies are computed once and serve every SNR.
"""

import functools
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

EPS = 1.1920928955078125e-07
"""Floor of the energies before the logarithm: float32 epsilon, as in Kaldi and torchaudio."""

PREEMPHASIS = 0.97
LOW_HZ = 20.0
_BLOCK_FRAMES = 256  # half a megabyte of FFT input: stays in a core's cache
_BLOCK_FRAMES_GPU = 65536


@dataclass(frozen=True)
class KaldiFrontend:
    """Front end with fixed parameters; the defaults are those of the AST and DASS family.

    `needle_frames` is the length that a clip is padded or cut to (10.24 s); `mean` and `std` are
    the data set's log-mel statistics. Equal front ends compare equal and may share cached
    features.
    """

    sample_rate: int = 16000
    mels: int = 128
    frame_length: int = 400
    frame_shift: int = 160
    mean: float = -4.2677393
    std: float = 4.5689974
    needle_frames: int = 1024

    @property
    def fft_size(self) -> int:
        """The power of two that holds a frame."""
        return 1 << (self.frame_length - 1).bit_length()

    @property
    def fingerprint(self) -> str:
        """Stable hash of all parameters, for cache keys and cell keys."""
        told = ["kaldi-fbank-hanning-1", *(f"{k}={v!r}" for k, v in sorted(asdict(self).items()))]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]

    def frames(self, samples: int) -> int:
        """Whole frames in that many samples (snip edges): 1 + (n - length) // shift, or 0."""
        if samples < self.frame_length:
            return 0
        return 1 + (samples - self.frame_length) // self.frame_shift

    def samples(self, frames: int) -> int:
        """Fewest samples that give that many frames."""
        return self.frame_length + (frames - 1) * self.frame_shift if frames > 0 else 0

    def row_of(self, hertz: float) -> float:
        """Mel row (fractional, 0 to mels) that lies at that frequency, for pictures' axes."""
        low, high = _mel(LOW_HZ), _mel(self.sample_rate / 2)
        return (_mel(hertz) - low) / (high - low) * (self.mels + 1) - 0.5

    def energies(self, waveform: Tensor) -> Tensor:
        """Mel power: (B, samples) -> (B, frames, mels) of the same (floating) dtype and device.

        No logarithm, no floor, no removal of the waveform's mean (a frame's own mean is removed,
        which makes that of the waveform immaterial but for rounding). Computed in blocks of frames:
        beside the result it takes a few megabytes on a CPU at any length.
        """
        n_frames = self.frames(waveform.shape[-1])
        out = waveform.new_empty((waveform.shape[0], n_frames, self.mels))
        block = _BLOCK_FRAMES_GPU if waveform.is_cuda else _BLOCK_FRAMES
        with _one_thread():
            for row, samples in enumerate(waveform):
                for first in range(0, n_frames, block):
                    last = min(first + block, n_frames)
                    start = first * self.frame_shift
                    part = samples[start : start + self.samples(last - first)]
                    torch.matmul(self._power(part), self._bank(part), out=out[row, first:last])
        return out

    def log_mel(self, energies: Tensor) -> Tensor:
        """log(max(E, eps)), any shape."""
        return energies.clamp_min(EPS).log_()

    def normalise(self, log_mel: Tensor) -> Tensor:
        """(x - mean) / (2 std), any shape."""
        return (log_mel - self.mean) / (2 * self.std)

    def denormalise(self, features: Tensor) -> Tensor:
        """Inverse of `normalise`: log-mel of features, any shape."""
        return features * (2 * self.std) + self.mean

    def __call__(self, waveform: Tensor) -> Tensor:
        """Normalised features of whole waveforms, each less its own mean.

        (B, samples) at `sample_rate` -> (B, frames, mels), no padding.
        """
        centred = waveform - waveform.mean(dim=-1, keepdim=True)
        features = self.energies(centred).clamp_min_(EPS).log_()
        return features.sub_(self.mean).div_(2 * self.std)

    def _power(self, samples: Tensor) -> Tensor:
        """|FFT|^2 of each frame: (samples,) -> (frames, bins); not Nyquist, whose weight is 0."""
        # The window is 0 at a frame's first sample, so its predecessor never matters and
        # pre-emphasis may run over the whole stretch; removing the mean first equals taking (1 -
        # 0.97) m off afterwards.
        emphasised = samples.clone()
        emphasised[1:] -= PREEMPHASIS * samples[:-1]
        frames = emphasised.unfold(0, self.frame_length, self.frame_shift)
        means = samples.unfold(0, self.frame_length, self.frame_shift).mean(dim=-1, keepdim=True)
        padded = samples.new_zeros((frames.shape[0], self.fft_size))
        inside = padded[:, : self.frame_length]
        torch.sub(frames, means, alpha=1 - PREEMPHASIS, out=inside)
        inside *= _window(self.frame_length, samples.dtype, samples.device)
        spectrum = torch.view_as_real(torch.fft.rfft(padded))[:, :-1]
        return spectrum[..., 0].square().addcmul_(spectrum[..., 1], spectrum[..., 1])

    def _bank(self, like: Tensor) -> Tensor:
        return _mel_bank(self.mels, self.fft_size, self.sample_rate, like.dtype, like.device)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one CPU thread: blocks this small gain nothing from more, and waiting for another
    thread at each step costs tenfold when the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.lru_cache(maxsize=16)
def _window(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Symmetric Hann window (length,)."""
    return torch.hann_window(length, periodic=False, dtype=torch.float64).to(device, dtype)


@functools.lru_cache(maxsize=16)
def _mel_bank(
    mels: int, fft_size: int, sample_rate: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Triangular weights (fft_size / 2, mels), equally spaced and overlapping by half in mel."""
    low, high = _mel(LOW_HZ), _mel(sample_rate / 2)
    edges = torch.linspace(low, high, mels + 2, dtype=torch.float64)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    hertz = torch.arange(fft_size // 2, dtype=torch.float64) * (sample_rate / fft_size)
    mel = (1127.0 * torch.log1p(hertz / 700.0)).unsqueeze(1)
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0).to(device, dtype).contiguous()


def _mel(hertz: float) -> float:
    """Mel scale of HTK and Kaldi: 1127 ln(1 + f / 700)."""
    return 1127.0 * math.log1p(hertz / 700.0)
