"""The synthetic needle set: ten-second multi-label clips of procedural sound events.

    clip = background + sum over events of  level * event,   one to three events of distinct classes

Each clip is a function of (split, seed, index) alone: a counter-based Philox generator is keyed by
the SHA-256 of these, so clips can be made in any order, on any worker, and no two splits ever draw
from one key. The ranges were chosen so that classes overlap in
pitch, level and length.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError, nearest
from niah.needles.synthetic import noisy, struck, tonal, voices
from niah.needles.synthetic.signals import (
    SAMPLE_RATE,
    Rng,
    Samples,
    fade,
    log_uniform,
    shaped,
    white_spectrum,
)

CLIP_S = 10.0
CLIP_SAMPLES = int(CLIP_S * SAMPLE_RATE)
SPLITS = ("train", "validation", "evaluation", "comparison")
RECIPE = "niah-synthetic-v1"  # part of every key: a change to any sound changes this
EVENT_DBFS = (-28.0, -8.0)  # of an event's loudest 50 ms
BACKGROUND_DBFS = (-62.0, -42.0)
LOUDEST_S = 0.05
LABELS_FILE = Path(__file__).with_name("labels.npz")
STEP = SAMPLE_RATE // 100  # durations are whole hundredths, so that FFT lengths have small factors


@dataclass(frozen=True)
class EventClass:
    """One class of sound and how long its events last (seconds, drawn log-uniformly).

    A struck sound starts at its attack: only its end is faded noticeably.
    """

    id: str
    name: str
    make: Callable[[Rng, int], Samples]
    shortest_s: float
    longest_s: float
    struck: bool = False


CLASSES = (
    EventClass("syn/tone", "Pure tone", tonal.pure_tone, 0.5, 5.0),
    EventClass("syn/horn", "Horn", tonal.horn, 0.5, 4.0),
    EventClass("syn/chirp-up", "Rising chirp", tonal.chirp_up, 0.5, 3.0),
    EventClass("syn/chirp-down", "Falling chirp", tonal.chirp_down, 0.5, 3.0),
    EventClass("syn/siren", "Siren", tonal.siren, 2.5, 6.0),
    EventClass("syn/trill", "Trill", tonal.trill, 0.5, 4.0),
    EventClass("syn/buzz", "Buzz", tonal.buzz, 0.5, 5.0),
    EventClass("syn/whistle", "Whistle", tonal.whistle, 0.8, 4.0),
    EventClass("syn/alarm", "Alarm", tonal.alarm, 1.0, 5.0),
    EventClass("syn/clicks", "Clicks", struck.clicks, 1.0, 5.0, True),
    EventClass("syn/knocks", "Knocks", struck.knocks, 0.6, 3.0, True),
    EventClass("syn/bell", "Bell", struck.bell, 1.0, 5.0, True),
    EventClass("syn/pluck", "Plucked string", struck.pluck, 0.6, 5.0, True),
    EventClass("syn/drum", "Drum", struck.drum, 0.6, 4.0, True),
    EventClass("syn/burst", "Noise burst", struck.noise_burst, 0.3, 3.0, True),
    EventClass("syn/engine", "Engine", struck.engine, 1.0, 6.0),
    EventClass("syn/hiss", "Hiss", noisy.hiss, 0.5, 6.0),
    EventClass("syn/rumble", "Rumble", noisy.rumble, 1.0, 6.0),
    EventClass("syn/rain", "Rain", noisy.rain, 1.0, 6.0),
    EventClass("syn/crackle", "Crackle", noisy.crackle, 1.0, 6.0),
    EventClass("syn/wind", "Wind", noisy.wind, 1.5, 6.0),
    EventClass("syn/bird", "Bird", voices.bird, 0.6, 4.0),
    EventClass("syn/bark", "Bark", voices.bark, 0.4, 3.0, True),
    EventClass("syn/voice", "Voice", voices.voice, 0.8, 5.0),
    EventClass("syn/cricket", "Cricket", voices.cricket, 1.0, 5.0),
)


def clip_id(split: str, index: int, seed: int = 0) -> str:
    """Return a clip's name in records, from which its generator's key is hashed.

    Args:
        split: "train", "validation", "evaluation" or "comparison".
        index: 0, 1, ..
        seed: of the whole set.
    """
    return f"{RECIPE}/{split}/{seed}/{index}"


def _generator(split: str, index: int, seed: int) -> Rng:
    """Philox keyed by the first 128 bits of the SHA-256 of the clip's id."""
    if split not in SPLITS:
        raise NiahError(f"synthetic split '{split}' is unknown.{nearest(split, SPLITS)}")
    if index < 0:
        raise NiahError(f"synthetic clip index must be 0 or more but {index} was given")
    digest = hashlib.sha256(clip_id(split, index, seed).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _amplitude(dbfs: float) -> float:
    return float(10 ** (dbfs / 20))


def event(kind: EventClass, rng: Rng) -> Samples:
    """Make one event, faded, with its loudest 50 ms at an RMS of 1.

    Args:
        kind: the sound class.
        rng: all randomness.

    Returns:
        (n,) samples.
    """
    shortest, longest = kind.shortest_s, kind.longest_s
    n = max(1, round(log_uniform(rng, shortest, longest) * SAMPLE_RATE / STEP)) * STEP
    attack_s = 0.0005 if kind.struck else log_uniform(rng, 0.002, 0.1)
    x = fade(kind.make(rng, n), attack_s, log_uniform(rng, 0.02, 0.3))
    power = (x * x).reshape(-1, STEP).mean(axis=1)
    window = max(1, min(len(power), int(LOUDEST_S * SAMPLE_RATE) // STEP))
    loudest = np.convolve(power, np.full(window, 1 / window), "valid").max()
    return np.asarray(x / np.sqrt(max(float(loudest), 1e-20)), np.float64)


@dataclass(frozen=True)
class _Background:
    """The draws of a clip's background, apart from its making: `labels` needs them only passed."""

    corner_hz: float
    slope: float
    spectrum: NDArray[np.complex64]
    dbfs: float

    @classmethod
    def draw(cls, rng: Rng) -> "_Background":
        corner, slope = log_uniform(rng, 50, 400), rng.uniform(0, 1)
        return cls(corner, slope, white_spectrum(rng, CLIP_SAMPLES), rng.uniform(*BACKGROUND_DBFS))

    def samples(self) -> Samples:
        """Noise (160000,) whose spectrum falls by 0 to 6 dB an octave above 50 to 400 Hz."""
        grid = np.concatenate(([0.0], np.geomspace(10, SAMPLE_RATE / 2, 500)))
        gains = (1 + (grid / self.corner_hz) ** 2) ** (-self.slope / 2)
        # from a grid, because pow() of every bin costs more than the FFT
        noise = shaped(self.spectrum, CLIP_SAMPLES, lambda f: np.interp(f, grid, gains))
        return noise * (_amplitude(self.dbfs) / float(np.std(noise)))


def _draw(rng: Rng) -> tuple[_Background, list[EventClass]]:
    """The parts of a clip: its background, and one to three distinct classes in mixing order."""
    noise = _Background.draw(rng)
    chosen = rng.choice(len(CLASSES), size=int(rng.integers(1, 4)), replace=False)
    return noise, [CLASSES[int(which)] for which in chosen]


def _label_ids(chosen: list[EventClass]) -> tuple[str, ...]:
    picked = {kind.id for kind in chosen}
    return tuple(kind.id for kind in CLASSES if kind.id in picked)


@lru_cache(maxsize=20_000)
def labels(split: str, index: int, seed: int = 0) -> tuple[str, ...]:
    """Return the label ids of `clip`, in class order, without making the sound.

    Args:
        split: as in `clip_id`.
        index: as in `clip_id`.
        seed: as in `clip_id`.
    """
    stored = _stored_labels(split) if seed == 0 else ()
    if 0 <= index < len(stored):
        return tuple(kind.id for bit, kind in enumerate(CLASSES) if stored[index] >> bit & 1)
    return drawn_labels(split, index, seed)


def drawn_labels(split: str, index: int, seed: int = 0) -> tuple[str, ...]:
    """Draw what `labels` returns: 1 to 2 ms a clip, mostly its background's draws.

    Args:
        split: as in `clip_id`.
        index: as in `clip_id`.
        seed: as in `clip_id`.
    """
    return _label_ids(_draw(_generator(split, index, seed))[1])


@lru_cache
def _stored_labels(split: str) -> tuple[int, ...]:
    """Return the classes of a split's first clips, bit c for class c: `scripts/synthetic_labels.py` drew them."""
    with np.load(LABELS_FILE) as stored:
        name = f"{RECIPE}/{split}"
        return tuple(stored[name].tolist()) if name in stored else ()


def clip(
    split: str, index: int, seed: int = 0, sample_rate: int = SAMPLE_RATE
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Make a clip of a split.

    Made at 16 kHz; another sample rate is resampled from that (soxr HQ). Equal on every machine up to the last bits of
    sin, exp and the FFT.

    Args:
        split: "train", "validation", "evaluation" or "comparison".
        index: 0, 1, ..
        seed: of the whole set.
        sample_rate: Hz.

    Returns:
        (10 s,) float32 samples, |x| < 1, and the label ids in class order.

    Raises:
        NiahError: an unknown split or a negative index.
    """
    mix, chosen, _ = _made(split, index, seed)
    if sample_rate == SAMPLE_RATE:
        return mix.astype(np.float32), _label_ids(chosen)
    import soxr

    resampled = soxr.resample(mix, SAMPLE_RATE, sample_rate, "HQ")
    return resampled.astype(np.float32), _label_ids(chosen)


def sounds(split: str, index: int, seed: int = 0) -> tuple[tuple[str, float, float], ...]:
    """Return when each event of a clip sounds: (label id, onset, offset) in seconds of the clip, in class order.

    Args:
        split: as in `clip`.
        index: as in `clip`.
        seed: as in `clip`.

    Raises:
        NiahError: an unknown split or a negative index.
    """
    _, chosen, places = _made(split, index, seed)
    times = {
        kind.id: (first / SAMPLE_RATE, last / SAMPLE_RATE)
        for kind, (first, last) in zip(chosen, places, strict=True)
    }
    return tuple((id_, *times[id_]) for id_ in _label_ids(chosen))


def _made(
    split: str, index: int, seed: int
) -> tuple[Samples, list[EventClass], list[tuple[int, int]]]:
    """A clip at 16 kHz, its classes, and the first and last sample of each one's event."""
    rng = _generator(split, index, seed)
    noise, chosen = _draw(rng)
    mix, places = noise.samples(), []
    for kind in chosen:
        sound = event(kind, rng) * _amplitude(rng.uniform(*EVENT_DBFS))
        onset = int(rng.integers(0, CLIP_SAMPLES - len(sound) + 1))
        mix[onset : onset + len(sound)] += sound
        places.append((onset, onset + len(sound)))
    mix *= min(1.0, 0.99 / float(np.abs(mix).max()))
    return mix, chosen, places
