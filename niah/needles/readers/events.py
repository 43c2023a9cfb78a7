"""Annotated events as needles: the part of a recording that an annotation spans, ten seconds of it at most.

A needle has the event's label, and those of the other events that are heard in it. Events of one recording are not
independent: they are a group.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from niah.audio import Waveform, digest
from niah.audio.part import load_part
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import NeedleRow, NeedleRows, needles_of

LONGEST_S = 10.0  # of an event that is hidden
HEARD_S = 0.1  # of another event that must lie in a needle, or all of a shorter one
LICENCE = "not stated by the annotations"


@dataclass(frozen=True)
class Event:
    """One annotation; times in seconds from the recording's start, labels as written.

    `elsewhere` is the table's path of a recording where that is of another machine.
    """

    recording: Path
    onset_s: float
    offset_s: float
    labels: tuple[str, ...]
    where: str
    elsewhere: str = field(default="", compare=False)

    @property
    def stop_s(self) -> float:
        """Return the end of what is hidden."""
        return min(self.offset_s, self.onset_s + LONGEST_S)


class Annotated(NamedTuple):
    """One annotation of a recording: its times in seconds, and its labels of the vocabulary."""

    onset_s: float
    offset_s: float
    labels: tuple[str, ...]


@dataclass(frozen=True)
class EventSource:
    """The part of a recording in which an event is; `annotated` are all events of the recording."""

    recording: Path
    onset_s: float
    stop_s: float
    annotated: tuple[Annotated, ...] = field(default=(), repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return the recording and the times, for messages."""
        return f"{self.recording}, {self.onset_s:g} to {self.stop_s:g} s"

    def waveform(self, sample_rate: int) -> Waveform:
        """Read the part; see `niah.needles.needle.Source.waveform`."""
        return load_part(self.recording, sample_rate, self.onset_s, self.stop_s)

    def digest(self) -> str:
        """Return a hash of the times and the recording's content."""
        try:
            state = self.recording.stat()
            content = _digest(self.recording, state.st_mtime_ns, state.st_size)
        except OSError:
            content = digest(self.recording)
        return hashlib.sha256(f"{self.onset_s!r}\n{self.stop_s!r}\n{content}".encode()).hexdigest()


def needles_of_events(
    events: Sequence[Event], labels: LabelReader, notes: Sequence[str] = ()
) -> NeedleRows:
    """Return a needle for each span that is annotated with a label of the vocabulary.

    Args:
        events: all annotations.
        labels: reads their labels.
        notes: sentences on how the annotations were read.

    Raises:
        NiahError: no event has such a label.
    """
    ids_of = {event: labels.ids(list(event.labels), event.where) for event in events}
    by_recording: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:  # one recording may have two paths
        by_recording[os.path.normpath(event.recording.absolute())].append(event)
    name_of = _names(list(by_recording))
    entries: dict[tuple[str, float, float], NeedleRow] = {}
    for recording, its_events in by_recording.items():
        its_events.sort(key=lambda event: event.onset_s)
        labelled = {(event.onset_s, event.offset_s) for event in its_events if ids_of[event]}
        rounded = Counter(_times(*span) for span in labelled)
        every = tuple(
            Annotated(event.onset_s, event.offset_s, ids_of[event])
            for event in its_events
            if ids_of[event]
        )
        for event in its_events:
            key = recording, event.onset_s, event.offset_s
            if ids_of[event] and key not in entries:
                times = _times(event.onset_s, event.offset_s)
                if rounded[times] > 1:
                    times = f"{event.onset_s!r}-{event.offset_s!r}"
                name = name_of[recording]
                entries[key] = _needle(event, its_events, ids_of, every, name, times)
    n_labelled = sum(bool(ids) for ids in ids_of.values())
    labels.check_any(list(entries.values()))
    n_long = sum(event.offset_s > event.stop_s for event in ids_of if ids_of[event])
    long = (
        (f"events longer than 10 s, of which the first 10 s are hidden: {n_long}",)
        if n_long
        else ()
    )
    return NeedleRows(
        needles_of(list(entries.values())),
        LICENCE,
        (*notes, *labels.notes(len(events), n_labelled), *long),
    )


def _needle(
    event: Event,
    others: Sequence[Event],
    ids_of: dict[Event, tuple[str, ...]],
    every: tuple[Annotated, ...],
    name: str,
    times: str,
) -> NeedleRow:
    span = event.onset_s, event.stop_s
    heard = [
        other
        for other in others
        if other is not event and is_heard(other.onset_s, other.offset_s, *span)
    ]
    ids = dict.fromkeys(id_ for each in (event, *heard) for id_ in ids_of[each])
    return NeedleRow(
        f"{event.recording.stem}_{times}",
        f"{name}_{times}",
        tuple(ids),
        EventSource(event.recording, *span, every),
        event.where,
        name,
    )


def _times(onset_s: float, offset_s: float) -> str:
    return f"{onset_s:.3f}-{offset_s:.3f}"


def _names(recordings: Sequence[str]) -> dict[str, str]:
    """Name each recording by its folder and itself, "night/1.wav", and by more folders where that is two recordings.

    Args:
        recordings: whole paths, so that names do not depend on the working folder.
    """
    names: dict[str, str] = {}
    left, parts = list(recordings), 2
    while left:
        name_of = {each: "/".join(Path(each).parts[-parts:]) for each in left}
        counts = Counter(name_of.values())
        names |= {each: name for each, name in name_of.items() if counts[name] == 1}
        left, parts = [each for each in left if each not in names], parts + 1
    return names


def is_heard(onset_s: float, offset_s: float, start_s: float, stop_s: float) -> bool:
    """Return whether an event lies in a span, as far as `HEARD_S` says; all times in seconds."""
    shared_s = min(offset_s, stop_s) - max(onset_s, start_s)
    return shared_s > 0 and shared_s >= min(HEARD_S, offset_s - onset_s) - 1e-9


@lru_cache(maxsize=256)  # a recording has many events
def _digest(recording: Path, modified_ns: int, size: int) -> str:  # noqa: ARG001
    return digest(recording)
