"""Mel power of a long waveform, block by block, for all front ends."""

from collections.abc import Callable

import torch
from torch import Tensor

from niah.errors import NiahError
from niah.system.threads import on_one_thread

_BLOCK_FRAMES = 256  # half a megabyte of FFT input: stays in a core's cache
_BLOCK_FRAMES_GPU = 65536


def check_waveform(waveform: object) -> None:
    """Check what a front end is called with.

    Raises:
        NiahError: no tensor (B, samples) of float32 or float64, as one clip without its batch, or 16-bit samples.
    """
    kind = type(waveform).__name__
    if isinstance(waveform, Tensor):
        if waveform.ndim == 2 and waveform.dtype in (torch.float32, torch.float64):
            return
        kind = f"{tuple(waveform.shape)} of {waveform.dtype}"
    raise NiahError(
        f"a front end takes a tensor (clips, samples) of float32, full scale 1, not {kind}: one clip is "
        "waveform[None]; divide 16-bit samples by 32768"
    )


def mel_power(
    waveform: Tensor,
    power: Callable[[Tensor], Tensor],
    bank: Tensor,
    *,
    frames: int,
    shift: int,
    length: int,
) -> Tensor:
    """Compute power(samples) @ bank, a block of whole frames at a time.

    Beside the result it needs a few megabytes on a CPU, at any length.

    Args:
        waveform: (B, samples).
        power: |FFT|^2 (n, bins) of the samples (m,) of n whole frames.
        bank: (bins, mels).
        frames: number of frames.
        shift: samples from one frame to the next.
        length: samples of a frame.

    Returns:
        (B, frames, mels), of the waveform's dtype and device.
    """
    out = waveform.new_empty((waveform.shape[0], frames, bank.shape[1]))
    block = _BLOCK_FRAMES_GPU if waveform.is_cuda else _BLOCK_FRAMES
    with on_one_thread():  # waiting for others at each of these small steps is ten times slower
        for row, samples in enumerate(waveform):
            for first in range(0, frames, block):
                last = min(first + block, frames)
                start = first * shift
                part = samples[start : start + length + (last - first - 1) * shift]
                torch.matmul(power(part), bank, out=out[row, first:last])
    return out


def squared_spectrum(frames: Tensor) -> Tensor:
    """Compute |FFT|^2 of padded frames (n, fft_size) -> (n, fft_size / 2), without Nyquist, whose mel weight is 0."""
    spectrum = torch.view_as_real(torch.fft.rfft(frames))[:, :-1]
    return spectrum[..., 0].square().addcmul_(spectrum[..., 1], spectrum[..., 1])
