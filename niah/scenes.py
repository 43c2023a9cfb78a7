"""Scenes: a needle's features spliced into a haystack's, `length_s` seconds long.

A scene is a pure function of (front end, protocol, haystack, seed, needle, clip id, length,
position, SNR,
level): the same bits whatever was built before, in any order, batch or worker. Since mel energies
scale with the square of a gain, no filter bank runs for a scene: rows of a `NoiseBank` are shifted
(DESIGN section 5).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.audio import rms
from niah.clip_noise import ClipNoise, Loudness, Noise
from niah.errors import NiahError, nearest
from niah.features import EPS, KaldiFrontend
from niah.haystacks import Haystack
from niah.placement import check_protocol, start_frame, total_frames

Level = Literal["surround", "mix"]
LEVELS = ("surround", "mix")

REFERENCE_RMS = 0.1
"""Level of a scene without a needle that names none to take it from: -20 dB of full scale."""


@dataclass(frozen=True)
class NeedleFeatures:
    """A clip as scenes take it.

    `features` (needle_frames, mels) float32 normalised, zero-padded before normalisation or cut;
    `rms` of the whole waveform before its mean was removed; its `samples`; its `frames` before
    padding. `waveform` (samples of needle_frames,) float32, less its mean, is kept for the level
    "mix" only.
    """

    features: Tensor
    rms: float
    samples: int
    frames: int
    waveform: NDArray[np.float32] | None = None


class SceneBuilder:
    """Builds needles and scenes for one front end, protocol, haystack, seed and level.

    Level "surround" leaves the needle untouched: the SNR sets what is around it. "mix" (`niah-v2`)
    lays the noise under the needle as well. The haystack's energies are computed once, on first
    use, and kept.

    Raises:
        NiahError: unknown protocol or level, "mix" without noise or under `dass-v1`, or `silence`
            under `dass-v1`.
    """

    def __init__(
        self,
        frontend: KaldiFrontend,
        protocol: str,
        haystack: Haystack,
        seed: int = 0,
        level: Level = "surround",
    ) -> None:
        _check_combination(protocol, haystack, level)
        self.frontend = frontend
        self.protocol = protocol
        self.haystack = haystack
        self.seed = seed
        self.level = level
        self._noise = ClipNoise(haystack, frontend, protocol, seed) if haystack.needs_snr else None

    @property
    def fingerprint(self) -> str:
        """What determines the scenes beside the clip, length, position and SNR; for cell keys."""
        parts = (self.frontend.fingerprint, self.protocol, self.haystack.fingerprint, self.level)
        return "-".join((*parts, str(self.seed)))

    def needle(self, waveform: NDArray[np.float32]) -> NeedleFeatures:
        """Features of a clip, (samples,) mono float32 at the front end's rate.

        The waveform less its mean goes through the filter bank; frames past `needle_frames` are
        cut, missing ones are raw zeros before normalisation (+0.467 after it), as in AST's and
        DASS's loaders.

        Raises:
            NiahError: shorter than one frame (25 ms).
        """
        frontend = self.frontend
        frames, wanted = frontend.frames(len(waveform)), frontend.needle_frames
        if frames == 0:
            least_ms = 1000 * frontend.frame_length / frontend.sample_rate
            raise NiahError(
                f"needle of {len(waveform)} samples: shorter than a frame ({least_ms:g} ms)"
            )
        mean = waveform.mean(dtype=np.float64)
        centred = (waveform[: frontend.samples(wanted)] - mean).astype(np.float32)
        log_mel = frontend.log_mel(frontend.energies(torch.from_numpy(centred)[None]))[0]
        padded = torch.nn.functional.pad(log_mel, (0, 0, 0, wanted - len(log_mel)))
        kept = None
        if self.level == "mix":
            kept = np.pad(centred, (0, frontend.samples(wanted) - len(centred)))
        features = frontend.normalise(padded)
        return NeedleFeatures(features, rms(waveform), len(waveform), frames, kept)

    def scene(
        self,
        needle: NeedleFeatures | None,
        clip_id: str,
        *,
        length_s: float,
        position: float,
        snr_db: float | None = None,
        sham: bool = False,
        like: NeedleFeatures | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Normalised features of one scene, (frames, mels) float32.

        Args:
            needle: what to hide; None for a control without one: the haystack goes on through its
                place.
            clip_id: picks the noise of this clip.
            length_s: seconds in all; 10 is the needle alone.
            position: in [0, 1]; see `placement.start_frame`.
            snr_db: needle over noise, in dB; only for haystacks of noise.
            sham: (without a needle) the needle's place holds another stretch of the haystack, at
                the same two seams: what does splicing alone do?
            like: (without a needle) the needle whose level and duration the control takes, so that
                it is the same scene but for the needle; else a 10 s clip of rms 0.1.
            out: (frames, mels) float32 CPU tensor to write into and return.

        Raises:
            NiahError: length, position or SNR that make no scene, or `out` of another shape.
        """
        frontend = self.frontend
        total = total_frames(length_s, frontend.needle_frames)
        start = start_frame(total, frontend.needle_frames, position, self.protocol)
        if sham and needle is not None:
            raise NiahError("a sham scene has no needle: give needle=None")
        out = self._target(out, total)
        if needle is not None and self._is_alone(total, snr_db):
            return out.copy_(needle.features)
        room, after = slice(start, start + frontend.needle_frames), start + frontend.needle_frames
        noise = self.noise(needle, clip_id, total=total, snr_db=snr_db, like=like)
        if needle is None and not sham:
            self._fill(out, noise, 0)
            return out
        self._fill(out[:start], noise, 0)
        # under "mix" the noise goes on beneath the needle, else it is cut open there
        self._fill(out[after:], noise, after if self.level == "mix" else start)
        if needle is not None:
            out[room] = needle.features if noise is None else self._mixed(needle, noise, start)
        elif noise is None or self._noise is None:
            self._fill(out[room], noise, 0)
        else:
            self._fill(out[room], self._noise.elsewhere(noise, clip_id, frontend.needle_frames), 0)
        return out

    def noise(
        self,
        needle: NeedleFeatures | None,
        clip_id: str,
        *,
        total: int,
        snr_db: float | None,
        like: NeedleFeatures | None = None,
    ) -> Noise | None:
        """Course and gain of a clip's noise in a scene of `total` frames; None for constants.

        The level is measured over the haystack's frames ("mix": over all); a control without a
        needle keeps the level of the scene with one.
        """
        if self._noise is None:
            return None
        around = total - self.frontend.needle_frames
        measured = total if self.level == "mix" or around == 0 else around
        heard = measured if needle is not None else total
        loudness = self._loudness(needle or like)
        return self._noise.pick(loudness, clip_id, snr_db, frames=heard, measured=measured)

    def noise_samples(self, noise: Noise, first_hop: int, count: int) -> NDArray[np.float32]:
        """`count` scaled samples of a clip's noise, from its hop `first_hop` on."""
        if self._noise is None:
            raise NiahError(f"haystack '{self.haystack.name}' makes no sound")
        return self._noise.samples(noise, first_hop, count)

    def _is_alone(self, total: int, snr_db: float | None) -> bool:
        """10 s is the needle alone, unless noise is to go under it."""
        return total == self.frontend.needle_frames and (self.level != "mix" or snr_db is None)

    def _loudness(self, needle: NeedleFeatures | None) -> Loudness:
        if needle is not None:
            return Loudness(needle.rms, needle.samples, needle.frames)
        samples = 10 * self.frontend.sample_rate
        return Loudness(REFERENCE_RMS, samples, self.frontend.frames(samples))

    def _target(self, out: Tensor | None, total: int) -> Tensor:
        shape = (total, self.frontend.mels)
        if out is None:
            return torch.empty(shape, dtype=torch.float32)
        if out.shape != shape or out.dtype != torch.float32 or out.device.type != "cpu":
            told = f"{out.dtype} {out.device} {tuple(out.shape)}"
            raise NiahError(f"out must be a float32 CPU tensor of shape {shape}, got {told}")
        return out

    def _fill(self, rows: Tensor, noise: Noise | None, first: int) -> None:
        """Write haystack frames, from the noise's frame `first` on."""
        if noise is not None and self._noise is not None:
            self._noise.fill(rows, noise, first)
        elif self.haystack.fill == "zero":
            rows.zero_()
        else:
            rows.fill_((math.log(EPS) - self.frontend.mean) / (2 * self.frontend.std))

    def _mixed(self, needle: NeedleFeatures, noise: Noise, start: int) -> Tensor:
        """The needle's frames: untouched, or ("mix") of its waveform plus the noise beneath it."""
        if self.level == "surround":
            return needle.features
        if needle.waveform is None:
            raise NiahError("level 'mix' needs a needle made by a builder of that level")
        mixed = needle.waveform + self.noise_samples(noise, start, len(needle.waveform))
        frontend = self.frontend
        energies = frontend.energies(torch.from_numpy(mixed)[None])[0]
        return frontend.normalise(frontend.log_mel(energies))


def _check_combination(protocol: str, haystack: Haystack, level: str) -> None:
    check_protocol(protocol)
    if level not in LEVELS:
        raise NiahError(f"level {level!r}: unknown.{nearest(level, LEVELS)}")
    if protocol == "dass-v1" and haystack.fill == "silence":
        raise NiahError(
            "haystack 'silence' is not part of dass-v1: add --protocol niah-v2, or use zero"
        )
    if level == "mix" and protocol == "dass-v1":
        raise NiahError("level 'mix' is not part of dass-v1: add --protocol niah-v2")
    if level == "mix" and not haystack.needs_snr:
        raise NiahError(f"level 'mix' needs noise to mix in; haystack '{haystack.name}' is none")
