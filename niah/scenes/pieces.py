"""Pieces of clips in a scene: where they lie, and the rows of what is heard there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles.features import NeedleFeatures


@dataclass(frozen=True)
class Piece:
    """`count` frames of a clip from its frame `first` on, placed at the scene's frame `start`."""

    needle: NeedleFeatures
    start: int
    first: int
    count: int

    @property
    def stop(self) -> int:
        """The scene's first frame after the piece."""
        return self.start + self.count


def in_order(pieces: Sequence[Piece], total: int) -> list[Piece]:
    """Return the pieces in time order.

    Args:
        pieces: parts of clips.
        total: frames of the scene.

    Raises:
        NiahError: no piece, or pieces that overlap or stick out of a scene of `total` frames.
    """
    ordered = sorted(pieces, key=lambda piece: piece.start)
    edges = [0, *(edge for piece in ordered for edge in (piece.start, piece.stop)), total]
    if not ordered or edges != sorted(edges):
        raise NiahError(f"pieces must lie apart in a scene of {total} frames, got {edges[1:-1]}")
    return ordered


@dataclass(frozen=True)
class Run:
    """Frames `start` to `stop` of a scene whose windows reach into one of `pieces`."""

    start: int
    stop: int
    pieces: tuple[Piece, ...]


def runs_of(ordered: Sequence[Piece], head: int) -> list[Run]:
    """Return the runs of frames that reach into pieces, each piece with up to `head` frames before it.

    Args:
        ordered: pieces in time order.
        head: frames before a piece whose windows reach into it.
    """
    runs: list[Run] = []
    for piece in ordered:
        low = max(0, piece.start - head)
        if runs and low < runs[-1].stop:
            last = runs.pop()
            runs.append(Run(last.start, piece.stop, (*last.pieces, piece)))
        else:
            runs.append(Run(low, piece.stop, (piece,)))
    return runs


def spliced(frontend: Frontend, piece: Piece, gain: float) -> Tensor:
    """Return the features (count, mels) of a piece without noise, its clip's waveform times `gain`.

    Args:
        frontend: the model's front end.
        piece: part of a clip.
        gain: factor on the clip's waveform.
    """
    needle = piece.needle
    features = needle.features
    if gain != 1.0:
        under = frontend.samples(frontend.needle_frames) - frontend.lead
        clip = needle.mixable[frontend.lead :][: min(needle.samples, under)]
        features = frontend.needle(torch.from_numpy(clip * np.float32(gain)))
    return features[piece.first : piece.first + piece.count]


def mixed(
    frontend: Frontend,
    run: Run,
    noise: NDArray[np.float32],
    gains: Sequence[float],
    *,
    whole_windows: bool,
) -> Tensor:
    """Return the features (frames, mels) of a run: of the noise plus each piece times its gain.

    Args:
        frontend: the model's front end.
        run: the frames and the pieces in them.
        noise: (samples under the run's whole frames,) from the run's first frame on.
        gains: one a piece.
        whole_windows: (`niah-v2`) a piece sounds as long as its last frame's window, past its last hop.
    """
    sound, shift = noise.copy(), frontend.frame_shift
    for piece, gain in zip(run.pieces, gains, strict=True):
        count = frontend.samples(piece.count) if whole_windows else piece.count * shift
        clip = piece.needle.mixable[piece.first * shift :][:count] * np.float32(gain)
        begin = (piece.start - run.start) * shift
        sound[begin : begin + count] += clip
    energies = frontend.energies(torch.from_numpy(sound)[None])[0]
    return frontend.normalise(frontend.log_mel(energies))
