"""Building blocks of the procedural sounds: oscillators, shaped noise, ringing, envelopes.

Everything is float64 at `SAMPLE_RATE` = 16 kHz, mono, of any scale (the clip sets the level).
Spectra are shaped in the frequency domain, so no block needs a recursive filter and none is longer
than a few lines.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating[Any]]
Rng = np.random.Generator
Response = Callable[[Samples], Samples]  # frequencies in Hz -> linear gain

SAMPLE_RATE = 16_000
# samples of one period; linear reading errs by (pi k / TABLE_SIZE)^2 / 2 at harmonic k
TABLE_SIZE = 2048


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """One draw, uniform in the logarithm: right for frequencies, rates and durations."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def seconds(n: int) -> Samples:
    """Time axis (n,) in seconds."""
    return np.arange(n) / SAMPLE_RATE


def cycles(frequency_hz: Samples | float, n: int) -> Samples:
    """Phase (n,) in cycles, the running integral of a (possibly moving) frequency."""
    if isinstance(frequency_hz, float | int):
        return np.arange(n) * (frequency_hz / SAMPLE_RATE)
    return np.cumsum(frequency_hz) / SAMPLE_RATE


def sine(phase: Samples) -> Samples:
    """sin(2 pi phase); wrapped first so that float32, several times faster, suffices."""
    wrapped = (phase - np.floor(phase)).astype(np.float32)
    return np.asarray(np.sin(np.float32(2 * np.pi) * wrapped), np.float64)


