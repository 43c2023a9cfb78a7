"""A network of fixed patches over an input of any length; patches of equal content are scored once.

Patches of `frames` frames begin every `hop` frames. The last one is filled up, as YAMNet fills up its waveform, so that
every frame is in a patch: 1 + ceil((n - frames) / hop) patches of n frames. Hours of one haystack are mostly the same
patches, in the scenes of all clips: a patch is known by the hash of its bytes, and the newest answers are kept.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError

Array = NDArray[np.generic]
Score = Callable[[Array], Array]
"""Patches (n, frames, mels) to answers (n, classes), in their order."""

MEMORY_BYTES = 1 << 28  # of answers: half a million patches of 521 classes in 8 bits
_DIGEST_BYTES = 16
_BLOCK = 4096  # patches looked up at once


class PatchScorer:
    """Answers of a network to all patches of an input, in blocks.

    Args:
        score: the network, on patches of equal size.
        frames: of a patch.
        hop: frames from a patch to the next, at most `frames`.
        memory_bytes: of answers that are kept for patches to come.
    """

    def __init__(
        self, score: Score, frames: int, hop: int, *, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.frames, self.hop = frames, hop
        self._score = score
        self._memory_bytes = memory_bytes
        self._answers: Array | None = None  # (places, classes), filled in turn
        self._place_of: dict[bytes, int] = {}
        self._digest_at: list[bytes] = []
        self._next = 0

    def count(self, n_frames: int) -> int:
        """Patches of an input of so many frames."""
        return 1 + max(0, -(-(n_frames - self.frames) // self.hop))

    def __call__(self, features: Array, fill: float) -> Array:
        """Score every patch of an input.

        Args:
            features: (n_frames, mels) in C order.
            fill: value that stands for silence, after the last frame.

        Returns:
            (patches, classes), in the dtype of the network's answers.

        Raises:
            NiahError: no frames.
        """
        if len(features) == 0:
            raise NiahError("features have no frames")
        n = self.count(len(features))
        blocks = range(0, n, _BLOCK)
        return np.concatenate(
            [self._block(features, fill, range(first, min(first + _BLOCK, n))) for first in blocks]
        )

    def _block(self, features: Array, fill: float, numbers: range) -> Array:
        patches = [_rows(features, fill, number * self.hop, self.frames) for number in numbers]
        digests = self._digests(features, fill, numbers)
        places = np.array([self._place_of.get(digest, -1) for digest in digests])
        new = {digest: i for i, digest in enumerate(digests) if places[i] < 0}
        fresh = self._score(np.stack([patches[i] for i in new.values()])) if new else None
        example = self._answers if fresh is None else fresh
        assert example is not None
        answers = np.empty((len(patches), example.shape[1]), example.dtype)
        if self._answers is not None:
            known = places >= 0
            answers[known] = self._answers[places[known]]
        if fresh is not None:
            row_of = {digest: row for row, digest in enumerate(new)}
            for i in np.flatnonzero(places < 0):
                answers[i] = fresh[row_of[digests[i]]]
            self._keep(list(new), fresh)
        return answers

    def _digests(self, features: Array, fill: float, numbers: range) -> list[bytes]:
        """Hash patches; where they are whole hops each hop is hashed once, though several patches have it."""
        size = self.hop if self.frames % self.hop == 0 else self.frames
        each = self.frames // size
        starts = [(numbers.start + i) * self.hop for i in range(len(numbers) + each - 1)]
        parts = [_digest(_rows(features, fill, start, size)) for start in starts]
        return [b"".join(parts[i : i + each]) for i in range(len(numbers))]

    def _keep(self, digests: list[bytes], answers: Array) -> None:
        """Keep new answers, in place of the oldest where there is no room."""
        if self._answers is None:
            room = max(1, self._memory_bytes // answers[0].nbytes)
            self._answers = np.empty(
                (room, answers.shape[1]), answers.dtype
            )  # untouched pages cost nothing
        for digest, answer in zip(digests, answers, strict=True):
            place = self._next
            if place < len(self._digest_at):
                del self._place_of[self._digest_at[place]]
                self._digest_at[place] = digest
            else:
                self._digest_at.append(digest)
            self._answers[place] = answer
            self._place_of[digest] = place
            self._next = (place + 1) % len(self._answers)


def _rows(features: Array, fill: float, start: int, count: int) -> Array:
    """Rows of features from `start` on, filled up to `count`."""
    rows = features[start : start + count]
    if len(rows) == count:
        return rows
    filled = np.full((count, features.shape[1]), fill, features.dtype)
    filled[: len(rows)] = rows
    return filled


def _digest(patch: Array) -> bytes:
    return hashlib.blake2b(patch.data.cast("B"), digest_size=_DIGEST_BYTES).digest()
