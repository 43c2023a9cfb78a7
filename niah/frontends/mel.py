"""Mel scales and their triangular filters.

kaldi    mel = 1127 ln(1 + f / 700); triangles linear on the mel axis, peak 1 (HTK, Kaldi, torchaudio)
slaney   mel = 3 f / 200 below 1 kHz, 15 + 27 ln(f / 1000) / ln 6.4 above; triangles linear in Hz, area 1
         (Slaney's Auditory Toolbox, librosa's default)
"""

import functools
import math
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["kaldi", "slaney"]

_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0
_HZ_PER_MEL = 200.0 / 3
_LOG_STEP = math.log(6.4) / 27


def mel_of(hertz: float, scale: Scale) -> float:
    """Convert a frequency to mel."""
    if scale == "kaldi":
        return 1127.0 * math.log1p(hertz / 700.0)
    if hertz < _KNEE_HZ:
        return hertz / _HZ_PER_MEL
    return _KNEE_MEL + math.log(hertz / _KNEE_HZ) / _LOG_STEP


def row_of(hertz: float, mels: int, low_hz: float, high_hz: float, scale: Scale) -> float:
    """Return the mel row of a frequency, for the axes of pictures.

    Args:
        hertz: the frequency.
        mels: number of rows.
        low_hz: lower edge of the lowest filter.
        high_hz: upper edge of the highest filter.
        scale: the mel scale.

    Returns:
        A fractional row, 0 to `mels`.
    """
    low, high = mel_of(low_hz, scale), mel_of(high_hz, scale)
    return (mel_of(hertz, scale) - low) / (high - low) * (mels + 1) - 0.5


@functools.lru_cache(maxsize=16)
def mel_bank(
    mels: int,
    fft_size: int,
    sample_rate: int,
    low_hz: float,
    high_hz: float,
    scale: Scale,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Make a bank of triangular filters, equally spaced in mel, that overlap by half.

    Args:
        mels: number of filters.
        fft_size: even.
        sample_rate: Hz.
        low_hz: lower edge of the lowest filter.
        high_hz: upper edge of the highest filter.
        scale: the mel scale.
        dtype: of the weights.
        device: of the weights.

    Returns:
        Weights (fft_size / 2, mels), without Nyquist.
    """
    low, high = mel_of(low_hz, scale), mel_of(high_hz, scale)
    edges = torch.linspace(low, high, mels + 2, dtype=torch.float64)
    hertz = torch.arange(fft_size // 2, dtype=torch.float64) * (sample_rate / fft_size)
    if scale == "kaldi":
        bank = _triangles(1127.0 * torch.log1p(hertz / 700.0), edges)
    else:
        edges = _slaney_hertz(edges)
        bank = _triangles(hertz, edges) * (2 / (edges[2:] - edges[:-2]))
    return bank.to(device, dtype).contiguous()


def _triangles(points: Tensor, edges: Tensor) -> Tensor:
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    points = points.unsqueeze(1)
    rising, falling = (points - left) / (centre - left), (right - points) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0)


def _slaney_hertz(mel: Tensor) -> Tensor:
    """Invert the Slaney scale."""
    above = _KNEE_HZ * torch.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return torch.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)