def harmonics(phase: Samples, amplitudes: Samples, rng: Rng) -> Samples:
    """Sum over k of amplitudes[k] sin(2 pi (k+1) phase + random), from one tabulated period."""
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, np.complex128)
    amplitudes = amplitudes[: TABLE_SIZE // 8]
    spectrum[1 : len(amplitudes) + 1] = amplitudes * np.exp(
        2j * np.pi * rng.random(len(amplitudes))
    )
    table = np.fft.irfft(spectrum, TABLE_SIZE) * TABLE_SIZE / 2
    position = (phase - np.floor(phase)) * TABLE_SIZE
    low = position.astype(np.int64)
    share = position - low
    table = np.concatenate((table, table[:2]))  # a phase of 1 - 1e-17 wraps to exactly TABLE_SIZE
    return table[low] * (1 - share) + table[low + 1] * share


def rolloff(f0_hz: float, slope_db_per_octave: float, top_hz: float = 7600.0) -> Samples:
    """Amplitudes (harmonics below top_hz,) that fall by a slope: 6 dB/octave is a sawtooth."""
    k = np.arange(1, max(1, int(top_hz / f0_hz)) + 1)
    return np.asarray(k ** (-slope_db_per_octave / (20 * np.log10(2))), np.float64)


def white_spectrum(rng: Rng, n: int) -> NDArray[np.complex64]:
    """Spectrum (n // 2 + 1,) of n samples of white Gaussian noise, of any scale."""
    return rng.standard_normal(2 * (n // 2 + 1), dtype=np.float32).view(np.complex64)


def shaped(spectrum: NDArray[np.complex64], n: int, response: Response) -> Samples:
    """Samples (n,) of a spectrum times a response."""
    gain = response(np.fft.rfftfreq(n, 1 / SAMPLE_RATE)).astype(np.float32)
    return np.asarray(np.fft.irfft(spectrum * gain, n), np.float64)


def shaped_noise(rng: Rng, n: int, response: Response) -> Samples:
    """Gaussian noise (n,) of amplitude spectrum `response`: no filter, so no start to settle."""
    return shaped(white_spectrum(rng, n), n, response)


def filtered(x: Samples, response: Response) -> Samples:
    """x (n,) through a zero-phase response (circular: sounds are faded at both ends)."""
    n = len(x)
    return np.fft.irfft(np.fft.rfft(x) * response(np.fft.rfftfreq(n, 1 / SAMPLE_RATE)), n)


def _even_power(x: Samples, order: int) -> Samples:
    """x^(2 order) by multiplication: pow() would cost more than the FFT."""
    square = x * x
    power = square
    for _ in range(order - 1):
        power = power * square
    return power


def band(low_hz: float, high_hz: float, order: int = 4) -> Response:
    """Butterworth-like magnitude between two edges; low_hz = 0 is a low pass."""

    def response(f: Samples) -> Samples:
        attenuation = 1 + _even_power(f / high_hz, order)
        if low_hz > 0:
            attenuation *= 1 + _even_power(low_hz / np.maximum(f, 1.0), order)
        return 1 / np.sqrt(attenuation)

    return response


def formants(centres_hz: Samples, widths_hz: Samples) -> Response:
    """Sum of resonances 1 / (1 + ((f - centre) / width)^2), each weaker than the one below."""

    def response(f: Samples) -> Samples:
        gain = np.zeros_like(f)
        for i, (centre, width) in enumerate(zip(centres_hz, widths_hz, strict=True)):
            gain += 0.6**i / (1 + ((f - centre) / width) ** 2)
        return gain

    return response


def ring(impulses: Samples, frequency_hz: float, decay_s: float) -> Samples:
    """Impulses (n,) through a decaying sinusoid exp(-t / decay) sin(2 pi f t)."""
    t = seconds(max(8, min(len(impulses), int(7 * decay_s * SAMPLE_RATE))))
    kernel = np.exp(-t / decay_s) * np.sin(2 * np.pi * frequency_hz * t)
    size = -(-(len(impulses) + len(kernel)) // 1000) * 1000  # a length of small factors
    product = np.fft.rfft(impulses, size) * np.fft.rfft(kernel, size)
    return np.fft.irfft(product, size)[: len(impulses)]


def impulse_train(n: int, times_s: Samples, amplitudes: Samples) -> Samples:
    """Zeros (n,) with an impulse at each time that lies inside."""
    at = np.round(times_s * SAMPLE_RATE).astype(np.int64)
    inside = (at >= 0) & (at < n)
    out = np.zeros(n)
    np.add.at(out, at[inside], amplitudes[inside])
    return out


def regular_times(rng: Rng, duration_s: float, rate_hz: float, jitter: float) -> Samples:
    """Times (count,) in seconds at a rate, from 0, each moved by up to half of `jitter` periods."""
    count = max(1, int(duration_s * rate_hz))
    return np.maximum(0.0, (np.arange(count) + jitter * rng.uniform(-0.5, 0.5, count)) / rate_hz)


def wander(rng: Rng, n: int, rate_hz: float) -> Samples:
    """A smooth random curve (n,) in [-1, 1]: knots at `rate_hz`, a cosine between them."""
    knots = rng.uniform(-1, 1, int(n / SAMPLE_RATE * rate_hz) + 3)
    # the curve is slow: made at one point in 32, drawn straight in between
    sparse = np.arange(0, n + 32, 32)
    x = np.minimum(sparse * (rate_hz / SAMPLE_RATE) + rng.random(), len(knots) - 1.001)
    low = x.astype(np.int64)
    share = 0.5 - 0.5 * np.cos(np.pi * (x - low))
    curve = knots[low] * (1 - share) + knots[low + 1] * share
    return np.asarray(np.interp(np.arange(n), sparse, curve), np.float64)


def fade(x: Samples, attack_s: float, release_s: float) -> Samples:
    """x with raised-cosine ends, each at most half of its length."""
    x = x.copy()
    for length_s, reverse in ((attack_s, False), (release_s, True)):
        size = min(len(x) // 2, max(2, int(length_s * SAMPLE_RATE)))
        ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(size) / size)
        if reverse:
            x[-size:] *= ramp[::-1]
        else:
            x[:size] *= ramp
    return x


def gate(n: int, starts_s: Samples, length_s: float, ramp_s: float = 0.005) -> Samples:
    """Envelope (n,): 1 for `length_s` after each start, else 0, with linear ramps."""
    t = seconds(n)
    which = np.searchsorted(starts_s, t, side="right") - 1
    since = t - starts_s[np.maximum(which, 0)]
    open_ = np.minimum(since, length_s - since) / ramp_s
    return np.where(which >= 0, np.clip(open_, 0, 1), 0.0)


def decays(n: int, starts_s: Samples, decay_s: float) -> Samples:
    """Envelope (n,): exp(-(t - start) / decay) since the last start, 0 before the first."""
    t = seconds(n)
    which = np.searchsorted(starts_s, t, side="right") - 1
    since = t - starts_s[np.maximum(which, 0)]
    return np.where(which >= 0, np.exp(-np.maximum(since, 0) / decay_s), 0.0)
