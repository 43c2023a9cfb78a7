"""docs/protocols.md on the level of real clips, which the haystack's level follows from."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from niah import audio
from niah.needles.active_part import active_rms
from tests.conftest import REPOSITORY

RATE = 16_000
HIDDEN = 163_840  # samples of a needle of DASS and AST

pytestmark = pytest.mark.slow


def levels_db(folder: Path) -> NDArray[np.float64]:
    """Return the level of each clip's active part, in dB of full scale."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        paths = [folder / row["path"] for row in csv.DictReader(file)]
    waves = (audio.load(path, RATE).samples[:HIDDEN] for path in paths)
    return np.array([20 * np.log10(active_rms(wave, RATE)) for wave in waves])


def test_the_page_states_the_level_of_real_clips(shared: Path) -> None:
    text = " ".join((REPOSITORY / "docs" / "protocols.md").read_text(encoding="utf-8").split())
    clips = levels_db(shared / "data" / "esc50")
    middle, low, high = (f"{value:.1f}" for value in np.percentile(clips, [50, 10, 90]))
    said = (
        f"over {len(clips)} clips of ESC-50 the median of A is {middle} dB (10th and 90th percentile {low} and "
        f"{high}); "
        f"collections of single events lie at {np.median(levels_db(shared / 'data' / 'events_cc')):.1f} dB"
    )
    assert said.replace(" -", " −") in text


def test_the_whole_clip_is_up_to_12_db_below_its_active_part(shared: Path) -> None:
    """ESC-50's fold 4: 5 dB for one clip in ten; a washing machine none, a sneeze 8."""
    folder = shared / "data" / "esc50"
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "4"]
    clips = [audio.load(folder / row["path"], RATE).samples for row in rows]
    above = np.array([20 * np.log10(active_rms(wave, RATE) / audio.rms(wave)) for wave in clips])
    label = np.array([row["label"] for row in rows])
    assert len(rows) == 400
    assert above.max() == pytest.approx(12.2, abs=0.05)
    assert np.percentile(above, 90) == pytest.approx(5.0, abs=0.05)
    assert above[label == "washing_machine"].mean() == pytest.approx(0.0, abs=0.05)
    assert above[label == "sneezing"].mean() == pytest.approx(8.2, abs=0.05)
