"""Pitched sounds: steady, gliding and modulated tones. Each function: (rng, n) -> samples (n,)."""

import numpy as np

from niah.needles.synthetic.signals import (
    SAMPLE_RATE,
    Rng,
    Samples,
    cycles,
    gate,
    harmonics,
    log_uniform,
    regular_times,
    rolloff,
    seconds,
    shaped_noise,
    sine,
    wander,
)


def pure_tone(rng: Rng, n: int) -> Samples:
    """One steady sinusoid, 150 Hz to 5 kHz."""
    return sine(cycles(log_uniform(rng, 150, 5000), n) + rng.random())


def horn(rng: Rng, n: int) -> Samples:
    """One to three steady harmonic notes, 80 to 500 Hz, bright."""
    f0 = log_uniform(rng, 80, 500)
    slope = rng.uniform(2, 9)
    ratios = [1.0, 5 / 4, 3 / 2][: int(rng.integers(1, 4))]
    return sum(
        (harmonics(cycles(f0 * r, n), rolloff(f0 * r, slope), rng) for r in ratios), np.zeros(n)
    )


def _glide(rng: Rng, n: int, low_hz: float, ratio: float, upwards: bool) -> Samples:
    """Exponential sweep over `ratio`, repeated up to three times, with a few harmonics."""
    repeats = int(rng.integers(1, 4)) if n > SAMPLE_RATE else 1
    t = seconds(n) * SAMPLE_RATE * repeats / n
    share = t - np.floor(t)
    share = share if upwards else 1 - share
    sweep = low_hz * np.exp2(np.log2(ratio) * share)
    partials = int(rng.integers(1, 5))
    amplitudes = np.arange(1, partials + 1) ** -rng.uniform(0.5, 2.0)
    starts = np.arange(repeats) * (n / SAMPLE_RATE / repeats)
    return harmonics(cycles(sweep, n), amplitudes, rng) * gate(
        n, starts, n / SAMPLE_RATE / repeats, 0.02
    )


def chirp_up(rng: Rng, n: int) -> Samples:
    """A rising sweep, 150 to 1200 Hz times 1.8 to 5."""
    return _glide(rng, n, log_uniform(rng, 150, 1200), log_uniform(rng, 1.8, 5), True)


def chirp_down(rng: Rng, n: int) -> Samples:
    """A falling sweep of the same ranges."""
    return _glide(rng, n, log_uniform(rng, 150, 1200), log_uniform(rng, 1.8, 5), False)


def siren(rng: Rng, n: int) -> Samples:
    """Slow frequency modulation, 0.25 to 1.2 Hz, over half an octave to an octave and a half."""
    rate, span = log_uniform(rng, 0.25, 1.2), rng.uniform(0.5, 1.5)
    t = seconds(n)
    sweep = np.sin(2 * np.pi * (rate * t + rng.random()))
    if rng.random() < 0.3:  # some sirens ramp linearly
        sweep = 2 / np.pi * np.arcsin(sweep)
    f = log_uniform(rng, 450, 1100) * np.exp2(span / 2 * sweep)
    partials = int(rng.integers(1, 5))
    return harmonics(cycles(f, n), np.arange(1, partials + 1) ** -rng.uniform(0.5, 2.0), rng)


def trill(rng: Rng, n: int) -> Samples:
    """Fast frequency modulation, 6 to 18 Hz, by 5 to 25 per cent."""
    rate, depth = log_uniform(rng, 6, 18), log_uniform(rng, 0.05, 0.25)
    sweep = np.sin(2 * np.pi * (rate * seconds(n) + rng.random()))
    f = log_uniform(rng, 400, 2800) * (1 + depth * sweep)
    return harmonics(cycles(f, n), np.array([1.0, rng.uniform(0, 0.6)]), rng)


def buzz(rng: Rng, n: int) -> Samples:
    """A carrier of 300 to 2500 Hz, amplitude-modulated to a rasp at 25 to 90 Hz."""
    rate = log_uniform(rng, 25, 90) * (1 + 0.02 * wander(rng, n, 4))
    phase = cycles(rate, n)
    envelope = (1 - (phase - np.floor(phase))) ** int(rng.integers(1, 4))
    carrier = log_uniform(rng, 300, 2500)
    return harmonics(cycles(carrier, n), rolloff(carrier, rng.uniform(3, 9)), rng) * envelope


def whistle(rng: Rng, n: int) -> Samples:
    """A wandering near-sinusoid of 700 to 2800 Hz with vibrato and a little breath."""
    centre = log_uniform(rng, 700, 2800)
    t = seconds(n)
    vibrato = rng.uniform(0, 0.015) * np.sin(2 * np.pi * rng.uniform(4, 7) * t)
    f = centre * np.exp2(rng.uniform(0.25, 0.7) * wander(rng, n, rng.uniform(0.8, 2.5)) + vibrato)
    breath = shaped_noise(rng, n, lambda x: np.exp(-0.5 * ((x - centre) / (0.3 * centre)) ** 2))
    breath *= rng.uniform(0.02, 0.15) / max(float(np.std(breath)), 1e-12)
    return sine(cycles(f, n)) + breath


def alarm(rng: Rng, n: int) -> Samples:
    """Beeps of two alternating tones, 2 to 7 a second, 600 to 3200 Hz."""
    rate = log_uniform(rng, 2, 7)
    starts = regular_times(rng, n / SAMPLE_RATE + 1, rate, 0.0)
    low = log_uniform(rng, 600, 2200)
    which = np.floor(seconds(n) * rate).astype(np.int64) % 2
    f = low * np.where(which == 0, 1.0, rng.uniform(1.12, 1.6))
    amplitudes = np.array([1.0, 0.0, rng.uniform(0, 0.5), 0.0, rng.uniform(0, 0.3)])
    amplitudes[np.arange(1, 6) * low * 1.6 > 0.48 * SAMPLE_RATE] = 0
    beeps = gate(n, starts, rng.uniform(0.45, 0.9) / rate)
    return harmonics(cycles(f, n), amplitudes, rng) * beeps
