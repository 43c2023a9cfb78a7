"""Synthetic talkers: procedural babble for a machine without any recording of speech.

Source and filter, frame by frame. A talker is a pulse train with a wandering pitch, or noise,
shaped by three wandering formants or by a fricative's band, under syllabic envelopes with pauses
between phrases. No word is said; the long-term spectrum, the modulation near 4 Hz and the
harmonics are those of speech, so that thirty of them together pass for a crowd. Named
"babble-synthetic" wherever it is quoted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.randomness import keyed_generator

_CONTROL_RATE = 100  # control points a second; also the frames of the time-varying filter
_VOWELS_HZ = (
    np.array(  # first three formants of an adult male, Peterson and Barney (1952), table II
        [
            [270, 2290, 3010],
            [390, 1990, 2550],
            [530, 1840, 2480],
            [660, 1720, 2410],
            [730, 1090, 2440],
            [570, 840, 2410],
            [440, 1020, 2240],
            [300, 870, 2240],
            [640, 1190, 2390],
            [490, 1350, 1690],
        ],
        dtype=np.float64,
    )
)
_BANDWIDTHS_HZ = np.array([80.0, 110.0, 160.0])

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Controls:
    """A talker's articulation, one value a control point."""

    pitch_hz: _Array  # (points,)
    voicing: _Array  # (points,) amplitude of the pulses
    friction: _Array  # (points,) amplitude of the noise
    formants_hz: _Array  # (points, 3)
    band_hz: _Array  # (points,) centre of the noise


def talker(
    number: int, seed: int, sample_rate: int, duration_s: float = 12.0
) -> NDArray[np.float32]:
    """Synthesise one voice, a pure function of the arguments.

    Args:
        number: of the talker.
        seed: of the haystack.
        sample_rate: Hz.
        duration_s: length.

    Returns:
        (duration_s * sample_rate,) float32, rms 0.1.
    """
    rng = keyed_generator("niah-talker-1", seed, number)
    n_points = round(duration_s * _CONTROL_RATE)
    controls = _articulate(rng, n_points)
    hop = sample_rate // _CONTROL_RATE
    pulses = _pulses(controls.pitch_hz, controls.voicing, hop, sample_rate)
    noise = rng.standard_normal(n_points * hop) * np.repeat(controls.friction, hop)
    frequencies = np.linspace(0.0, sample_rate / 2, hop + 1)
    sound = _filtered(pulses, _vowel_response(controls.formants_hz, frequencies), hop)
    sound += _filtered(noise, _noise_response(controls.band_hz, frequencies), hop)
    scale = 0.1 / np.sqrt(np.mean(np.square(sound)))
    return np.asarray(sound * scale, dtype=np.float32)


def _articulate(rng: np.random.Generator, n_points: int) -> _Controls:
    """Syllable after syllable: an optional fricative, a vowel, now and then a pause for breath."""
    voicing, friction = np.zeros(n_points), np.zeros(n_points)
    vowel = np.zeros((n_points, 3))
    band = np.full(n_points, 4000.0)
    base_hz = rng.uniform(85, 250)
    tract = 1.0 + 0.18 * (base_hz - 85) / 165  # higher voices come from shorter vocal tracts
    point, syllables_left = 0, int(rng.integers(3, 12))
    while point < n_points:
        onset, nucleus = int(rng.integers(3, 11)), int(rng.integers(8, 24))
        if rng.random() < 0.6:
            friction[point : point + onset] = rng.uniform(0.1, 0.6) * _hump(n_points - point, onset)
            band[point : point + onset] = rng.uniform(2000, 6500)
        start = point + onset
        loudness = rng.uniform(0.4, 1.0)
        voicing[start : start + nucleus] = loudness * _hump(n_points - start, nucleus)
        vowel[point : start + nucleus] = tract * _VOWELS_HZ[rng.integers(len(_VOWELS_HZ))]
        point, syllables_left = start + nucleus, syllables_left - 1
        if syllables_left == 0:
            pause = int(rng.integers(20, 70))
            vowel[point : point + pause] = tract * _VOWELS_HZ[8]
            point, syllables_left = point + pause, int(rng.integers(3, 12))
    wander = _smooth(rng.standard_normal(n_points), 40) * 0.9
    pitch = base_hz * np.exp2(np.clip(wander, -0.6, 0.6))
    formants = np.stack([_smooth(vowel[:, i], 7) for i in range(3)], axis=1)
    return _Controls(pitch, voicing, friction, formants, band)


def _hump(room: int, length: int) -> _Array:
    """Raised half sine of that length, cut where the recording ends."""
    shape: _Array = np.sqrt(np.sin(np.pi * (np.arange(length) + 0.5) / length))
    return shape[: max(room, 0)]


def _smooth(track: _Array, width: int) -> _Array:
    """Moving Hann average, ends repeated."""
    kernel = np.hanning(width + 2)
    padded = np.pad(track, (width // 2 + 1, width), mode="edge")
    smooth: _Array = np.convolve(padded, kernel / kernel.sum(), mode="valid")[: len(track)]
    return smooth


def _pulses(pitch_hz: _Array, voicing: _Array, hop: int, sample_rate: int) -> _Array:
    """One pulse a pitch period, shared between the two samples around its instant."""
    points = np.arange(len(pitch_hz) * hop) / hop
    phase = np.cumsum(np.interp(points, np.arange(len(pitch_hz)), pitch_hz)) / sample_rate
    at = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    step = phase[at + 1] - phase[at]
    late = (np.floor(phase[at + 1]) - phase[at]) / step  # 0..1 between sample `at` and the next
    amplitude = np.interp(points[at], np.arange(len(voicing)), voicing) / np.sqrt(step)
    pulses = np.zeros(len(points))
    pulses[at] += amplitude * (1 - late)
    pulses[at + 1] += amplitude * late
    return pulses


def _vowel_response(formants_hz: _Array, frequencies: _Array) -> _Array:
    """(points, bins): three resonances in cascade, times a glottal fall of 12 dB an octave."""
    f = frequencies[None, :, None]
    centre = np.maximum(formants_hz, 200.0)[:, None, :]
    resonance = centre**2 / np.sqrt((centre**2 - f**2) ** 2 + (_BANDWIDTHS_HZ * f) ** 2)
    tilt = 1 / (1 + (frequencies / 400.0) ** 2)
    lips = np.minimum(frequencies / 1000.0, 3.0)  # radiation: rising 6 dB an octave
    response: _Array = resonance.prod(axis=2) * tilt * lips
    return response


def _noise_response(band_hz: _Array, frequencies: _Array) -> _Array:
    """(points, bins): one broad band around the fricative's centre."""
    width = 0.35 * band_hz[:, None]
    response: _Array = 0.05 / (1 + ((frequencies[None, :] - band_hz[:, None]) / width) ** 2)
    return response


def _filtered(x: _Array, responses: _Array, hop: int) -> _Array:
    """Time-varying zero-phase filter: square-root Hann windows of two hops, overlapped by one."""
    window = np.sqrt(0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * hop) + 0.5) / hop))
    padded = np.concatenate([x, np.zeros(hop)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop] * window
    shaped = np.fft.irfft(np.fft.rfft(frames) * responses[: len(frames)], n=2 * hop) * window
    out = np.zeros((len(frames) + 1, hop))
    out[:-1] += shaped[:, :hop]
    out[1:] += shaped[:, hop:]
    return out.ravel()[: len(x)]
