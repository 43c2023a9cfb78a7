"""Scenes: a needle's features in a haystack's, `length_s` seconds long, for any front end.

A scene is a pure function of (front end, protocol, haystack, seed, needle, clip id, length, position, SNR, level): the
same bits in any order, batch or worker. Since mel energies scale with the square of a gain, no filter bank runs for the
haystack of a scene: rows of a `NoiseBank` are shifted. docs/protocols.md says what each protocol's scenes are.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.haystacks import Haystack
from niah.haystacks.clip_noise import HAYSTACK_DBFS, ClipNoise, Loudness, Noise
from niah.needles.features import NeedleFeatures, needle_features
from niah.placement import scene_frames, start_frame
from niah.scenes.lazy import Scene, Segment
from niah.scenes.levels import level_of, needs_waveforms
from niah.scenes.pieces import Piece, in_order, mixed, runs_of, spliced

__all__ = ["Piece", "SceneBuilder"]

REFERENCE_RMS = 0.1
"""Level of a needle-free scene of dass-v1 or niah-v2 without a needle to take it from: -20 dB of full scale."""


class SceneBuilder:
    """Build needles and scenes for one front end, protocol, haystack, seed and level.

    Level "surround" cuts the haystack open for the needle; "mix" lays the noise under it as well. The SNR sets the
    level of the noise (`dass-v1`, `niah-v2`) or of the needle (`niah-v2.1`, where the noise's is fixed). Constants have
    no SNR, and the needle its own level in them. The haystack's energies are computed once, on first use.

    Args:
        frontend: the model's front end.
        protocol: one of `niah.placement.PROTOCOLS`.
        haystack: what the needles are hidden in.
        seed: of the noise.
        level: "surround" or "mix"; None for the protocol's own.

    Raises:
        NiahError: unknown protocol or level, or a combination without a meaning (`niah.scenes.levels`).
    """

    def __init__(
        self,
        frontend: Frontend,
        protocol: str,
        haystack: Haystack,
        seed: int = 0,
        level: str | None = None,
    ) -> None:
        self.level = level_of(protocol, haystack, frontend, level)
        self.frontend = frontend
        self.protocol = protocol
        self.haystack = haystack
        self.seed = seed
        self._fixed_level = protocol == "niah-v2.1"
        self._noise = ClipNoise(haystack, frontend, protocol, seed) if haystack.needs_snr else None

    @property
    def fingerprint(self) -> str:
        """All that determines the scenes beside the clip, length, position and SNR; for cell keys."""
        parts = (self.frontend.fingerprint, self.protocol, self.haystack.fingerprint, self.level)
        return "-".join((*parts, str(self.seed)))

    def needle(self, waveform: NDArray[np.float32]) -> NeedleFeatures:
        """Compute the features of a clip as this builder's scenes take it (`needle_features`)."""
        keep = self.haystack.needs_snr and needs_waveforms(self.protocol, (self.level,))
        return needle_features(self.frontend, waveform, keep_waveform=keep)

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
        """Compute the normalised features of one scene.

        Args:
            needle: the clip to hide; None for a control without one, whose haystack goes on through its place.
            clip_id: picks the noise of this clip.
            length_s: seconds in all; 10 is the needle alone, or ("mix" with an SNR) the needle in noise.
            position: in [0, 1]; see `placement.start_frame`.
            snr_db: needle over noise, in dB; only for haystacks of noise.
            sham: (without a needle) the needle's place holds another part of the haystack, at the same two seams: the
                effect of splicing alone.
            like: (without a needle; `dass-v1` and `niah-v2`) the needle that sets the noise's level, so that the
                control is the same scene but for the needle; else a 10 s clip of rms 0.1.
            out: (frames, mels) float32 CPU tensor to write into and return.

        Returns:
            (frames, mels) float32.

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
        """Return the scene that `scene` computes, its rows rendered when they are read.

        Args:
            needle: the clip to hide; None for a control without one.
            clip_id: picks the noise of this clip.
            length_s: seconds in all.
            position: in [0, 1].
            snr_db: needle over noise, in dB; only for haystacks of noise.
            sham: (without a needle) splice another part of the haystack into the needle's place.
            like: (without a needle) the needle that sets the noise's level.

        Raises:
            NiahError: as `scene`.
        """
        frontend = self.frontend
        total = scene_frames(length_s, frontend.needle_frames)
        start = 0
        if needle is not None or sham:
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
        """Return a scene of several pieces of clips, its rows rendered when they are read.

        Under `niah-v2.1` each clip is scaled to the SNR; before it, the noise is scaled to the whole clip of the first
        piece, measured over the haystack's frames ("mix": over all). One piece of a whole clip is the plain scene.

        Args:
            pieces: parts of clips and their places in the scene.
            clip_id: picks the noise.
            length_s: seconds in all.
            snr_db: needle over noise, in dB; only for haystacks of noise.

        Raises:
            NiahError: length or SNR that make no scene, no piece, or pieces that overlap or stick out.
        """
        total = scene_frames(length_s, self.frontend.needle_frames)
        ordered = in_order(pieces, total)
        hidden = sum(piece.count for piece in ordered)
        noise = self.noise(pieces[0].needle, clip_id, total=total, snr_db=snr_db, hidden=hidden)
        mixing = self.level == "mix" and self._noise is not None
        head = self._noise.overlap if mixing and self._noise and self._fixed_level else 0
        frame = stream = 0
        segments = []
        for run in runs_of(ordered, head):
            segments.append(self._haystack(frame, run.start, noise, stream))
            stream += run.start - frame + (run.stop - run.start if mixing else 0)
            frame = run.stop
            gains = [self.needle_gain(piece.needle, snr_db) for piece in run.pieces]
            if mixing and noise is not None:
                under = self.frontend.samples(run.stop - run.start)
                sound = self.noise_samples(noise, run.start, under)
                whole = not self._fixed_level
                rows = mixed(self.frontend, run, sound, gains, whole_windows=whole)
            else:
                rows = spliced(self.frontend, run.pieces[0], gains[0])
            segments.append(Segment.of_rows(run.start, rows))
        segments.append(self._haystack(frame, total, noise, stream))
        return Scene(tuple(segments), self.frontend.mels)

    def part(
        self,
        needle: NeedleFeatures,
        first: int,
        clip_id: str,
        *,
        length_s: float,
        snr_db: float | None,
    ) -> Scene:
        """Return a scene shorter than the needle: `length_s` seconds of it, from its frame `first` on.

        As in the scene of 10 s, noise goes under it at level "mix" alone; else it is the needle as it is.

        Raises:
            NiahError: length or SNR that make no scene.
        """
        total = scene_frames(length_s, self.frontend.needle_frames)
        if self.level != "mix" or self._noise is None:
            return Scene.of_rows(needle.features[first : first + total])
        piece = Piece(needle, 0, first, total)
        return self.arranged([piece], clip_id, length_s=length_s, snr_db=snr_db)

    def needle_gain(self, needle: NeedleFeatures, snr_db: float | None) -> float:
        """Compute a clip's gain: 1, but in noise under `niah-v2.1`.

        There it brings the rms of the clip's active part (`niah.needles.active_part`) to `snr_db` above the haystack's
        -30 dB. Only the part that is hidden counts: its first 10.24 s for AST and DASS.

        Args:
            needle: the clip.
            snr_db: needle over noise, in dB.

        Raises:
            NiahError: no finite SNR, a needle without its waveform, or one that is silent.
        """
        if not self._fixed_level or self._noise is None:
            return 1.0
        self._noise.check_snr(snr_db)
        assert snr_db is not None
        frontend = self.frontend
        hidden = frontend.needle_frames * frontend.frame_shift - frontend.lead
        level = needle.active_level(hidden, frontend)
        if level == 0:
            raise NiahError("a needle that is silent where it is hidden has no SNR")
        return float(10 ** ((HAYSTACK_DBFS + snr_db) / 20) / level)

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
        """Return path and gain of a clip's noise in a scene of `total` frames; None for constants.

        `niah-v2.1` fixes the level. Before it, the SNR is measured over the haystack's frames, all but `hidden` ones
        (the needle's; "mix": over all); a control without a needle has the level of the scene with one.

        Args:
            needle: the clip, None in a control.
            clip_id: picks the noise.
            total: frames of the scene.
            snr_db: needle over noise, in dB.
            like: the needle that sets the level of a control's noise.
            hidden: frames that the needle takes from the noise.

        Raises:
            NiahError: no finite SNR, or noise that is silent there.
        """
        if self._noise is None:
            return None
        if self._fixed_level:
            return self._noise.at_fixed_level(clip_id, total)
        around = total - (self.frontend.needle_frames if hidden is None else hidden)
        measured = total if self.level == "mix" or around == 0 else around
        frames = measured if needle is not None else total
        loudness = self._loudness(needle or like)
        return self._noise.at_snr(loudness, clip_id, snr_db, frames=frames, measured=measured)

    def noise_samples(self, noise: Noise, first_hop: int, count: int) -> NDArray[np.float32]:
        """Return (count,) float32 scaled samples of a clip's noise, from its hop `first_hop` on.

        Args:
            noise: path and gain of a clip's noise.
            first_hop: first hop of the stream.
            count: number of samples.

        Raises:
            NiahError: the haystack is a constant.
        """
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
        return Segment(
            start,
            stop,
            lambda rows, first: self._fill(rows, noise, stream + first),
            lambda first, count: self._content(noise, stream + first, count),
        )

    def _content(self, noise: Noise | None, first: int, count: int) -> str | None:
        """Name haystack frames, from the noise's frame `first` on; None across a seam."""
        if noise is None or self._noise is None:
            return self.haystack.fill
        part = self._noise.content(noise, first, count)
        return None if part is None else f"{self.haystack.fingerprint} {part}"

    def _fill(self, rows: Tensor, noise: Noise | None, first: int) -> None:
        """Write haystack frames, from the noise's frame `first` on."""
        if noise is not None and self._noise is not None:
            self._noise.fill(rows, noise, first)
        elif self.haystack.fill == "zero":
            rows[:] = torch.tensor(self.frontend.zero_row)
        elif self.haystack.fill == "own":
            raise NiahError(
                f"haystack '{self.haystack.name}' is the needles' own recordings, which only `niah run` has"
            )
        else:
            rows.fill_(self.frontend.silence)
