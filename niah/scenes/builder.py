"""Scenes: a needle's features spliced into a haystack's, `length_s` seconds long, for any front end.

A scene is a pure function of (front end, protocol, haystack, seed, needle, clip id, length,
position, SNR, level): the same bits whatever was built before, in any order, batch or worker. Since mel energies
scale with the square of a gain, no filter bank runs for a scene: rows of a `NoiseBank` are shifted
(DESIGN section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError, nearest
from niah.frontends import Frontend
from niah.haystacks import Haystack
from niah.haystacks.clip_noise import ClipNoise, Loudness, Noise
from niah.needles.features import NeedleFeatures, needle_features
from niah.placement import check_protocol, start_frame, total_frames
from niah.scenes.lazy import Scene, Segment

Level = Literal["surround", "mix"]
LEVELS = ("surround", "mix")

REFERENCE_RMS = 0.1
"""Level of a scene without a needle that names none to take it from: -20 dB of full scale."""


@dataclass(frozen=True)
class Piece:
    """`count` frames of a clip from its frame `first` on, laid at the scene's frame `start`."""

    needle: NeedleFeatures
    start: int
    first: int
    count: int


class SceneBuilder:
    """Builds needles and scenes for one front end, protocol, haystack, seed and level.

    Level "surround" leaves the needle untouched: the SNR sets what is around it. "mix" (`niah-v2`)
    lays the noise under the needle as well. The haystack's energies are computed once, on first
    use, and kept.

    Raises:
        NiahError: unknown protocol or level, "mix" without noise or under `dass-v1`, or `silence`
            under `dass-v1`, or `zero` for a front end without a mean log-mel.
    """

    def __init__(
        self,
        frontend: Frontend,
        protocol: str,
        haystack: Haystack,
        seed: int = 0,
        level: Level = "surround",
    ) -> None:
        _check_combination(protocol, haystack, level, frontend)
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
        """Compute the features of a clip as this builder's scenes take it (`needle_features`)."""
        return needle_features(self.frontend, waveform, keep_waveform=self.level == "mix")

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
        scene = self.laid_out(
            needle,
            clip_id,
            length_s=length_s,
            position=position,
            snr_db=snr_db,
            sham=sham,
            like=like,
        )
        return scene.whole(out)

    def laid_out(
        self,
        needle: NeedleFeatures | None,
        clip_id: str,
        *,
        length_s: float,
        position: float,
        snr_db: float | None = None,
        sham: bool = False,
        like: NeedleFeatures | None = None,
    ) -> Scene:
        """`scene`, not yet in memory: its level is known and its rows are made when they are read."""
        frontend = self.frontend
        total = total_frames(length_s, frontend.needle_frames)
        start = start_frame(total, frontend.needle_frames, position, self.protocol)
        if sham and needle is not None:
            raise NiahError("a sham scene has no needle: give needle=None")
        if needle is not None and self._is_alone(total, snr_db):
            return Scene.of_rows(needle.features)
        if needle is not None:
            whole = Piece(needle, start, 0, frontend.needle_frames)
            return self.arranged([whole], clip_id, length_s=length_s, snr_db=snr_db)
        noise = self.noise(None, clip_id, total=total, snr_db=snr_db, like=like)
        if not sham:
            return Scene((self._haystack(0, total, noise, 0),), frontend.mels)
        after, within = start + frontend.needle_frames, noise
        if noise is not None and self._noise is not None:
            within = self._noise.elsewhere(noise, clip_id, frontend.needle_frames)
        # under "mix" the noise goes on beneath the needle, else it is cut open there
        stream = after if self.level == "mix" else start
        parts = (0, start, noise, 0), (start, after, within, 0), (after, total, noise, stream)
        return Scene(tuple(self._haystack(*part) for part in parts), frontend.mels)

    def arranged(
        self,
        pieces: Sequence[Piece],
        clip_id: str,
        *,
        length_s: float,
        snr_db: float | None = None,
    ) -> Scene:
        """A scene of several pieces of clips, its rows made when they are read.

        The noise is cut open at each piece ("mix": goes on beneath it). Its level is set by the whole clip of the first
        piece, measured over the haystack's frames ("mix": over all). One piece of a whole clip is the plain scene.

        Raises:
            NiahError: length or SNR that make no scene, no piece, or pieces that overlap or stick out.
        """
        total = total_frames(length_s, self.frontend.needle_frames)
        ordered = sorted(pieces, key=lambda piece: piece.start)
        edges = [0, *(edge for p in ordered for edge in (p.start, p.start + p.count)), total]
        if not ordered or edges != sorted(edges):
            raise NiahError(
                f"pieces must lie apart in a scene of {total} frames, got {edges[1:-1]}"
            )
        hidden = sum(piece.count for piece in ordered)
        noise = self.noise(pieces[0].needle, clip_id, total=total, snr_db=snr_db, hidden=hidden)
        frame = stream = 0
        stretches = []
        for piece in ordered:
            stretches.append(self._haystack(frame, piece.start, noise, stream))
            stream += piece.start - frame + (piece.count if self.level == "mix" else 0)
            frame = piece.start + piece.count
            stretches.append(Segment.of_rows(piece.start, self._laid(piece, noise)))
        stretches.append(self._haystack(frame, total, noise, stream))
        return Scene(tuple(stretches), self.frontend.mels)

    def noise(
        self,
        needle: NeedleFeatures | None,
        clip_id: str,
        *,
        total: int,
        snr_db: float | None,
        like: NeedleFeatures | None = None,
        hidden: int | None = None,
    ) -> Noise | None:
        """Course and gain of a clip's noise in a scene of `total` frames; None for constants.

        The level is measured over the haystack's frames, all but `hidden` ones (the needle's; "mix":
        over all); a control without a needle keeps the level of the scene with one.
        """
        if self._noise is None:
            return None
        around = total - (self.frontend.needle_frames if hidden is None else hidden)
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

    def _haystack(self, start: int, stop: int, noise: Noise | None, stream: int) -> Segment:
        """Scene frames `start` to `stop`, from the noise's frame `stream` on."""
        return Segment(start, stop, lambda rows, first: self._fill(rows, noise, stream + first))

    def _fill(self, rows: Tensor, noise: Noise | None, first: int) -> None:
        """Write haystack frames, from the noise's frame `first` on."""
        if noise is not None and self._noise is not None:
            self._noise.fill(rows, noise, first)
        elif self.haystack.fill == "zero":
            rows[:] = torch.tensor(self.frontend.zero_row)
        else:
            rows.fill_(self.frontend.silence)

    def _laid(self, piece: Piece, noise: Noise | None) -> Tensor:
        """A piece's frames: untouched, or ("mix") of its waveform plus the noise beneath it."""
        needle, frontend = piece.needle, self.frontend
        if self.level == "surround" or noise is None:
            return needle.features[piece.first : piece.first + piece.count]
        if needle.waveform is None:
            raise NiahError("level 'mix' needs a needle made by a builder of that level")
        begin = piece.first * frontend.frame_shift
        wave = needle.waveform[begin : begin + frontend.samples(piece.count)]
        mixed = wave + self.noise_samples(noise, piece.start, len(wave))
        energies = frontend.energies(torch.from_numpy(mixed)[None])[0]
        return frontend.normalise(frontend.log_mel(energies))


def _check_combination(protocol: str, haystack: Haystack, level: str, frontend: Frontend) -> None:
    check_protocol(protocol)
    if level not in LEVELS:
        raise NiahError(f"level {level!r}: unknown.{nearest(level, LEVELS)}")
    if haystack.fill == "zero" and not frontend.zero_row:
        raise NiahError(
            f"haystack '{haystack.name}' is the data set's mean log-mel, which this model's front end does not know: "
            "its adapter must give one (frontend.with_zero_row), or use silence with --protocol niah-v2"
        )
    if protocol == "dass-v1" and haystack.fill == "silence":
        raise NiahError(
            "haystack 'silence' is not part of dass-v1: add --protocol niah-v2, or use zero"
        )
    if level == "mix" and protocol == "dass-v1":
        raise NiahError("level 'mix' is not part of dass-v1: add --protocol niah-v2")
    if level == "mix" and not haystack.needs_snr:
        raise NiahError(f"level 'mix' needs noise to mix in; haystack '{haystack.name}' is none")
