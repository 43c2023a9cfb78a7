"""The noise of one clip's scenes: its segments of the bank and its gain, as features or as samples.

Gain g of the noise (rms in full scale; docs/protocols.md):

    dass-v1, niah-v2    g = rms(needle) / 10^(snr_db / 20) / rms(noise of this scene)
    niah-v2.1           g = 10^(-30 / 20) / rms(haystack), the same for all clips, lengths and SNRs

The first takes the needle's rms over its whole waveform before its mean is removed, and the noise's over the scene:
`dass-v1` over int(r * frames) + 1 samples, r = samples / frames of the needle before padding (the official
`dataloader_niah.py`), `niah-v2` over the hops of its frames.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.waveform import is_waveform
from niah.haystacks.energy_bank import NoiseBank
from niah.haystacks.haystack import Haystack
from niah.haystacks.segments import NoisePath, from_the_start, official_hops, patchwork
from niah.haystacks.sound_bank import SampleBank, SoundBank
from niah.system.bounded_store import BoundedStore

HAYSTACK_DBFS = -30.0
"""Rms of every haystack under niah-v2.1, in dB of full scale 1.

At the usual SNR of 10 dB a needle's active part then lies at -20 dB, the median of real clips (811 of ESC-50: -20.4 dB,
10th and 90th percentile -35.5 and -13.0).
"""

SEAMS_BYTES = 1 << 25  # of frames across seams: a kilobyte a seam, one each 40 s


@dataclass(frozen=True)
class Loudness:
    """A needle's rms over its whole waveform, and its samples and frames before padding."""

    rms: float
    samples: int
    frames: int


@dataclass(frozen=True)
class Noise:
    """A path through the bank, at a gain."""

    path: NoisePath
    gain: float


