"""A network of fixed patches over an input of any length; patches of equal content are scored once.

Patches of `frames` frames begin every `hop` frames. The last one is filled up with silence, so that every frame is in
a patch: 1 + ceil((n - frames) / hop) patches of n frames. YAMNet's authors fill up the waveform instead, which is the
same once the frames across its end are there (`niah.frontends.log_mel`). Hours of one haystack are mostly the same
patches, in the scenes of all clips: a patch is known by the hash of its bytes (`niah.adapters.reuse`).
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from niah.adapters.reuse import MEMORY_BYTES, AnswerMemory, Item, ReusingScorer, Score, digest
from niah.errors import NiahError

Array = NDArray[np.generic]

_BLOCK = 4096  # patches whose hashes are in memory at once


class PatchScorer:
    """Answers of a network to all patches of an input.

    Args:
        score: the network, on patches (n, frames, mels) of equal size.
        frames: of a patch.
        hop: frames from a patch to the next, at most `frames`.
        at_once: patches in one pass through the network; every pass has exactly as many.
        memory_bytes: of answers that stay for patches to come.
    """

    def __init__(
        self,
        score: Score,
        frames: int,
        hop: int,
        *,
        at_once: int = 1,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.frames, self.hop = frames, hop
        self._scorer = ReusingScorer(score, at_once, AnswerMemory(memory_bytes))

    def forget(self) -> None:
        """Score every patch anew from now on."""
        self._scorer.memory = None

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
        return self._scorer(self._patches(features, fill))

    def _patches(self, features: Array, fill: float) -> Iterator[Item]:
        n = self.count(len(features))
        for first in range(0, n, _BLOCK):
            numbers = range(first, min(first + _BLOCK, n))
            keys: list[bytes] | list[None] = [None] * len(numbers)
            if self._scorer.memory is not None:
                keys = self._digests(features, fill, numbers)
            for number, key in zip(numbers, keys, strict=True):
                yield key, partial(_rows, features, fill, number * self.hop, self.frames)

    def _digests(self, features: Array, fill: float, numbers: range) -> list[bytes]:
        """Hash patches; where they are whole hops each hop is hashed once, though several patches have it."""
        size = self.hop if self.frames % self.hop == 0 else self.frames
        each = self.frames // size
        starts = [(numbers.start + i) * self.hop for i in range(len(numbers) + each - 1)]
        parts = [digest(_rows(features, fill, start, size)) for start in starts]
        return [b"".join(parts[i : i + each]) for i in range(len(numbers))]


def _rows(features: Array, fill: float, start: int, count: int) -> Array:
    """Rows of features from `start` on, filled up to `count`."""
    rows = features[start : start + count]
    if len(rows) == count:
        return rows
    filled = np.full((count, features.shape[1]), fill, features.dtype)
    filled[: len(rows)] = rows
    return filled
