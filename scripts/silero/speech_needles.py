"""Write the needles of results/silero-speech: voices, and one clip of each of ESC-50's classes without a voice.

    python scripts/silero/speech_needles.py VOICES ESC50 OUT.csv

VOICES is a folder of recordings, LibriSpeech's names (SPEAKER-CHAPTER-NUMBER.flac). ESC50 is the table of ESC-50
(`meta/esc50.csv`), of which the classes with people's voices or breath are left out; a class gives its first clip by
name.
"""

import csv
import sys
from pathlib import Path

from niah.needles.loading import load_needles
from niah.needles.needle import FileSource
from niah.vocabularies import vocabulary

SPEECH, OTHER = "/m/09x0r", "other"
VOICES = {"crying_baby", "sneezing", "breathing", "coughing", "laughing", "snoring"}


def main(voices: str, esc50: str, out: str) -> None:
    spoken = sorted(each.resolve() for each in Path(voices).glob("*.flac"))
    rows = [(path, SPEECH, path.name.partition("-")[0]) for path in spoken]
    first: dict[str, tuple[Path, str, str]] = {}
    clips = load_needles(esc50, vocabulary=vocabulary("esc-50")).needles
    for clip in sorted(clips, key=lambda clip: clip.id):
        (name,) = clip.labels
        assert isinstance(clip.source, FileSource)
        if name not in VOICES:
            first.setdefault(name, (clip.source.path.resolve(), OTHER, clip.group))
    rows += first.values()
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "labels", "group"))
        table.writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
