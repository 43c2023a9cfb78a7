"""dass-nano on its own synthetic clips: figures computed by independent code (`make test-slow`)."""

from pathlib import Path

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
