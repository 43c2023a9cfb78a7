"""Training and held-out clips for the sweep: CSVs `path,labels` (AudioSet ids) from the shared folder's manifests.

    python scripts/gpu/clips.py DATA OUT

train.csv: ESC-10 folds 1, 2, 3, 5 and the instrument clips. heldout.csv: ESC-10 fold 4. Clips of one recording share a
fold, so that no recording is in both.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

HELD_OUT = "4"
Clip = tuple[str, str]


def clips(manifest: Path) -> Iterator[tuple[dict[str, str], Clip]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["match"] == "exact":
                yield row, (str((manifest.parent / row["path"]).resolve()), row["audioset_mid"])


def write(file: Path, clips_found: list[Clip]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(
            [("path", "labels"), *sorted(clips_found)]
        )
    print(f"{file}: {len(clips_found)} clips, {len({labels for _, labels in clips_found})} classes")


def main(data: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    ten = [(r, clip) for r, clip in clips(data / "esc50" / "manifest.csv") if r["esc10"] == "True"]
    instruments = [clip for _, clip in clips(data / "instruments" / "manifest.csv")]
    training = [clip for row, clip in ten if row["fold"] != HELD_OUT]
    write(out / "train.csv", [*training, *instruments])
    write(out / "heldout.csv", [clip for row, clip in ten if row["fold"] == HELD_OUT])


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
