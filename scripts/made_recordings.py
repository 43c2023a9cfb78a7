"""Write annotated recordings of procedural sound events, to try `niah run --haystack own` without any data.

    python scripts/made_recordings.py FOLDER [RECORDINGS] [MINUTES]

Events of the embedded models' classes, one every 40 s on average, at their usual levels over a background that swells
and fades; `events.csv` has path, onset, offset and label. They only stand in for natural scenes.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import soundfile

from niah.needles.synthetic.clips import CLASSES, EVENT_DBFS, event
from niah.needles.synthetic.signals import SAMPLE_RATE
from niah.randomness import keyed_generator

EVERY_S = 40.0
BACKGROUND_DBFS = -52.0
SWELL_S = 20.0  # of the background, which varies by 12 dB


def main(folder: Path, recordings: int = 6, minutes: float = 10.0) -> None:
    """Write the recordings and their table.

    Args:
        folder: where to write them.
        recordings: their number.
        minutes: of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str, str]] = []
    for number in range(recordings):
        rng = keyed_generator("made-recordings-1", number)
        count = round(minutes * 60 * SAMPLE_RATE)
        times = np.arange(0.0, minutes * 60 + SWELL_S, SWELL_S)
        swell = np.interp(np.arange(count) / SAMPLE_RATE, times, rng.uniform(-6, 6, len(times)))
        sound = rng.standard_normal(count) * 10 ** ((BACKGROUND_DBFS + swell) / 20)
        onset_s = float(rng.exponential(EVERY_S))
        while onset_s < minutes * 60 - 10:
            kind = CLASSES[int(rng.integers(len(CLASSES)))]
            made = event(kind, rng) * 10 ** (rng.uniform(*EVENT_DBFS) / 20)
            first = round(onset_s * SAMPLE_RATE)
            sound[first : first + len(made)] += made
            offset_s = onset_s + len(made) / SAMPLE_RATE
            rows.append((f"made{number}.flac", f"{onset_s:.3f}", f"{offset_s:.3f}", kind.id))
            onset_s += float(rng.exponential(EVERY_S))
        peak = float(np.abs(sound).max())
        name = folder / f"made{number}.flac"
        soundfile.write(name, sound * min(1.0, 0.99 / peak), SAMPLE_RATE)
    with (folder / "events.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("path", "onset", "offset", "label"), *rows]
        )
    print(f"{len(rows)} events in {recordings} recordings: {folder / 'events.csv'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
