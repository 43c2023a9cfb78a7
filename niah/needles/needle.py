"""A needle: a labelled clip whose sound is read on demand; a needle set: clips in a fixed order, with their hashes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from niah.audio import Waveform, digest, load
from niah.vocabularies import Vocabulary

LONGEST_CLIP_S = 600.0  # of a file that a needle is taken from: ten seconds of it are hidden


class Source(Protocol):
    """Where a needle's sound is. Nothing is read until `waveform` or `digest` is called."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    def waveform(self, sample_rate: int) -> Waveform:
        """Read the sound, mono float32 at `sample_rate`.

        Raises:
            AudioError: it is missing or unusable.
        """

    def digest(self) -> str:
        """Compute the hash of the content, for cache keys.

        Raises:
            AudioError: it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class FileSource:
    """A sound file; a path as text takes a third of the memory, which counts for millions of clips."""

    file: Path | str

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", str(self.file))

    @property
    def path(self) -> Path:
        """Return the file's path."""
        return Path(self.file)

    @property
    def name(self) -> str:
        """Return the path, for messages."""
        return str(self.file)

    def read(self) -> Path:
        """Return the path, as `niah.audio.load` takes it."""
        return self.path

    def waveform(self, sample_rate: int) -> Waveform:
        """Read the sound; see `Source.waveform`."""
        return load(self.path, sample_rate, longest_s=LONGEST_CLIP_S)

    def digest(self) -> str:
        """Return the SHA-256 of the file's content."""
        return digest(self.path)


@dataclass(frozen=True, slots=True)
class Needle:
    """One labelled clip; `labels` are ids of the set's vocabulary, at least one.

    `group` names the recording that the clip was cut from. Clips of one recording are not independent, so intervals
    resample them together. A clip whose recording is unknown is a group of its own: `group` is then its id.
    """

    id: str
    labels: tuple[str, ...]
    source: Source
    group: str = ""

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.id)


@dataclass(frozen=True)
class NeedleSet:
    """Clips to hide, in their fixed order (`niah.needles.selection`).

    `notes` tells what the loader left out and why; `licence` is to be shown wherever results are. `pinned` is a spec
    that gives the same set again where the user's own may not: a data set of the hub at its commit; else "".
    """

    name: str
    vocabulary: Vocabulary
    needles: tuple[Needle, ...]
    licence: str
    notes: tuple[str, ...] = ()
    pinned: str = ""

    def __len__(self) -> int:
        return len(self.needles)

    @cached_property
    def ids_sha256(self) -> str:
        """SHA-256 of the newline-joined clip ids in their order."""
        return ids_sha256([needle.id for needle in self.needles])

    @cached_property
    def clips_sha256(self) -> str:
        """SHA-256 of the newline-joined sorted clip ids: equal for the same clips in any order."""
        return ids_sha256(sorted(needle.id for needle in self.needles))

    def content_sha256(self, digests: Sequence[str]) -> str:
        """Compute the hash of the clips' ids, labels and sounds, in any order.

        SHA-256 of the sorted, newline-joined lines `id <tab> sorted labels joined by commas <tab> digest`.

        Args:
            digests: `source.digest()` of each clip, in the set's order.
        """
        pairs = zip(self.needles, digests, strict=True)
        lines = ("\t".join((n.id, ",".join(sorted(n.labels)), digest)) for n, digest in pairs)
        return ids_sha256(sorted(lines))

    def targets(self) -> NDArray[np.bool_]:
        """Return (clips, classes) bool, a row a clip in order."""
        return self.vocabulary.targets([needle.labels for needle in self.needles])


def ids_sha256(ids: Sequence[str]) -> str:
    """Compute the SHA-256 (hexadecimal) of the newline-joined ids, UTF-8."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def waveform(needle: Needle, sample_rate: int) -> Waveform:
    """Read a needle's sound, mono float32 (samples,).

    Args:
        needle: the clip.
        sample_rate: Hz.

    Raises:
        AudioError: it is unusable.
    """
    return needle.source.waveform(sample_rate)
