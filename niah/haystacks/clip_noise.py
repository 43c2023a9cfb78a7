"""The noise that one clip hears: which stretches of the bank, how loud, as features or as samples.

The gain that sets the signal-to-noise ratio is (DESIGN section 4; DASS, `dataloader_niah.py`)

    g = rms(needle) / 10^(snr_db / 20) / rms(noise)

with the needle's rms over its whole waveform before its mean is removed, and the noise's over what
the clip hears. `dass-v1` hears int(r * frames) + 1 samples, r = samples / frames of the needle
before padding; `niah-v2` the hops of its frames.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.haystacks import Haystack
from niah.haystacks.energy_bank import NoiseBank
from niah.haystacks.segments import NoisePath, from_the_start, official_hops, patchwork


@dataclass(frozen=True)
class Loudness:
    """What the noise takes from a needle: its rms, and its samples and frames before padding."""

    rms: float
    samples: int
    frames: int


@dataclass(frozen=True)
class Noise:
    """A course through the bank, at a gain."""

    course: NoisePath
    gain: float


class ClipNoise:
    """Picks, measures and plays the noise of each clip, from one bank of a haystack's energies."""

    def __init__(self, haystack: Haystack, frontend: Frontend, protocol: str, seed: int) -> None:
        self._key = (seed, haystack.name)
        self._name = haystack.name
        self._frontend = frontend
        self._as_released = protocol == "dass-v1"
        self._from_start = self._as_released and haystack.tiled
        sound = haystack.sound(frontend.sample_rate)
        self._bank = NoiseBank(sound, frontend, exact=self._from_start)

    def pick(
        self, needle: Loudness, clip_id: str, snr_db: float | None, *, frames: int, measured: int
    ) -> Noise:
        """Noise of `frames` frames for a clip, `snr_db` below the needle over its first `measured`.

        Raises:
            NiahError: no finite SNR, or the stretch is silent.
        """
        if snr_db is None or not math.isfinite(snr_db):
            raise NiahError(f"haystack '{self._name}' needs an SNR in dB (--snr); got {snr_db}")
        n_samples = self._measured_samples(measured, needle)
        *_, (hop, hops) = self._hops(0, frames)
        shift = self._frontend.frame_shift
        course = self._course(clip_id, max(hop + hops, -(-n_samples // shift)))
        noise_rms = self._rms(course, n_samples)
        if noise_rms == 0:
            raise NiahError(
                f"haystack '{self._name}' is silent where clip {clip_id} hears it:"
                " no gain gives an SNR"
            )
        return Noise(course, needle.rms / 10 ** (snr_db / 20) / noise_rms)

    def elsewhere(self, noise: Noise, clip_id: str, frames: int) -> Noise:
        """Another stretch of the same haystack, at the same gain."""
        return Noise(patchwork(self._bank, frames, *self._key, clip_id, "sham"), noise.gain)

    def fill(self, rows: Tensor, noise: Noise, first: int) -> None:
        """Write normalised features from the noise's frame `first` on: rows (frames, mels)."""
        written = 0
        for stream_hop, run in self._hops(first, len(rows)):
            for hop, hops in noise.course.pieces(stream_hop, run):
                self._bank.fill(rows[written : written + hops], hop, noise.gain)
                written += hops

    def samples(self, noise: Noise, first_hop: int, count: int) -> NDArray[np.float32]:
        """`count` scaled samples of the noise from its hop `first_hop` on."""
        shift = self._frontend.frame_shift
        pieces = list(noise.course.pieces(first_hop, -(-count // shift)))
        parts = [self._bank.samples(hop, hops * shift) for hop, hops in pieces]
        missing = count - sum(len(part) for part in parts)
        if missing > 0:  # the last stretch of the course simply goes on
            hop, hops = pieces[-1]
            parts[-1] = self._bank.samples(hop, hops * shift + missing)
        return np.concatenate(parts)[:count] * np.float32(noise.gain)

    def _course(self, clip_id: str, hops: int) -> NoisePath:
        if self._from_start:
            return from_the_start(hops)
        return patchwork(self._bank, hops, *self._key, clip_id)

    def _measured_samples(self, frames: int, needle: Loudness) -> int:
        if self._as_released:
            return int(needle.samples / needle.frames * frames) + 1
        return frames * self._frontend.frame_shift

    def _hops(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Stream hops behind frames; the official blocks skip those across each edge (Kaldi: two)."""
        if self._as_released:
            frontend = self._frontend
            length, shift = frontend.frame_length, frontend.frame_shift
            return official_hops(first, count, length, shift, frontend.sample_rate)
        return iter([(first, count)])

    def _rms(self, course: NoisePath, n_samples: int) -> float:
        """Exact rms of the course's first samples, from the bank's sums of squares."""
        shift, square, left = self._frontend.frame_shift, 0.0, n_samples
        for hop, hops in course.pieces(0, -(-n_samples // shift)):
            piece = min(left, hops * shift)
            square += self._bank.square_sum(hop, piece)
            left -= piece
        return math.sqrt(square / n_samples)
