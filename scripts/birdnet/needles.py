"""Write the needles of results/birdnet-esc50: the clips of ESC-50 of six classes that BirdNET has too.

    python scripts/birdnet/needles.py ESC50 OUT.csv

ESC50 is the table of ESC-50 (`meta/esc50.csv`). Roosters and hens are one class, Gallus gallus; a chainsaw is a power
tool.
"""

import csv
import sys
from pathlib import Path

from niah.needles.loading import load_needles
from niah.needles.needle import FileSource
from niah.vocabularies import vocabulary

CLASSES = {
    "dog": "/m/0bt9lr",
    "rooster": "/m/09b5t",
    "hen": "/m/09b5t",
    "siren": "/m/03kmc9",
    "chainsaw": "/m/0_ksk",
    "fireworks": "/m/0g6b5",
    "crow": "/m/04s8yn",
}


def main(esc50: str, out: str) -> None:
    clips = load_needles(esc50, vocabulary=vocabulary("esc-50")).needles
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "labels", "group"))
        for clip in sorted(clips, key=lambda clip: clip.id):
            (name,) = clip.labels
            if name in CLASSES:
                assert isinstance(clip.source, FileSource)
                table.writerow((clip.source.path.resolve(), CLASSES[name], clip.group))


if __name__ == "__main__":
    main(*sys.argv[1:])
