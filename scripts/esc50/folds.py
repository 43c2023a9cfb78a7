"""Five folds of ESC-50's clips and of instruments, cut by recording, with every class in every fold.

ESC-50's own folds serve whoever has all 2,000 clips. Of a part of them many classes lie in one fold only, which is why
folds are made here: a class's recordings, those of many clips first, each go to the fold with the fewest of its clips.
Classes of fewer than five recordings cannot be in five folds and are left out.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDS = 5


@dataclass(frozen=True)
class Clip:
    """A clip of one class."""

    path: Path
    label: str
    recording: str


def clips_of(esc50: Path, instruments: Path) -> list[Clip]:
    """Return the clips of both manifests whose classes have a recording for each fold.

    Args:
        esc50: table with columns path and label; names are ESC-50's, FOLD-RECORDING-TAKE-CLASS.
        instruments: table with columns path, label and source_sha256, one recording a source.
    """
    found = [
        Clip(esc50.parent / row["path"], row["label"], Path(row["path"]).stem.split("-")[1])
        for row in _rows(esc50)
    ]
    found += [
        Clip(instruments.parent / row["path"], row["label"], row["source_sha256"])
        for row in _rows(instruments)
    ]
    recordings: dict[str, set[str]] = defaultdict(set)
    for clip in found:
        recordings[clip.label].add(clip.recording)
    return [clip for clip in found if len(recordings[clip.label]) >= FOLDS]


def folds_of(clips: Sequence[Clip]) -> dict[str, int]:
    """Return each recording's fold, 0 to 4."""
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        sizes[clip.label][clip.recording] += 1
    fold_of: dict[str, int] = {}
    totals: Counter[int] = Counter()
    for label in sorted(sizes):
        own: Counter[int] = Counter()
        for recording, count in sorted(sizes[label].items(), key=lambda item: (-item[1], item[0])):
            emptiest = min(range(FOLDS), key=lambda fold: (own[fold], totals[fold], fold))
            fold = fold_of.setdefault(recording, emptiest)
            own[fold] += count
            totals[fold] += count
    return fold_of


def write(out: Path, esc50: Path, instruments: Path) -> None:
    """Write labels.txt, and fold-1/train.csv and heldout.csv to fold-5's."""
    clips = clips_of(esc50.resolve(), instruments.resolve())
    fold_of = folds_of(clips)
    out.mkdir(parents=True, exist_ok=True)
    labels = sorted({clip.label for clip in clips})
    (out / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    for fold in range(FOLDS):
        held_out = [clip for clip in clips if fold_of[clip.recording] == fold]
        training = [clip for clip in clips if fold_of[clip.recording] != fold]
        folder = out / f"fold-{fold + 1}"
        folder.mkdir(exist_ok=True)
        for name, part in (("train", training), ("heldout", held_out)):
            _write(folder / f"{name}.csv", part)
        print(f"{folder}: {len(training)} clips to train on, {len(held_out)} held out")


def _write(file: Path, clips: Sequence[Clip]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "labels", "group"))
        writer.writerows((clip.path, clip.label, clip.recording) for clip in clips)


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)
