"""`niah data verify`: read every clip of a needle set, and report durations, rates, levels and faults."""

import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from niah.audio import BACKSLASHES, AudioError, Waveform, has_backslashes
from niah.needles.needle import Needle, waveform
from niah.needles.needle_set import NeedleSet
from niah.system.markdown_text import plain
from niah.system.plurals import plural

if TYPE_CHECKING:
    from niah.frontends.kaldi import KaldiFrontend

_RESAMPLED = re.compile(r"resampled from (\d+) Hz")
_WIDTH = 80  # columns
_LISTED = 20  # unreadable clips named per reason; the count is always whole


@dataclass(frozen=True)
class FeatureStatistics:
    """Log-mel mean and standard deviation over all frames and bins, beside the front end's own.

    Clips of a set far from these constants have another level than the model's training data. Padding is left out.
    """

    mean: float
    std: float
    frames: int
    expected_mean: float
    expected_std: float


@dataclass(frozen=True)
class DataReport:
    """Report of `verify`. Durations are in seconds, of the readable clips."""

    name: str
    licence: str
    vocabulary: str
    ids_sha256: str
    n_clips: int
    n_readable: int
    sample_rates: Mapping[int, int]
    notes: Mapping[str, int]
    durations_s: tuple[float, float, float]  # shortest, median, longest
    total_s: float
    unreadable: Mapping[str, tuple[str, ...]]  # reason -> clip ids
    repeated: tuple[tuple[str, ...], ...]  # ids of clips with the same content
    clips_per_class: Mapping[str, int]  # name -> readable clips; classes without any are left out
    n_classes: int
    features: FeatureStatistics | None
    loader_notes: tuple[str, ...] = ()
    readable_ids: frozenset[str] = frozenset()
    run_takes: int | None = None  # of these clips, where a run without --limit does not take all

    def markdown(self) -> str:
        """Format the report as Markdown, one screen for a sound set."""
        fewer = self.run_takes is not None and self.run_takes < self.n_clips
        part = f"; a run takes {self.run_takes} of them: --limit" if fewer else ""
        lines = [
            f"# {plain(self.name)}",
            "",
            f"- clips: {self.n_clips}, readable: {self.n_readable}{part}",
            f"- ids sha256: `{self.ids_sha256}`",
            f"- licence: {plain(self.licence)}",
            f"- vocabulary: {plain(self.vocabulary)}, {len(self.clips_per_class)} of {self.n_classes} "
            "classes have clips",
        ]
        lines += [f"- loader: {plain(note)}" for note in self.loader_notes]
        if self.n_readable:
            low, middle, high = self.durations_s
            rates = ", ".join(f"{rate} Hz ({n})" for rate, n in sorted(self.sample_rates.items()))
            lines.append(f"- sample rates: {rates}")
            lines.append(
                f"- durations: {low:.2f} to {high:.2f} s, median {middle:.2f} s, "
                f"{self.total_s / 60:.1f} min in all"
            )
        lines += [f"- {plain(note)}: {plural(n, 'clip')}" for note, n in sorted(self.notes.items())]
        lines += self._feature_lines()
        lines += [f"- same content: {plain(', '.join(ids))}" for ids in self.repeated]
        for reason, ids in sorted(self.unreadable.items()):
            more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
            lines.append(
                f"- **{reason}: {plural(len(ids), 'clip')}**: {plain(', '.join(ids[:_LISTED]))}{more}"
            )
        lines = [*_wrapped(lines), "", "| class | clips |", "| --- | ---: |"]
        ranked = sorted(self.clips_per_class.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"| {plain(name)} | {n} |" for name, n in ranked]
        return "\n".join(lines) + "\n"

    def _feature_lines(self) -> list[str]:
        features = self.features
        if features is None:
            return []
        return [
            f"- log-mel: mean {features.mean:.3f}, deviation {features.std:.3f} over {features.frames} "
            f"frames (the front end normalises by {features.expected_mean:.3f}, "
            f"{features.expected_std:.3f})"
        ]


