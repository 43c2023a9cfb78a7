"""Noise-like sounds: hiss, rumble, rain, crackle, wind. Each function: (rng, n) -> samples (n,)."""

import numpy as np

from niah.needles.synthetic.signals import (
    SAMPLE_RATE,
    Rng,
    Samples,
    band,
    cycles,
    impulse_train,
    log_uniform,
    ring,
    shaped_noise,
    wander,
)


def hiss(rng: Rng, n: int) -> Samples:
    """Steady noise of one high band, from 1.8 to 4.5 kHz upwards, 0.5 to 1.5 octaves wide."""
    low = log_uniform(rng, 1800, 4500)
    return shaped_noise(rng, n, band(low, min(7900.0, low * 2 ** rng.uniform(0.5, 1.5)), 6))


def rumble(rng: Rng, n: int) -> Samples:
    """Noise below 70 to 280 Hz, swelling slowly."""
    noise = shaped_noise(rng, n, band(25, log_uniform(rng, 70, 280), 3))
    return noise * (1 + rng.uniform(0, 0.6) * wander(rng, n, rng.uniform(0.5, 3)))


def rain(rng: Rng, n: int) -> Samples:
    """Drops: 150 to 900 random grains a second, each ringing for a millisecond, over a wash."""
    count = max(1, int(rng.poisson(log_uniform(rng, 150, 900) * n / SAMPLE_RATE)))
    out = np.zeros(n)
    for share in np.array_split(np.arange(count), 2):  # two drop sizes
        times = rng.uniform(0, n / SAMPLE_RATE, len(share))
        train = impulse_train(n, times, rng.exponential(1.0, len(share)))
        out += ring(train, log_uniform(rng, 1200, 6000), log_uniform(rng, 0.0004, 0.002))
    wash = shaped_noise(rng, n, band(800, 7000, 1))
    wash *= rng.uniform(0.1, 0.6) * float(np.std(out)) / max(float(np.std(wash)), 1e-12)
    return out + wash


def crackle(rng: Rng, n: int) -> Samples:
    """Irregular snaps, 4 to 35 a second, of very unequal strength, each nearly an impulse."""
    rate = log_uniform(rng, 4, 35)
    count = max(3, int(rng.poisson(rate * n / SAMPLE_RATE)))
    times = np.sort(rng.uniform(0, n / SAMPLE_RATE, count))
    train = impulse_train(
        n, times, rng.pareto(1.5, count).clip(0.05, 8) * rng.choice([-1.0, 1.0], count)
    )
    return ring(train, log_uniform(rng, 900, 4500), log_uniform(rng, 0.0002, 0.001))


def wind(rng: Rng, n: int) -> Samples:
    """A narrow noise whose centre (200 to 1400 Hz) and strength wander within seconds."""
    width = log_uniform(rng, 40, 200)
    # low-pass noise in quadrature, moved up to the wandering centre: a band that follows it
    real = shaped_noise(rng, n, band(0, width, 2))
    imaginary = shaped_noise(rng, n, band(0, width, 2))
    centre = log_uniform(rng, 250, 1100) * np.exp2(0.5 * wander(rng, n, rng.uniform(0.4, 1.5)))
    phase = 2 * np.pi * (cycles(centre, n) % 1.0)
    gusts = np.exp(rng.uniform(0.5, 1.2) * wander(rng, n, rng.uniform(0.5, 2)))
    moved = real * np.cos(phase) - imaginary * np.sin(phase)
    return np.asarray(moved * gusts, np.float64)