class ClipNoise:
    """Choose, measure and render the noise of each clip, from one bank of a haystack."""

    def __init__(self, haystack: Haystack, frontend: Frontend, protocol: str, seed: int) -> None:
        self._key = (seed, haystack.name)
        self._name = haystack.name
        self._frontend = frontend
        self._as_released = protocol == "dass-v1"
        self._from_start = self._as_released and haystack.tiled
        self._whole_seams = protocol == "niah-v2.1"
        sound = haystack.sound(frontend.sample_rate)
        bank = SampleBank if is_waveform(frontend) else NoiseBank
        self._bank: SoundBank = bank(sound, frontend, exact=self._from_start)
        self.overlap = -(-frontend.frame_length // frontend.frame_shift) - 1
        """Frames before a hop whose windows reach into it."""
        self._seams = BoundedStore[Tensor](SEAMS_BYTES)

    def at_snr(
        self, needle: Loudness, clip_id: str, snr_db: float | None, *, frames: int, measured: int
    ) -> Noise:
        """Return noise of `frames` frames for a clip, `snr_db` below the needle over its first `measured` frames.

        Args:
            needle: level and size of the needle.
            clip_id: picks the clip's part of the haystack.
            snr_db: needle over noise, in dB.
            frames: length of the noise.
            measured: leading frames over which the noise's rms is taken.

        Raises:
            NiahError: no finite SNR, or the noise is silent there.
        """
        self.check_snr(snr_db)
        assert snr_db is not None
        n_samples = self._measured_samples(measured, needle)
        *_, (hop, hops) = self._hops(0, frames)
        shift = self._frontend.frame_shift
        path = self._path(clip_id, max(hop + hops, -(-n_samples // shift)))
        noise_rms = self._rms(path, n_samples)
        if noise_rms == 0:
            raise NiahError(
                f"haystack '{self._name}' is silent where clip {clip_id} hears it:"
                " no gain gives an SNR"
            )
        return Noise(path, needle.rms / 10 ** (snr_db / 20) / noise_rms)

    def at_fixed_level(self, clip_id: str, frames: int) -> Noise:
        """Return noise of `frames` frames for a clip, the haystack as a whole at `HAYSTACK_DBFS`.

        Args:
            clip_id: picks the clip's part of the haystack.
            frames: length of the noise.

        Raises:
            NiahError: the haystack is silent.
        """
        if self._bank.rms == 0:
            raise NiahError(f"haystack '{self._name}' is silent: no gain gives it a level")
        gain = 10 ** (HAYSTACK_DBFS / 20) / self._bank.rms
        return Noise(self._path(clip_id, frames + self.overlap), gain)

    def elsewhere(self, noise: Noise, clip_id: str, frames: int) -> Noise:
        """Return another part of the same haystack, at the same gain.

        Args:
            noise: the noise whose gain is taken.
            clip_id: picks the clip's part of the haystack.
            frames: length of the new part.
        """
        path = patchwork(self._bank, frames + self.overlap, *self._key, clip_id, "sham")
        return Noise(path, noise.gain)

    def check_snr(self, snr_db: float | None) -> None:
        """Refuse an SNR that is missing or no number.

        Raises:
            NiahError: it is.
        """
        if snr_db is None or not math.isfinite(snr_db):
            raise NiahError(f"haystack '{self._name}' needs an SNR in dB (--snr); got {snr_db}")

    def fill(self, rows: Tensor, noise: Noise, first: int) -> None:
        """Write normalised features of a noise.

        Where two segments of the bank meet, frames across the seam are those of one side, but under niah-v2.1 those of
        the sound.

        Args:
            rows: (frames, mels) float32 to write into.
            noise: path and gain.
            first: frame of the noise that goes into the first row.
        """
        written = 0
        for stream_hop, run in self._hops(first, len(rows)):
            for hop, hops in noise.path.pieces(stream_hop, run):
                self._bank.fill(rows[written : written + hops], hop, noise.gain)
                written += hops
        if self._whole_seams and self.overlap:
            self._fill_seams(rows, noise, first)

    def content(self, noise: Noise, first: int, count: int) -> str | None:
        """Name the features that `fill` writes: their place in the bank and the gain's bits; None across a seam.

        Args:
            noise: path and gain.
            first: frame of the noise.
            count: number of frames.
        """
        hops = [piece for part in self._hops(first, count) for piece in noise.path.pieces(*part)]
        if len(hops) != 1 or hops[0][1] != count:
            return None
        if self._whole_seams and noise.path.seams(first + 1, first + count + self.overlap):
            return None
        bank = self._bank
        return f"{bank.hops} {hops[0][0] % bank.hops} {noise.gain.hex()}"

    def samples(self, noise: Noise, first_hop: int, count: int) -> NDArray[np.float32]:
        """Return (count,) float32 scaled samples of a noise.

        Args:
            noise: path and gain.
            first_hop: hop of the noise to begin at.
            count: number of samples.
        """
        shift = self._frontend.frame_shift
        pieces = list(noise.path.pieces(first_hop, -(-count // shift)))
        parts = [self._bank.samples(hop, hops * shift) for hop, hops in pieces]
        missing = count - sum(len(part) for part in parts)
        if missing > 0:  # the path's last segment simply goes on
            hop, hops = pieces[-1]
            parts[-1] = self._bank.samples(hop, hops * shift + missing)
        return np.concatenate(parts)[:count] * np.float32(noise.gain)

    def _fill_seams(self, rows: Tensor, noise: Noise, first: int) -> None:
        """Compute the frames across each seam from the samples: always all of a seam's, so that blocks agree."""
        last = first + len(rows)
        for seam in noise.path.seams(first + 1, last + self.overlap):
            low = max(0, seam - self.overlap)
            begin, end = max(low, first), min(seam, last)
            across = self._across(noise, low, seam)
            rows[begin - first : end - first] = across[begin - low : end - low]

    def _across(self, noise: Noise, low: int, seam: int) -> Tensor:
        """Compute frames `low` to `seam`, once for all lengths and models: longer scenes have those of shorter ones."""
        frontend = self._frontend
        count = frontend.samples(seam - low)
        hops = tuple(noise.path.pieces(low, -(-count // frontend.frame_shift)))

        def made() -> Tensor:
            wave = self.samples(noise, low, count)
            energies = frontend.energies(torch.from_numpy(wave)[None])[0]
            return frontend.normalise(frontend.log_mel(energies))

        return self._seams.get_or_make((noise.gain, hops), made, lambda rows: rows.nbytes)

    def _path(self, clip_id: str, hops: int) -> NoisePath:
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

    def _rms(self, path: NoisePath, n_samples: int) -> float:
        """Exact rms of the path's first samples, from the bank's sums of squares."""
        shift, square, left = self._frontend.frame_shift, 0.0, n_samples
        for hop, hops in path.pieces(0, -(-n_samples // shift)):
            piece = min(left, hops * shift)
            square += self._bank.square_sum(hop, piece)
            left -= piece
        return math.sqrt(square / n_samples)
