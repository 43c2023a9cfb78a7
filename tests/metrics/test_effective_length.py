"""L85 and L50: planted lengths are found, censored ends are said, the interval turns the band round."""

import math
from pathlib import Path

import numpy as np
import pytest

from niah.errors import NiahError
from niah.metrics.drop import detectable_drop
from niah.metrics.effective_length import Reached, effective_length
from niah.records import cell_table as cells
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from niah.tables.curves import length_curves
from niah.tables.effective_lengths import KeptLength, length_of, lengths_table
from tests.helpers import examples


def test_a_straight_line_in_log_length_is_read_off_exactly() -> None:
    lengths = [10.0, 20.0, 100.0, 1000.0, 5000.0]
    relative = [1.0 - 0.25 * math.log10(length / 10) for length in lengths]
    for share, expected in ((0.85, 10 * 10**0.6), (0.5, 1000.0)):
        found = effective_length(lengths, relative, share)
        assert found.at.censored == ""
        assert found.at.length_s == pytest.approx(expected, rel=1e-12)
        assert not found.dips


def test_order_does_not_matter() -> None:
    straight = effective_length([10, 50, 300], [1.0, 0.8, 0.3], 0.5)
    assert effective_length([300, 10, 50], [0.3, 1.0, 0.8], 0.5) == straight


def test_ends_are_censored_not_guessed() -> None:
    assert effective_length([10, 50], [1.0, 0.9], 0.85).at == Reached(50.0, ">=")
    assert effective_length([50, 300], [0.7, 0.2], 0.85).at == Reached(50.0, "<")
    assert effective_length([50], [0.85], 0.85).at == Reached(50.0, ">=")


def test_what_comes_back_counts_and_is_marked() -> None:
    found = effective_length([10, 20, 50, 100], [1.0, 0.4, 0.6, 0.2], 0.5)
    assert 50 < found.at.length_s < 100
    assert found.dips
    assert KeptLength(found, at_chance=False).text.endswith(" *")


def test_the_interval_is_where_the_bounds_cross() -> None:
    lengths, relative = [10.0, 100.0, 1000.0], [1.0, 0.6, 0.2]
    low, high = [1.0, 0.5, 0.1], [1.0, 0.7, 0.52]
    found = effective_length(lengths, relative, 0.5, (low, high))
    assert found.low == effective_length(lengths, low, 0.5).at
    assert found.low.length_s == pytest.approx(100.0)
    assert found.high == Reached(1000.0, ">=")
    assert found.low.length_s < found.at.length_s < 1000
    missing = effective_length(lengths, relative, 0.5, ([math.nan] * 3, high))
    assert missing.low is None


def test_bad_input_is_told() -> None:
    with pytest.raises(NiahError, match="at least one"):
        effective_length([], [], 0.5)
    with pytest.raises(NiahError, match="different"):
        effective_length([10, 10], [1, 1], 0.5)
    with pytest.raises(NiahError, match="bounds"):
        effective_length([10, 20], [1, 0.5], 0.5, ([1.0], [1.0]))


def test_a_scorer_deaf_after_a_minute_has_an_l50_of_a_minute(tmp_path: Path) -> None:
    """The planted effect, through stored scores, summary and table: heard up to 60 s, then noise."""
    lengths = (10.0, 20.0, 40.0, 60.0, 61.0, 120.0, 600.0)
    clips, classes = [f"clip{i}" for i in range(120)], [f"c{i}" for i in range(12)]
    targets = np.arange(120)[:, None] % 12 == np.arange(12)
    noise = np.random.default_rng(0).normal(size=(len(lengths), *targets.shape))
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for length_s, each in zip(lengths, noise, strict=True):
            row = examples.row(length_s=length_s, n_clips=120)
            logits = 4.0 * targets * (length_s <= 60) + each
            labels = [[classes[i % 12]] for i in range(120)]
            scores = 1 / (1 + np.exp(-logits))
            run.write_scores(str(row["cell"]), clips, labels, scores, classes=classes)
            run.write_rows([(row, None)])
        summarise(run)
        (line,) = length_curves(run.cells())
    found = length_of(line, 0.5)
    assert found is not None
    assert found.at.length_s == pytest.approx(60.5, abs=0.5)
    assert found.low is not None
    assert found.high is not None
    assert 60 <= found.low.length_s <= found.at.length_s <= found.high.length_s <= 61


def test_table_shows_lengths_intervals_and_what_is_detectable() -> None:
    base = examples.row(mAP=0.8, base_mAP=0.8, relative=1.0, drop=0.0, drop_lo=0.0, drop_hi=0.0)
    base |= {"auc": 0.9, "d_prime": 1.812, "chance_mAP": 0.1}
    longer = [
        examples.row(
            **{"length_s": s, "mAP": 0.8 * r, "base_mAP": 0.8, "relative": r, "drop": 1 - r},
            drop_lo=0.9 - r,
            drop_hi=1.1 - r,
        )
        for s, r in ((100.0, 0.7), (1000.0, 0.3))
    ]
    table = lengths_table(cells.table([base, *longer]))
    assert table is not None
    assert table.header == (
        *("model", "haystack", "position", "10 s mAP", "AUC", "d'", "L85", "L50", "detectable"),
    )
    expected = [10 ** (1 + (1 - share) / (1 - r)) for share, r in ((0.85, 0.7),)]
    (row,) = table.rows
    assert row[3:6] == ("0.800", "0.900", "1.81")
    assert row[6].startswith(f"{expected[0]:.3g} s [")
    assert row[7] == "316 s [178 s, 562 s]"
    assert row[8] == f"{100 * detectable_drop(0.2, 0.4):.1f}"
    brief = lengths_table(cells.table([base, *longer]), brief=True)
    assert brief is not None
    assert brief.rows[0][-1] == "316 s"


def test_no_length_below_chance_and_no_table_without_a_longer_cell() -> None:
    base = examples.row(mAP=0.2, relative=1.0, chance_mAP=0.15)
    longer = examples.row(mAP=0.15, relative=0.75, length_s=50.0, chance_mAP=0.15)
    table = lengths_table(cells.table([base, longer]))
    assert table is not None
    assert table.rows[0][-2:] == ("chance", "")
    assert not table.rows[0][6].startswith("chance")
    assert lengths_table(cells.table([base])) is None


def test_windows_are_lines_of_their_own() -> None:
    made = [
        examples.row(mAP=0.5, relative=relative, length_s=s, window_s=window, window_pool=pool)
        for window, pool in (
            (None, None),
            (10.0, "max"),
            (10.0, "mean"),
        )
        for s, relative in ((10.0, 1.0), (100.0, 0.5))
    ]
    table = lengths_table(cells.table(made))
    assert table is not None
    assert [row[3] for row in table.rows] == ["whole", "10 s", "10 s, mean"]
    assert np.unique([row[-2] for row in table.rows]).size == 1
