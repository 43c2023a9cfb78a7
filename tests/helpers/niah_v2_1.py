"""niah-v2.1 written out slowly: waveforms in numpy, then the textbook filter bank; nothing of `niah` is imported.

It follows docs/protocols.md rule by rule. `python -m tests.helpers.niah_v2_1` (from the repository's root) prints the
test vectors of tests/golden/niah-v2.1.json.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
RATE, HOP, WINDOW, NEEDLE_FRAMES, BANK_HOPS = 16000, 160, 400, 1024, 1 << 18


def keyed(*parts: object, block: int = 0) -> np.random.Generator:
    """Rule 3: Philox4x64-10, its key the first 16 bytes of SHA-256 of the parts, its last counter word the block."""
    text = "\x1f".join(str(part) for part in parts).encode()
    key = np.frombuffer(hashlib.sha256(text).digest()[:16], dtype="<u8").astype(np.uint64)
    counter = np.array([0, 0, 0, block], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def gaussian(seed: int, start: int, count: int) -> NDArray[np.float32]:
    """Rule 4: sample i is number i mod 65536 of block i // 65536."""
    blocks = range(start // 65536, (start + count) // 65536 + 1)
    drawn = [
        keyed("niah-gaussian-1", seed, "gaussian", block=block).standard_normal(65536, np.float32)
        for block in blocks
    ]
    return np.concatenate(drawn)[start - 65536 * blocks[0] :][:count]


def room(period: int) -> int:
    """Rule 5: the hops of a recording of `period` samples at which a segment may begin."""
    repeats = math.lcm(period, HOP) // HOP
    if repeats < 1024:
        repeats *= 1024 // repeats
    most = max(BANK_HOPS, min(period // HOP, 1 << 20))
    return repeats if repeats <= most else most - 4000


def segments(rng: np.random.Generator, room: int, count: int) -> list[tuple[int, int]]:
    """Rule 5: first sample and number of samples of each segment of `count` samples or more."""
    lengths = [int(rng.integers(1, 4001))]
    while HOP * sum(lengths) < count:
        lengths.append(4000)
    offsets = rng.integers(room, size=len(lengths)).tolist()
    return [(HOP * at, HOP * length) for at, length in zip(offsets, lengths, strict=True)]


def stream(seed: int, clip_id: str, count: int) -> Samples:
    """Rule 5: `count` samples of a clip's Gaussian noise, segment after segment."""
    rng = keyed("niah-patchwork-1", seed, "gaussian", clip_id)
    parts = [gaussian(seed, *segment) for segment in segments(rng, BANK_HOPS - 4000, count)]
    return np.concatenate(parts)[:count].astype(np.float64)


def recorded(sound: Samples, name: str, seed: int, clip_id: str, count: int) -> Samples:
    """Rules 4 and 5: `count` samples of a clip's noise from a recording that is repeated without end."""
    rng = keyed("niah-patchwork-1", seed, name, clip_id)
    parts = [
        sound[(first + np.arange(length)) % len(sound)]
        for first, length in segments(rng, room(len(sound)), count)
    ]
    return np.concatenate(parts)[:count]


def active_rms(clip: Samples) -> float:
    """Rule 7: mean square over 100 ms frames within 30 dB of the loudest; the last one takes the rest."""
    clip = clip - clip.mean()
    edges = [1600 * k for k in range(max(1, len(clip) // 1600))] + [len(clip)]
    frames = [clip[low:high] for low, high in pairwise(edges)]
    loudest = max(float(np.mean(frame**2)) for frame in frames)
    active = [frame for frame in frames if np.mean(frame**2) >= loudest / 1000]
    return float(np.sqrt(np.mean(np.concatenate(active) ** 2)))


def log_mel(wave: Samples) -> NDArray[np.float64]:
    """AST's front end: whole frames, normalised."""
    hertz = np.arange(257) * RATE / 512
    mel = 1127 * np.log(1 + hertz / 700)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700), 130)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    energies = np.abs(np.fft.rfft(frames * hann, 512)) ** 2 @ weights
    features: Samples = (np.log(np.maximum(energies, 2.0**-23)) + 4.2677393) / (2 * 4.5689974)
    return features


@dataclass(frozen=True)
class SlowScene:
    """One scene, and the numbers on the way to it."""

    start: int
    noise_gain: float
    needle_gain: float
    noise: Samples
    needle: Samples
    waveform: Samples

    @property
    def features(self) -> NDArray[np.float64]:
        """(frames, 128) of the whole waveform."""
        return log_mel(self.waveform)


def scene(
    clip: Samples, clip_id: str, *, frames: int, position: float, snr_db: float, seed: int = 0
) -> SlowScene:
    """Rules 2 to 9 for level mix, Gaussian noise and AST's front end."""
    samples = HOP * (frames - 1) + WINDOW
    start = round(position * (frames - NEEDLE_FRAMES))
    whole = gaussian(seed, 0, 120 * RATE).astype(np.float64)
    noise_gain = 10 ** (-30 / 20) / float(np.sqrt(np.mean(whole**2)))
    hidden = (clip - clip.mean())[: HOP * NEEDLE_FRAMES]
    needle_gain = 10 ** ((-30 + snr_db) / 20) / active_rms(hidden)
    noise = noise_gain * stream(seed, clip_id, samples)
    needle = np.zeros(samples)
    needle[HOP * start : HOP * start + len(hidden)] = needle_gain * hidden
    return SlowScene(start, noise_gain, needle_gain, noise, needle, noise + needle)


def clip_of(case: dict[str, Any]) -> Samples:
    """A made clip: a chirp of a second with a burst's envelope, a faint tail, nothing for the rest; float32 values."""
    t = np.arange(round(RATE * case["clip_s"])) / RATE
    chirp = 0.3 * np.sin(2 * np.pi * (400 + 500 * t) * t) * np.exp(-((t - 0.7) ** 2) / 0.08)
    tail = 0.002 * np.sin(2 * np.pi * 150 * t) * (t < case["clip_s"] / 2)
    whole: Samples = (chirp + tail + case["offset"]).astype(np.float32).astype(np.float64)
    return whole


CASES: tuple[dict[str, Any], ...] = (
    {"id": "in-noise", "clip_s": 10.0, "offset": 0.0, "frames": 1024, "position": 0.0},
    {"id": "short-clip", "clip_s": 2.5, "offset": 0.05, "frames": 2000, "position": 0.25},
    {"id": "long-clip", "clip_s": 12.0, "offset": 0.0, "frames": 4800, "position": 0.5},
)
SNRS_DB = {"in-noise": 0.0, "short-clip": 10.0, "long-clip": -5.0}


def slow_case(case: dict[str, Any]) -> SlowScene:
    """Build a case's scene."""
    return scene(
        clip_of(case),
        case["id"],
        frames=case["frames"],
        position=case["position"],
        snr_db=SNRS_DB[case["id"]],
    )


def vector_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return a case's test vector: gains, the start frame, samples, and features of some frames and mels."""
    made = slow_case(case)
    features = made.features
    rows = sorted({0, max(0, made.start - 1), made.start, made.start + 60, case["frames"] - 1})
    return {
        **case,
        "snr_db": SNRS_DB[case["id"]],
        "start": made.start,
        "noise_gain": made.noise_gain,
        "needle_gain": made.needle_gain,
        "noise": [round(float(x), 9) for x in made.noise[:6]],
        "rows": rows,
        "features": [[round(float(x), 5) for x in features[row, ::16]] for row in rows],
        "mean": round(float(features.mean()), 6),
    }


if __name__ == "__main__":
    vectors = ",\n".join(json.dumps(vector_of(case)) for case in CASES)
    print(f'{{"cases": [\n{vectors}\n]}}')
