"""Where the needle really lies: moved ones are marked, equal scenes are one line, an L85 that rests on one says so."""

import pandas as pd

from niah.records import cell_table as cells
from niah.records.schema import Row
from niah.tables.curves import distinct_curves, length_curves
from niah.tables.drop import drop_table, results_table
from niah.tables.effective_lengths import effective_lengths, lengths_table
from niah.tables.positions import MOVED_NOTE, is_moved, needle_position, position_text
from niah.tables.table import Table
from tests.helpers import examples


def run(positions: tuple[float, ...], shares: dict[float, float], protocol: str) -> pd.DataFrame:
    """Cells of one model in zeros, which keep these shares at these lengths."""
    rows = [examples.row(mAP=0.8, relative=1.0, drop=0.0, position=None, protocol=protocol)]
    for position in positions:
        for length_s, share in shares.items():
            known: Row = {"mAP": 0.8 * share, "relative": share, "drop": 1 - share}
            place: Row = {"length_s": length_s, "position": position, "protocol": protocol}
            rows.append(examples.row(**{**known, **place}))
    return cells.table(rows)


def test_dass_v1_moves_the_needle_at_20_s() -> None:
    at = {p: examples.row(length_s=20.0, position=p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)}
    assert [round(needle_position(row) or 0.0, 2) for row in at.values()] == [0, 0.51, 1, 1, 1]
    assert [is_moved(row) for row in at.values()] == [False, False, True, True, False]
    assert position_text(at[0.5]) == "0.5 (effectively 1)"
    assert position_text(at[0.0]) == "0"
    for row in at.values():
        assert position_text({**row, "protocol": "niah-v2"}) == f"{row['position']:g}"
        assert not is_moved({**row, "protocol": "niah-v2"})
    last = {**at[1.0], "length_s": 10.5, "position": 0.999, "protocol": "niah-v2.1"}
    assert needle_position(last) == 1  # by rounding: half a frame, not a move
    assert not is_moved(last)
    assert needle_position({**at[0.5], "length_s": 10.0}) is None
    assert needle_position({**at[0.5], "needle_count": 2}) == 0.5  # in sections: another rule


def test_equal_scenes_are_one_line() -> None:
    positions = (0.25, 0.5, 0.75, 1.0)
    curves = distinct_curves(length_curves(run(positions, {20.0: 0.9}, "dass-v1")))
    assert [curve.positions for curve in curves] == ["0.25", "0.5 = 0.75 = 1"]
    alike = length_curves(run((0.5, 0.50000001), {20.0: 0.9}, "niah-v2"))  # of an earlier run
    assert [curve.positions for curve in distinct_curves(alike)] == ["0.5"]
    assert len(distinct_curves(length_curves(run(positions, {20.0: 0.9}, "niah-v2")))) == 4
    apart = distinct_curves(length_curves(run(positions, {20.0: 0.9, 50.0: 0.8}, "dass-v1")))
    assert [curve.positions for curve in apart] == ["0.25", "0.5", "0.75", "1"]
    table = drop_table(run(positions, {20.0: 0.9}, "dass-v1"))
    assert [row[2] for row in table.rows] == ["0.25", "0.5 = 0.75 = 1"]


def test_tables_print_effective_positions_and_mark_moved_needles() -> None:
    shares = {20.0: 0.8, 50.0: 0.7}
    for table in (
        results_table(run((0.5,), shares, "dass-v1")),
        drop_table(run((0.5,), shares, "dass-v1")),
    ):
        (row,) = table.rows
        assert row[4].endswith(" †")
        assert "†" not in row[5]
        assert table.notes == (
            "Effective positions, as shares of the free room: 0.5 is 1 at 20 s, 0.63 at 50 s.",
            MOVED_NOTE,
        )
        assert MOVED_NOTE.split()[1] in table.markdown()
    assert results_table(run((0.5,), shares, "niah-v2")).notes == ()


def test_an_l85_that_rests_on_a_moved_needle_says_so() -> None:
    def lengths(shares: dict[float, float], protocol: str) -> tuple[list[str], Table]:
        of_run = run((0.5,), shares, protocol)
        (curve,) = length_curves(of_run)
        table = lengths_table(of_run)
        assert table is not None
        return [each.text for each in effective_lengths(curve).values() if each], table

    texts, table = lengths({20.0: 0.8, 50.0: 0.6, 100.0: 0.4}, "dass-v1")
    assert texts == ["16.8 s †", "70.7 s"]  # between 10 and 20 s; between 50 and 100 s
    assert table.notes == (MOVED_NOTE,)
    texts, table = lengths({20.0: 0.8, 50.0: 0.6, 100.0: 0.4}, "niah-v2")
    assert texts == ["16.8 s", "70.7 s"]
    assert table.notes == ()
    texts, _ = lengths({20.0: 0.9}, "dass-v1")  # two lengths are enough, as they are on the board
    assert texts == ["≥ 20 s †", "≥ 20 s †"]
