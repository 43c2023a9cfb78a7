"""Which ten seconds of a longer clip are hidden: the first (as the released code does), loudest or central."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from niah.audio import Waveform
from niah.errors import NiahError, nearest
from niah.needles.needle import Source
from niah.needles.needle_set import NeedleSet
from niah.needles.readers.events import EventSource

FIRST = "first"
PARTS = (FIRST, "loudest", "centre")
PART_S = 10.0
_HOP_S = 0.01  # grid of the loudest part's start


@dataclass(frozen=True)
class PartSource:
    """The loudest or the central ten seconds of another source's sound; shorter sounds are whole."""

    source: Source
    part: str

    @property
    def name(self) -> str:
        """Return the whole source's name."""
        return self.source.name

    def waveform(self, sample_rate: int) -> Waveform:
        """Read the part; see `Source.waveform`."""
        whole = self.source.waveform(sample_rate)
        size = round(PART_S * sample_rate)
        if len(whole.samples) <= size:
            return whole
        if self.part == "centre":
            start = (len(whole.samples) - size) // 2
        else:
            start = loudest_start(whole.samples, size, round(_HOP_S * sample_rate))
        note = f"longer than 10 s; the {self.part} 10 s are hidden"
        samples = whole.samples[start : start + size]
        return replace(whole, samples=samples, notes=(*whole.notes, note))

    def digest(self) -> str:
        """Return a hash of the part's name and the whole source's content."""
        return hashlib.sha256(f"{self.part}\n{self.source.digest()}".encode()).hexdigest()


def loudest_start(samples: NDArray[np.float32], size: int, hop: int) -> int:
    """Return the first sample, a multiple of `hop`, of the `size` samples with the most energy; the first of equals.

    Args:
        samples: (n,) float32, n >= size.
        size: samples of the part.
        hop: grid of its start, in samples.
    """
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.arange(0, len(samples) - size + 1, hop)
    return int(starts[np.argmax(energy[starts + size] - energy[starts])])


def with_part(needles: NeedleSet, part: str) -> NeedleSet:
    """Return the same clips, of which `part` is hidden.

    Args:
        needles: the set.
        part: one of `PARTS`.

    Raises:
        NiahError: an unknown part, or another than the first of annotated events: their labels are those heard in it.
    """
    check_part(part)
    if part == FIRST:
        return needles
    if any(isinstance(each.source, EventSource) for each in needles.needles):
        raise NiahError(
            f"--needle-part {part} is of clips: of an annotated event the first 10 s are hidden, with the labels that "
            "are heard there: leave --needle-part out"
        )
    clips = (replace(each, source=PartSource(each.source, part)) for each in needles.needles)
    return replace(needles, needles=tuple(clips))


def check_part(part: str) -> None:
    """Check that `part` is one of `PARTS`.

    Raises:
        NiahError: it is not.
    """
    if part not in PARTS:
        raise NiahError(f"--needle-part '{part}': unknown.{nearest(part, PARTS)}")
