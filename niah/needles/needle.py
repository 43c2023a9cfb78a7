"""A needle: a labelled clip whose sound is read on demand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from niah.audio import Waveform, digest, load

LONGEST_CLIP_S = 600.0  # of a file that a needle is taken from: ten seconds of it are hidden


class Source(Protocol):
    """Where a needle's sound is. Nothing is read until `waveform` or `digest` is called, in several threads at once."""

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


@runtime_checkable
class TimesSounds(Protocol):
    """A source that knows when each label sounds in its clip."""

    def sounds(self) -> tuple[tuple[str, float, float], ...]:
        """Return (label id, onset, offset) of every event, in seconds of the clip."""


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


def waveform(needle: Needle, sample_rate: int) -> Waveform:
    """Read a needle's sound, mono float32 (samples,).

    Args:
        needle: the clip.
        sample_rate: Hz.

    Raises:
        AudioError: it is unusable.
    """
    return needle.source.waveform(sample_rate)
