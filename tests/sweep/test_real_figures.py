"""dass-nano on its own synthetic clips: figures computed by independent code (`make test-slow`)."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import niah

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("pooling", "alone", "at_50_s"),
    [("average", 0.8104, 0.7538), ("max", 0.8057, 0.7546), ("sum", 0.8104, 0.7538)],
)
def test_confident_poolings_keep_their_map(
    tmp_path: Path, pooling: str, alone: float, at_50_s: float
) -> None:
    """60 clips in zeros. As float16 sigmoids, max had .6903 and sum .2192 at 50 s."""
    niah.run(
        models=["dass-nano"],
        lengths=[10, 50],
        haystack="zero",
        protocol="dass-v1",
        limit=60,
        pooling=pooling,
        out=tmp_path / "run",
    )
    cells = pd.read_csv(tmp_path / "run" / "cells.csv")
    assert list(cells["mAP"]) == pytest.approx([alone, at_50_s], abs=5e-4)
    assert cells["relative"][1] == pytest.approx(at_50_s / alone, abs=1e-3)


def test_a_distractor_is_masked_in_cell_base_and_chance(tmp_path: Path) -> None:
    """40 clips, one distractor: .741 of .864, not of the .851 that counts its entries; chance .182, not .166."""
    niah.run(
        models=["dass-nano"],
        lengths=[50],
        haystack="zero",
        protocol="niah-v2",
        limit=40,
        distractors=1,
        out=tmp_path / "run",
    )
    cells = pd.read_csv(tmp_path / "run" / "cells.csv")
    row = cells[cells["distractors"] == 1].iloc[0]
    assert row["mAP"] == pytest.approx(0.741, abs=5e-4)
    assert row["base_mAP"] == pytest.approx(0.864, abs=5e-4)
    assert row["relative"] == pytest.approx(0.857, abs=5e-4)
    assert row["chance_mAP"] == pytest.approx(0.182, abs=1e-3)


def gaussian_at_0_db(folder: Path, **options: Any) -> dict[float, float]:
    """mAP by length of dass-nano in Gaussian noise at 0 dB."""
    niah.run(models=["dass-nano"], haystack="gaussian", snr=[0.0], out=folder / "run", **options)
    cells = pd.read_csv(folder / "run" / "cells.csv")
    noisy = cells[cells["haystack"] == "gaussian"]
    return dict(zip(noisy["length_s"], noisy["mAP"], strict=True))


@pytest.mark.parametrize(
    ("protocol", "level", "at_30_s"),
    [("dass-v1", "surround", 0.728), ("niah-v2.1", "surround", 0.757), ("niah-v2.1", "mix", 0.474)],
)
def test_noise_around_a_needle_masks_nothing_and_noise_under_it_does(
    tmp_path: Path, protocol: str, level: str, at_30_s: float
) -> None:
    """60 clips, 0 dB: around the needle the 10 s score is .81; under it .45 at 10 s already, and no less at 30."""
    scores = gaussian_at_0_db(tmp_path, protocol=protocol, level=level, lengths=[30], limit=60)
    assert scores[30.0] == pytest.approx(at_30_s, abs=5e-4)
    if level == "mix":
        assert scores[10.0] == pytest.approx(0.453, abs=5e-4)


def test_noisy_or_of_windows_keeps_its_map(tmp_path: Path) -> None:
    """40 clips in 100 s: float16 sigmoids had .744."""
    windows = {"window": 10, "hop": 5, "window_pool": "noisy-or"}
    scores = gaussian_at_0_db(tmp_path, protocol="dass-v1", lengths=[100], limit=40, **windows)
    assert scores[100.0] == pytest.approx(0.776, abs=5e-4)