def verify(
    needles: NeedleSet, sample_rate: int, frontend: "KaldiFrontend | None" = None
) -> DataReport:
    """Read every clip of a set.

    Unusable clips are collected by reason, never raised. With a front end they are the clips that a run leaves out.

    Args:
        needles: the set.
        sample_rate: Hz.
        frontend: also measure the mean and deviation of its features.
    """
    from niah.needles.prepared import length_note

    sums = _FeatureSums(frontend) if frontend is not None else None
    durations: list[float] = []
    readable: list[str] = []
    rates: Counter[int] = Counter()
    notes: Counter[str] = Counter()
    unreadable: defaultdict[str, list[str]] = defaultdict(list)
    by_content: defaultdict[str, list[str]] = defaultdict(list)
    for needle in needles.needles:
        try:
            digest = needle.source.digest()
            sound = _read(needle, sample_rate, frontend)
        except AudioError as error:
            unreadable[error.reason].append(needle.id)
            if error.reason == "missing" and has_backslashes(needle.source.name):
                notes[BACKSLASHES] += 1
            continue
        by_content[digest].append(needle.id)
        readable.append(needle.id)
        durations.append(sound.duration_s)
        rates[_original_rate(sound)] += 1
        notes.update(note for note in sound.notes if not _RESAMPLED.fullmatch(note))
        if sums is not None and frontend is not None:
            notes.update(filter(None, (length_note(len(sound.samples), frontend),)))
            sums.add(sound)
    is_readable = np.isin([needle.id for needle in needles.needles], readable)
    per_class = needles.targets()[is_readable].sum(axis=0)
    return DataReport(
        name=needles.name,
        licence=needles.licence,
        vocabulary=needles.vocabulary.name,
        ids_sha256=needles.ids_sha256,
        n_clips=len(needles),
        n_readable=len(durations),
        sample_rates=dict(rates),
        notes=dict(notes),
        durations_s=_spread(durations),
        total_s=sum(durations),
        unreadable={reason: tuple(ids) for reason, ids in unreadable.items()},
        repeated=tuple(tuple(ids) for ids in by_content.values() if len(ids) > 1),
        clips_per_class={
            name: int(n) for name, n in zip(_class_names(needles), per_class, strict=True) if n
        },
        n_classes=len(needles.vocabulary),
        features=sums.result() if sums is not None else None,
        loader_notes=needles.notes,
        readable_ids=frozenset(readable),
    )


def _class_names(needles: NeedleSet) -> list[str]:
    """Name each class: its display name, with its id where several have that name."""
    vocabulary = needles.vocabulary
    counts = Counter(vocabulary.names)
    return [
        name if counts[name] == 1 else f"{name} ({id_})"
        for id_, name in zip(vocabulary.ids, vocabulary.names, strict=True)
    ]


def _read(needle: Needle, sample_rate: int, frontend: "KaldiFrontend | None") -> Waveform:
    """Read a clip by the rules of a run where there is a front end."""
    if frontend is None:
        return waveform(needle, sample_rate)
    from niah.needles.prepared import usable_waveform

    return usable_waveform(needle, frontend)


def _wrapped(lines: Iterable[str]) -> list[str]:
    """Wrap list items to a terminal's width; they stay items in Markdown."""
    return [
        part
        for line in lines
        for part in textwrap.wrap(
            line,
            _WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [""]
    ]


def _original_rate(sound: Waveform) -> int:
    """The file's own rate, which the loader notes when it changes it."""
    for note in sound.notes:
        if match := _RESAMPLED.fullmatch(note):
            return int(match.group(1))
    return sound.sample_rate


def _spread(durations_s: list[float]) -> tuple[float, float, float]:
    if not durations_s:
        return (0.0, 0.0, 0.0)
    return (min(durations_s), float(np.median(durations_s)), max(durations_s))


class _FeatureSums:
    """Running sums of log-mel values and their squares, in float64."""

    def __init__(self, frontend: "KaldiFrontend") -> None:
        self.frontend = frontend
        self.total = self.squares = 0.0
        self.count = self.frames = 0

    def add(self, sound: Waveform) -> None:
        import torch

        samples = torch.from_numpy(sound.samples)
        if self.frontend.frames(len(samples)) == 0:
            return
        log_mel = self.frontend.log_mel(self.frontend.energies((samples - samples.mean())[None]))
        values = log_mel.double()
        self.total += float(values.sum())
        self.squares += float((values * values).sum())
        self.count += values.numel()
        self.frames += values.shape[1]

    def result(self) -> FeatureStatistics | None:
        if self.count == 0:
            return None
        mean = self.total / self.count
        std = float(np.sqrt(max(self.squares / self.count - mean * mean, 0.0)))
        return FeatureStatistics(mean, std, self.frames, self.frontend.mean, self.frontend.std)
