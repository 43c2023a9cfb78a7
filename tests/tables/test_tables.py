"""Tables and the lines behind them: what is in them, what is refused, what is never mixed."""

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from niah.errors import NiahError
from niah.records import cell_table as cells
from niah.records.naming import length_name
from niah.records.schema import Row
from niah.tables import drop as tables
from niah.tables.above_chance import adjusted_table
from niah.tables.curves import LengthCurve, at_one_position, length_curves
from niah.tables.effective_lengths import effective_lengths, lengths_table
from tests.helpers import examples


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return examples.make(tmp_path_factory.mktemp("tables") / "run").cells()


def test_lines_share_the_needle_alone(table: pd.DataFrame) -> None:
    found = length_curves(table)
    assert {line.haystack for line in found} == {"zero", "babble"}
    for line in found:
        assert line.base is not None
        assert line.base["mAP"] == line.base["base_mAP"]
    middle = next(line for line in found if line.position == 0.5 and line.haystack == "zero")
    assert sorted(middle.by_length) == [10, 20, 50, 100, 300]


def test_needle_alone_is_a_line_when_there_is_nothing_else(table: pd.DataFrame) -> None:
    found = length_curves(table[table["length_s"] == 10])
    assert [(line.model, line.haystack) for line in found] == [
        ("ast-sin-nano", "none"),
        ("dass-nano", "none"),
    ]


def test_entries_are_the_cells(table: pd.DataFrame) -> None:
    drop = tables.drop_table(table)
    assert drop.header == (
        "model",
        "haystack",
        "position",
        *("10 s", "20 s", "50 s", "100 s", "300 s"),
    )
    row = next(r for r in drop.rows if r[:3] == ("dass-nano", "babble, 10 dB", "0.5"))
    cell = table.query("model == 'dass-nano' and snr_db == 10 and length_s == 50").iloc[0]
    change = [
        f"{-100 * cell[name]:+.0f}".replace("-0", "0") for name in ("drop", "drop_hi", "drop_lo")
    ]
    assert row[5] == (f"{cell['mAP']:.3f} ({change[0]} % [{change[1]}, {change[2]}])")
    assert row[3] == f"{cell['base_mAP']:.3f}" + row[3][5:]
    assert row[7] == ""  # 300 s was run with zero only
    share = next(r for r in tables.results_table(table).rows if r[:3] == row[:3])
    assert share[5] == f"{100 * cell['relative']:.0f} %"


def test_failures_and_chance_are_shown(table: pd.DataFrame) -> None:
    text = tables.markdown(table)
    assert "out of memory" in text
    last = tables.drop_table(table).rows[-1]
    assert last[0] == "chance"
    assert set(last[3:]) == {f"{table['chance_mAP'].max():.3f}"}


@pytest.mark.parametrize(
    ("column", "value"), [("protocol", "niah-v2"), ("needles", "other"), ("n_clips", 7)]
)
def test_what_cannot_be_compared_is_not_mixed(
    table: pd.DataFrame, column: str, value: str | int
) -> None:
    mixed = table.copy()
    mixed.loc[0, column] = value
    with pytest.raises(NiahError, match=f"{column} .* and .* cannot be in one table"):
        tables.markdown(mixed)


@pytest.mark.parametrize(("column", "value"), [("chance_mAP", 0.2), ("classes_scored", 5)])
def test_other_clips_of_the_same_name_and_number_are_found_out(
    table: pd.DataFrame, column: str, value: float
) -> None:
    """The floor and the classes that are scored are told by the clips' labels alone."""
    mixed = table.copy()
    mixed.loc[mixed["model"] == "dass-nano", column] = value
    with pytest.raises(NiahError, match=f"different clips .*{column}"):
        tables.markdown(mixed)


def test_no_cells_is_told() -> None:
    with pytest.raises(NiahError, match="no cells"):
        tables.results_table(cells.table([]))


def test_two_checkpoints_of_a_model_are_told_apart() -> None:
    made = [examples.row(mAP=0.5, checkpoint_sha256=sha * 64) for sha in "ab"]
    names = {line.model for line in length_curves(cells.table(made))}
    assert names == {"dass-nano (aaaaaaaa)", "dass-nano (bbbbbbbb)"}


def test_windows_have_their_own_base_and_column() -> None:
    made = [
        examples.row(mAP=0.5, base_mAP=0.5, relative=1.0, drop=0.0, window_s=window)
        for window in (None, 10.0)
    ]
    shown = tables.results_table(cells.table(made))
    assert shown.header[3] == "window"
    assert [row[3] for row in shown.rows] == ["whole", "10 s"]


def test_pools_and_precisions_have_lines_of_their_own() -> None:
    made = [
        examples.row(mAP=0.5, length_s=s, window_s=window, window_pool=pool, dtype=dtype)
        for window, pool, dtype in (
            (None, None, "float32"),
            (None, None, "bfloat16"),
            (10.0, "max", "float32"),
            (10.0, "noisy-or", "float32"),
        )
        for s in (10.0, 50.0)
    ]
    found = length_curves(cells.table(made))
    assert [(line.model, line.window) for line in found] == [
        ("dass-nano, bfloat16", "whole"),
        ("dass-nano, float32", "whole"),
        ("dass-nano, float32", "10 s"),
        ("dass-nano, float32", "10 s, noisy-or"),
    ]
    for line in found:
        assert line.base is not None
        assert line.base["window_pool"] == line.by_length[50.0]["window_pool"]
        assert line.base["dtype"] == line.by_length[50.0]["dtype"]


