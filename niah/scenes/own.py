"""Natural scenes: crops of a needle's own recording around its annotated event.

    crop of L seconds   the 10 s around the event's middle are the needle's slot, as in a scene with another haystack;
                        at position p, p (L - 10) seconds of the recording lie before it. A crop that would reach beyond
                        the recording is moved into it
    without the needle  the clips of a recording take stretches of it that are evenly spread, and as far apart as it
                        allows. Events in them are whatever is there
    labels              those of all annotated events of which 0.1 s (or all of a shorter one) lie in the crop

Nothing is scaled: level, room and noise are the recording's, and so is digital silence where it has some. A crop's mean
is subtracted where the front end subtracts a clip's.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.audio import AudioError
from niah.audio.duration import duration_s
from niah.audio.part import load_part
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles import Needle, NeedleSet
from niah.needles.readers.events import Annotated, EventSource, is_heard
from niah.placement import scene_frames
from niah.scenes.lazy import Scene, Segment
from niah.system.plurals import plural

SLOT_S = 10.0
BLOCK_FRAMES = 6000  # of which energies are computed at once


@dataclass(frozen=True)
class OwnRecordings:
    """The recordings of a set of annotated events, as haystacks of their own events.

    Raises:
        NiahError: a needle that is no annotated event.
    """

    needles: NeedleSet

    def __post_init__(self) -> None:
        for needle in self.needles.needles:
            source = needle.source
            if not isinstance(source, EventSource):
                raise NiahError(
                    "--haystack own needs annotated recordings, a table of events with path, onset, offset and label "
                    f"(docs/natural-scenes.md): --needles events.csv; {needle.id} of {self.needles.name} is a clip"
                )

    def long_enough(self, longest_s: float) -> NeedleSet:
        """Return the needles whose recordings hold a crop of the longest length, with a note on the others.

        Those whose recording cannot be read stay: they are left out, or refused, where clips are read.

        Raises:
            NiahError: no recording is so long.
        """
        whole = [n for n, source in self._sources if _may_hold(source.recording, longest_s)]
        short = len(self.needles) - len(whole)
        if not whole:
            raise NiahError(f"no recording is {longest_s:g} s long: give shorter --lengths")
        if not short:
            return self.needles
        note = f"{plural(short, 'event')} of recordings shorter than {longest_s:g} s left out"
        return replace(self.needles, needles=tuple(whole), notes=(*self.needles.notes, note))

    def start_s(self, index: int, length_s: float, position: float) -> float:
        """Return where the crop of a needle begins in its recording, in seconds.

        Args:
            index: place of the needle in the set.
            length_s: seconds of the crop.
            position: of the needle's slot, in [0, 1].
        """
        source = self._sources[index][1]
        slot_s = (source.onset_s + source.stop_s - SLOT_S) / 2
        start_s = slot_s - position * (length_s - SLOT_S)
        return _inside(start_s, length_s, duration_s(source.recording))

    def free_start_s(self, index: int, length_s: float) -> float:
        """Return where the stretch without the needle of a clip begins in its recording, in seconds."""
        recording_s = duration_s(self._sources[index][1].recording)
        number, count = self._numbers[index]
        share = number / (count - 1) if count > 1 else 0.5
        return _inside(share * (recording_s - length_s), length_s, recording_s)

    @property
    def durations(self) -> list[tuple[int, float]]:
        """Return the number of clips and the seconds of each recording, the longest first."""
        counts = Counter(source.recording for _, source in self._sources)
        return sorted(
            ((count, duration_s(file)) for file, count in counts.items()),
            key=lambda each: (-each[1], each[0]),
        )

    def labels(self, index: int, start_s: float, length_s: float) -> tuple[str, ...]:
        """Return the labels of all annotated events in a crop, each once, in time order."""
        events = self.events(index, start_s, length_s)
        return tuple(dict.fromkeys(label for event in events for label in event.labels))

    def events(self, index: int, start_s: float, length_s: float) -> list[Annotated]:
        """Return the annotated events in a crop, in seconds of the crop, in time order."""
        return [
            Annotated(max(0.0, e.onset_s - start_s), min(length_s, e.offset_s - start_s), e.labels)
            for e in self._sources[index][1].annotated
            if is_heard(e.onset_s, e.offset_s, start_s, start_s + length_s)
        ]

    def scene(self, frontend: Frontend, index: int, start_s: float, length_s: float) -> Scene:
        """Return the features of a crop, computed when they are read.

        Args:
            frontend: the model's front end.
            index: place of the needle in the set.
            start_s: begin of the crop in the recording.
            length_s: seconds of the crop.
        """
        crop = _Crop(frontend, self._sources[index][1].recording, start_s, length_s)
        return Scene((Segment(0, crop.frames, crop.render),), frontend.mels)

    @property
    def fingerprint(self) -> str:
        """Return all annotations, which decide what is in a crop; the recordings are hashed with the clips."""
        lines = [f"{n.id}\t{s.onset_s!r}\t{s.stop_s!r}\t{s.annotated!r}" for n, s in self._sources]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    @cached_property
    def _sources(self) -> list[tuple[Needle, EventSource]]:
        return [(n, n.source) for n in self.needles.needles if isinstance(n.source, EventSource)]

    @cached_property
    def _numbers(self) -> list[tuple[int, int]]:
        """Number each needle among those of its recording, in time order, with their count."""
        by_file: dict[Path, list[tuple[float, int]]] = {}
        for index, (_, source) in enumerate(self._sources):
            by_file.setdefault(source.recording, []).append((source.onset_s, index))
        numbers = [(0, 1)] * len(self._sources)
        for own in by_file.values():
            for number, (_, index) in enumerate(sorted(own)):
                numbers[index] = (number, len(own))
        return numbers


@dataclass(frozen=True)
class _Crop:
    frontend: Frontend
    recording: Path
    start_s: float
    length_s: float

    @property
    def frames(self) -> int:
        return scene_frames(self.length_s, self.frontend.needle_frames)

    @cached_property
    def samples(self) -> NDArray[np.float32]:
        """Samples under the crop's whole frames; zeros where they reach beyond the recording."""
        frontend = self.frontend
        rate = frontend.sample_rate
        count = frontend.samples(self.frames)
        first = round(self.start_s * rate) - frontend.lead
        last_s = min(duration_s(self.recording), (first + count) / rate)
        begin_s = max(0, first) / rate
        # a stretch of digital silence is part of the recording
        sound = load_part(self.recording, rate, begin_s, last_s, allow_silence=True).samples
        if frontend.removes_mean:
            sound = (sound - sound.mean(dtype=np.float64)).astype(np.float32)
        before = max(0, -first)
        sound = sound[: count - before]
        return np.pad(sound, (before, count - before - len(sound)))

    def render(self, rows: Tensor, first: int) -> None:
        """Write the crop's frames from `first` on."""
        frontend = self.frontend
        for done in range(0, len(rows), BLOCK_FRAMES):
            out = rows[done : done + BLOCK_FRAMES]
            begin = (first + done) * frontend.frame_shift
            part = self.samples[begin : begin + frontend.samples(len(out))]
            energies = frontend.energies(torch.from_numpy(part)[None])[0]
            out.copy_(frontend.normalise(frontend.log_mel(energies)))


def _may_hold(recording: Path, length_s: float) -> bool:
    try:
        return duration_s(recording) >= length_s
    except AudioError:
        return True


def _inside(start_s: float, length_s: float, recording_s: float) -> float:
    return max(0.0, min(start_s, recording_s - length_s))
