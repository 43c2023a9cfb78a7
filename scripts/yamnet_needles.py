"""Write the needles of results/yamnet-esc50: the clips of ESC-50 whose class is exactly one of AudioSet's.

    python scripts/yamnet_needles.py ESC50 OUT.csv

ESC50 is the table of ESC-50, with a filter behind it (`meta/esc50.csv?fold=4`). A clip's labels are its own class, and
another clip's class where that is true of it by definition (a chainsaw is an engine); ancestors that no clip is named
after (Animal) are left out, so that each class counts once.
"""

import csv
import sys
from pathlib import Path

from niah.needles.loading import load_needles
from niah.needles.needle import FileSource
from niah.vocabularies import vocabulary


def main(esc50: str, out: str) -> None:
    clips = load_needles(esc50, vocabulary=vocabulary("yamnet-521")).needles
    classes = {clip.labels[0] for clip in clips}
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "labels", "group"))
        for clip in sorted(clips, key=lambda clip: clip.id):
            assert isinstance(clip.source, FileSource)
            labels = [label for label in clip.labels if label in classes]
            table.writerow((clip.source.path.resolve(), ";".join(labels), clip.group))
    print(f"{len(clips)} clips of {len(classes)} classes: {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
