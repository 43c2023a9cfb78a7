"""Decoded samples to a mono sound at a wanted rate: what makes them unusable, the mean of channels, resampling."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from niah.audio.waveform import AudioError, Waveform, square_sum

LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz
LOUD, TOO_LOUD = 1.5, 8.0  # x full scale: noted, refused (integers that were stored as floats)
CANCELLED = 5.0  # x less power in the mean than unlike channels would leave (stereo: 10 dB below them): noted
CANCELLING = "its channels nearly cancel out: their mean lies far below them"
FAINT = "its samples differ by less than four steps of 16 bits: hardly a sound, and an SNR makes it loud"
_LSB = 2.0**-15  # of 16 bits


def mono_sound(
    samples: NDArray[np.float32],
    rate: int,
    sample_rate: int,
    name: str,
    notes: Sequence[str] = (),
    *,
    allow_silence: bool = False,
) -> Waveform:
    """Check decoded samples, average their channels and change their rate with soxr "HQ"; the last two leave a note.

    Args:
        samples: (frames, channels).
        rate: of them, in Hz.
        sample_rate: wanted rate in Hz.
        name: of the sound in errors.
        notes: on what was changed before.
        allow_silence: take silence for a sound.

    Raises:
        AudioError: a rate outside 1 to 768 kHz, no samples or too few, silence (one constant value throughout, or
            channels that cancel out), NaN or infinity, or far beyond full scale.
    """
    check_rate(rate, name)
    if len(samples) == 0:
        raise AudioError(name, "empty", "has no samples")
    notes, channels = [*notes], samples.shape[1]
    if channels > 1:
        notes.append("stereo averaged" if channels == 2 else f"{channels} channels averaged")
    with np.errstate(invalid="ignore", over="ignore"):  # refused by name below
        mono = np.ascontiguousarray(samples.mean(axis=1) if channels > 1 else samples[:, 0])
    if not np.isfinite(mono).all():
        raise AudioError(name, "nan", "holds NaN or infinite samples; export it again")
    if not allow_silence:
        _check_sounds(mono, samples, name)
    if channels > 1 and square_sum(mono) * channels**2 * CANCELLED < square_sum(samples):
        notes.append(CANCELLING)
    if not allow_silence and np.ptp(mono) < 4 * _LSB:
        notes.append(FAINT)
    _check_level(samples, name, notes)
    if rate != sample_rate:
        notes.append(f"resampled from {rate} Hz")
        mono = resample(mono, rate, sample_rate)
        if len(mono) == 0:
            raise AudioError(name, "too-short", f"is too short to resample to {sample_rate} Hz")
    return Waveform(mono, sample_rate, tuple(notes))


def check_rate(rate: int, name: str) -> None:
    """Refuse a sample rate that no recording has.

    Raises:
        AudioError: it is outside 1 to 768 kHz.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(
            name, "not-audio", f"has a sample rate of {rate} Hz: 1 to 768 kHz can be used"
        )


def _check_sounds(mono: NDArray[np.float32], samples: NDArray[np.float32], name: str) -> None:
    if np.ptp(mono) == 0:
        raise AudioError(name, "silent", "is silent (every sample has the same value)")
    peak, of_channels = float(np.abs(mono).max()), float(np.abs(samples).max())
    if samples.shape[1] > 1 and peak < 2 * _LSB and of_channels > 100 * _LSB:
        raise AudioError(
            name, "silent", "is silent once its channels are averaged: they cancel out"
        )


def _check_level(samples: NDArray[np.float32], name: str, notes: list[str]) -> None:
    of_channels = float(np.abs(samples).max())
    if of_channels > TOO_LOUD:
        raise AudioError(
            name,
            "level",
            f"reaches {of_channels:.3g} x full scale: floats must lie within -1 and 1; export it again",
        )
    if of_channels > LOUD:
        notes.append(f"reaches {LOUD:g} x full scale or more")


def resample(mono: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Change the sample rate of (samples,) from `rate` to `wanted` Hz, by soxr's "HQ"."""
    import soxr

    return np.asarray(soxr.resample(mono, rate, wanted, quality="HQ"), dtype=np.float32)