def _in_noise(**values: float | str | None) -> Row:
    return examples.row(**{"haystack": "gaussian", "snr_db": 10.0, "base_mAP": 0.8, **values})


def test_masking_is_no_loss_with_length() -> None:
    """L85 in noise began at the clean 10 s score: it lay between that and the shortest scene, wherever that was."""
    alone = examples.row(haystack="none", position=None, mAP=0.8, relative=1.0, base_mAP=0.8)
    short = _in_noise(length_s=10.0, position=None, mAP=0.56, relative=0.7, drop=0.3)
    found = []
    for shortest_s in (40.0, 90.0):
        longer = _in_noise(length_s=shortest_s, mAP=0.52, relative=0.65)
        made = cells.table([alone, short, longer])
        (curve,) = length_curves(made)
        assert curve.noise_base is not None
        table = tables.drop_table(made)
        assert table.header[3:] == ("10 s", "10 s in noise", f"{shortest_s:g} s")
        assert table.rows[0][3:5] == ("0.800", "0.560 (-30 %)")
        found.append([length.text for length in effective_lengths(curve).values() if length])
    assert found == [["< 10 s", "≥ 40 s"], ["< 10 s", "≥ 90 s"]]


def test_scenes_with_other_clips_stand_beside_the_score_that_they_are_compared_with() -> None:
    """The labels of distractors do not count, so 10 s score and chance are others than without them."""
    alone = examples.row(haystack="none", position=None, mAP=0.8, relative=1.0, chance_mAP=0.2)
    plain = examples.row(length_s=50.0, mAP=0.6, base_mAP=0.8, drop=0.25, chance_mAP=0.2)
    others: Row = {"distractors": 2, "base_mAP": 0.9, "drop": 0.3, "relative": 0.7}
    masked = examples.row(length_s=50.0, mAP=0.63, chance_mAP=0.25, **others)
    table = tables.drop_table(cells.table([alone, plain, masked]))
    assert [row[3:] for row in table.rows] == [
        ("0.800", "0.600 (-25 %)"),
        ("0.900", "0.630 (-30 %)"),
        ("0.200 to 0.250", "0.200 to 0.250"),
    ]


def test_a_crop_is_not_compared_with_the_clip_cut_out() -> None:
    alone = examples.row(haystack="none", position=None, mAP=0.5, relative=1.0, base_mAP=0.5)
    gain: Row = {"base_mAP": 0.5, "drop": -0.4, "relative": 1.4, "chance_mAP": 0.1}
    crop = examples.row(haystack="own", length_s=60.0, mAP=0.7, **gain)
    made = cells.table([alone, crop])
    assert tables.drop_table(made).rows[0][3:] == ("0.500", "0.700")
    assert adjusted_table(made) is None
    assert lengths_table(made) is None


def test_a_drop_beyond_the_whole_score_is_not_detectable() -> None:
    alone = examples.row(haystack="none", position=None, mAP=0.5, relative=1.0, base_mAP=0.5)
    wide: Row = {"drop": 0.1, "drop_lo": -0.9, "drop_hi": 0.9, "relative": 0.9, "mAP": 0.45}
    table = lengths_table(cells.table([alone, examples.row(length_s=50.0, base_mAP=0.5, **wide)]))
    assert table is not None
    assert table.rows[0][-1] == "none"


def test_markdown_escapes_and_is_aligned() -> None:
    text = tables.markdown(cells.table([examples.row(model="a|b", mAP=0.25)]))
    assert "a\\|b" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1


def test_rich_draws_the_summary(table: pd.DataFrame) -> None:
    console = Console(width=100, record=True)
    with console.capture() as captured:
        console.print(tables.results_table(table))
    assert "dass-nano" in captured.get()
    assert "oom" in captured.get()


def test_length_names() -> None:
    assert [length_name(s) for s in (10, 12.5, 300, 3600, 9000)] == [
        *("10 s", "12.5 s", "300 s"),
        *("1 h", "2.5 h"),
    ]


def test_readme_table_is_stable(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "cells.csv", index=False)
    again = cells.read_csv(tmp_path / "cells.csv")
    assert tables.results_table(again).markdown() == tables.results_table(table).markdown()


def test_no_change_has_no_sign() -> None:
    base = examples.row(mAP=0.5, relative=1.0, drop=0.0, drop_lo=0.0, drop_hi=0.0)
    same = examples.row(
        mAP=0.5, relative=1.0, drop=0.0, drop_lo=-0.001, drop_hi=0.002, length_s=50.0
    )
    assert tables.drop_table(cells.table([base, same])).rows[0][4] == "0.500 (0 % [0, 0])"


def test_of_many_curves_those_with_the_needle_nearest_the_middle_are_shown() -> None:
    def curve(model: str, position: float | None) -> LengthCurve:
        return LengthCurve(model, "zero", None, position, None, "", {})

    curves = [curve(model, p) for model in ("a", "b") for p in (0.0, 0.4, 0.6, None)]
    assert at_one_position(curves, 8) == curves
    assert [c.position for c in at_one_position(curves, 7)] == [0.4, None, 0.4, None]
    assert at_one_position(curves[:1] * 9, 7) == curves[:1] * 9
