"""Struck, plucked and ticking sounds. Each function: (rng, n) -> samples (n,)."""

import numpy as np

from niah.needles.synthetic.signals import (
    SAMPLE_RATE,
    Rng,
    Samples,
    band,
    cycles,
    decays,
    impulse_train,
    log_uniform,
    regular_times,
    ring,
    seconds,
    shaped_noise,
    sine,
)


def clicks(rng: Rng, n: int) -> Samples:
    """A regular train of 3 to 18 short clicks a second, ringing at 1.5 to 6 kHz."""
    times = regular_times(rng, n / SAMPLE_RATE, log_uniform(rng, 3, 18), 0.03)
    train = impulse_train(n, times, rng.uniform(0.8, 1.0, len(times)))
    return ring(train, log_uniform(rng, 1500, 6000), log_uniform(rng, 0.0005, 0.003))


def knocks(rng: Rng, n: int) -> Samples:
    """Wooden knocks, 1.5 to 5 a second: two damped modes, 150 Hz to 1.5 kHz."""
    times = regular_times(rng, n / SAMPLE_RATE, log_uniform(rng, 1.5, 5), 0.25)
    train = impulse_train(n, times, rng.uniform(0.5, 1.0, len(times)))
    f, decay = log_uniform(rng, 150, 600), log_uniform(rng, 0.01, 0.04)
    return ring(train, f, decay) + rng.uniform(0.2, 0.8) * ring(
        train, f * rng.uniform(1.6, 2.6), decay / 2
    )


def bell(rng: Rng, n: int) -> Samples:
    """Strikes of 5 to 8 inharmonic partials, high ones dying first; 0.5 to 2.5 s of ringing."""
    times = regular_times(rng, n / SAMPLE_RATE, log_uniform(rng, 0.4, 2.0), 0.1)
    f, decay = log_uniform(rng, 300, 1400), log_uniform(rng, 0.5, 2.5)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.61, 3.0, 4.15])[: int(rng.integers(5, 9))]
    ratios = ratios * rng.uniform(0.96, 1.04, len(ratios))
    strike = decays(n, times, decay)
    fast = strike * strike  # partials above the hum die twice as fast: one exponential serves all
    out = np.zeros(n)
    for ratio in ratios[ratios * f < 0.48 * SAMPLE_RATE]:
        level = rng.uniform(0.3, 1.0)
        out += level * sine(cycles(f * ratio, n)) * (strike if ratio < 1.3 else fast)
    return out


def pluck(rng: Rng, n: int) -> Samples:
    """Plucked strings (Karplus and Strong 1983), 80 to 500 Hz, 1 to 5 notes a second.

    A noise-filled delay line of p samples is averaged with its neighbour once a round: after m
    rounds its k-th harmonic has fallen by |cos(pi k / p)|^m, so one inverse FFT gives all rounds.
    """
    times = regular_times(rng, n / SAMPLE_RATE, log_uniform(rng, 1, 5), 0.1)
    root, loss = log_uniform(rng, 80, 330), rng.uniform(0.985, 0.998)
    brightness = rng.uniform(0.3, 1.0)
    out = np.zeros(n)
    for i, start in enumerate((times * SAMPLE_RATE).astype(np.int64)):
        stop = n if i + 1 == len(times) else int(times[i + 1] * SAMPLE_RATE)
        note = root * 2 ** (rng.choice(np.array([0, 2, 4, 7, 9, 12])) / 12)
        period = max(16, round(SAMPLE_RATE / note))
        rounds = -(-(stop - int(start)) // period)
        if rounds <= 0:
            continue
        k = np.arange(period // 2 + 1)
        first = np.fft.rfft(rng.uniform(-1, 1, period)) * (k > 0)
        remaining = loss * np.abs(np.cos(np.pi * k / period)) ** brightness
        line = np.fft.irfft(first * remaining ** np.arange(rounds)[:, None], period)
        out[start:stop] = line.reshape(-1)[: stop - start]
    return out


def drum(rng: Rng, n: int) -> Samples:
    """Drum beats, 1 to 6 a second: a falling sine of 50 to 180 Hz under a burst of noise."""
    times = regular_times(rng, n / SAMPLE_RATE, log_uniform(rng, 1, 6), 0.05)
    decay, f = log_uniform(rng, 0.06, 0.25), log_uniform(rng, 50, 180)
    body = decays(n, times, decay)
    skin = sine(cycles(f * (1 + rng.uniform(0.3, 1.2) * body**4), n)) * body
    snare = shaped_noise(rng, n, band(rng.uniform(200, 1500), rng.uniform(3000, 7500)))
    snare *= decays(n, times, decay * rng.uniform(0.2, 0.8)) / max(float(np.std(snare)), 1e-12)
    return skin + rng.uniform(0.05, 0.5) * snare


def noise_burst(rng: Rng, n: int) -> Samples:
    """Claps of broad noise, sharp at the front, 1 to 4 a second, dying in 20 to 120 ms."""
    times = regular_times(rng, n / SAMPLE_RATE, log_uniform(rng, 1, 4), 0.4)
    low = log_uniform(rng, 100, 800)
    noise = shaped_noise(rng, n, band(low, rng.uniform(4500, 7800)))
    return noise * decays(n, times, log_uniform(rng, 0.02, 0.12))


def engine(rng: Rng, n: int) -> Samples:
    """Firing strokes, 14 to 60 a second with jitter and slow drift, through two low resonances."""
    t = seconds(n)
    drift = 1 + rng.uniform(-0.25, 0.25) * np.sin(2 * np.pi * rng.uniform(0.05, 0.4) * t)
    phase = cycles(log_uniform(rng, 14, 60) * drift, n)
    strokes = np.flatnonzero(np.diff(np.floor(phase)) > 0) / SAMPLE_RATE
    strokes = strokes + rng.normal(0, 0.001, len(strokes))
    train = impulse_train(n, strokes, rng.uniform(0.6, 1.0, len(strokes)))
    low, high = log_uniform(rng, 70, 220), log_uniform(rng, 300, 900)
    decay = log_uniform(rng, 0.006, 0.02)
    return ring(train, low, decay) + rng.uniform(0.2, 0.8) * ring(train, high, decay / 2)
