"""Sounds of living things: birds, barks, voices. Each function: (rng, n) -> samples (n,)."""

import numpy as np

from niah.needles.synthetic.signals import (
    SAMPLE_RATE,
    Rng,
    Samples,
    cycles,
    decays,
    filtered,
    formants,
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

# first three formants of five vowels in Hz, rounded means of adult speakers (a, e, i, o, u)
VOWELS_HZ = np.array(
    [[730, 1090, 2440], [530, 1840, 2480], [280, 2250, 3000], [570, 840, 2410], [310, 870, 2240]],
    np.float64,
)


def bird(rng: Rng, n: int) -> Samples:
    """Chirps: 3 to 12 short syllables a second, each a bent sweep somewhere in 2 to 7 kHz."""
    rate = log_uniform(rng, 3, 12)
    starts = regular_times(rng, n / SAMPLE_RATE, rate, 0.3)
    starts.sort()
    t = seconds(n)
    which = np.maximum(np.searchsorted(starts, t, side="right") - 1, 0)
    syllable_s = rng.uniform(0.3, 0.75) / rate
    share = np.clip((t - starts[which]) / syllable_s, 0, 1)
    kinds = int(rng.integers(1, 4))  # a phrase repeats few kinds of syllable
    low = log_uniform(rng, 2000, 4500)
    start_hz = (low * rng.uniform(1, 1.5, kinds))[which % kinds]
    octaves, bend = rng.uniform(-0.6, 0.6, kinds)[which % kinds], rng.uniform(-0.5, 0.5, kinds)
    f = start_hz * np.exp2(octaves * share + bend[which % kinds] * np.sin(np.pi * share))
    return sine(cycles(np.minimum(f, 7600), n)) * gate(n, starts, syllable_s, 0.25 * syllable_s)


def bark(rng: Rng, n: int) -> Samples:
    """Barks, 1 to 3.5 a second: a falling rough voice (200 to 700 Hz) in two formants."""
    starts = regular_times(rng, n / SAMPLE_RATE, log_uniform(rng, 1, 3.5), 0.3)
    starts.sort()
    body = decays(n, starts, log_uniform(rng, 0.05, 0.14))
    f0 = log_uniform(rng, 200, 700)
    voice = harmonics(cycles(f0 * (0.6 + 0.5 * body), n), rolloff(f0 * 1.1, 5), rng)
    rasp = shaped_noise(rng, n, np.ones_like)
    voice += rng.uniform(0.3, 1.0) * rasp / max(float(np.std(rasp)), 1e-12) * float(np.std(voice))
    centres = np.array([rng.uniform(500, 1000), rng.uniform(1200, 2200)])
    return filtered(voice * body, formants(centres, centres * 0.15))


def voice(rng: Rng, n: int) -> Samples:
    """Speech-like: glottal pulses (85 to 320 Hz) between two vowels, 2.5 to 5.5 syllables/s."""
    f0 = log_uniform(rng, 85, 320)
    melody = np.exp2(rng.uniform(0.1, 0.35) * wander(rng, n, rng.uniform(1, 4)))
    pulses = harmonics(cycles(f0 * melody, n), rolloff(f0 * 1.3, rng.uniform(4, 9)), rng)
    size = rng.uniform(0.92, 1.2)  # shorter vocal tracts scale all formants up
    first, second = VOWELS_HZ[rng.choice(len(VOWELS_HZ), 2, replace=False)] * size
    width = np.array([70.0, 100.0, 150.0])
    rate = log_uniform(rng, 2.5, 5.5)
    share = 0.5 + 0.5 * wander(rng, n, rate)
    spoken = filtered(pulses, formants(first, width)) * share
    spoken += filtered(pulses, formants(second, width)) * (1 - share)
    swell = np.abs(np.sin(np.pi * (rate * seconds(n) + rng.random())))
    syllables = swell if rng.random() < 0.5 else np.sqrt(swell)
    return np.asarray(spoken * syllables, np.float64)


def cricket(rng: Rng, n: int) -> Samples:
    """Insect song: 3 to 6.5 kHz in pulses (20 to 60 Hz), grouped 1 to 4 times a second."""
    f = log_uniform(rng, 3000, 6500)
    pulse_hz, group_hz = log_uniform(rng, 20, 60), log_uniform(rng, 1, 4)
    t = seconds(n)
    pulses = 0.5 - 0.5 * np.cos(2 * np.pi * pulse_hz * t)
    groups = gate(
        n, regular_times(rng, n / SAMPLE_RATE, group_hz, 0.1), rng.uniform(0.4, 0.8) / group_hz
    )
    return np.asarray(sine(cycles(f, n)) * pulses * groups, np.float64)
