"""Chance-adjusted shares: 0 for guessing whatever its share of the 10 s score, 1 for an unchanged score."""

from statistics import mean

from niah.records import cell_table as cells
from niah.tables.above_chance import adjusted_share, adjusted_table, needle_free_table
from tests.helpers import examples


def test_a_share_of_a_model_that_guesses_is_not_above_chance() -> None:
    base = {"base_mAP": 0.152, "chance_mAP": 0.145}
    guessing = examples.row(mAP=0.145, relative=0.145 / 0.152, length_s=50.0, **base)
    assert adjusted_share(guessing) == 0.0
    assert adjusted_share({**guessing, "mAP": 0.152}) == 1.0
    assert adjusted_share({**guessing, "base_mAP": 0.14}) is None
    assert adjusted_share({**guessing, "mAP": None}) is None
    assert adjusted_share({**guessing, "adjusted": 0.3}) == 0.3
    assert adjusted_share({**guessing, "adjusted": None, "drop_lo": 0.0}) is None  # 10 s at chance
    assert adjusted_share({**guessing, "adjusted": 0.3, "haystack": "own"}) is None


def test_tables_have_intervals_where_cells_do_and_the_needle_free_floor() -> None:
    known = {"base_mAP": 0.8, "chance_mAP": 0.1}
    rows = [
        examples.row(mAP=0.8, relative=1.0, position=None, **known),
        examples.row(mAP=0.45, length_s=50.0, **known),
        examples.row(
            **{"mAP": 0.1, "length_s": 100.0, "adjusted": 0.0, "adjusted_lo": -0.05},
            **{"adjusted_hi": 0.06, "needle_free_mAP": 0.123},
            **known,
        ),
    ]
    table = adjusted_table(cells.table(rows))
    assert table is not None
    assert table.header[3:] == ("50 s", "100 s")
    assert table.rows[0][3:] == ("50 %", "0 % [-5, 6]")
    floor = needle_free_table(cells.table(rows))
    assert floor is not None
    assert floor.rows[0][3:] == ("", "0.123")
    assert needle_free_table(cells.table(rows[:2])) is None
    assert adjusted_table(cells.table(rows[:1])) is None


NANO_300_S = {  # mAP at 300 s and at 10 s of three trainings each, chance .1224 (results/nano)
    "AST, 1-D": ((0.2237, 0.3679), (0.1808, 0.3374), (0.1961, 0.3439)),
    "AST, 2-D": ((0.2916, 0.3729), (0.3263, 0.4541), (0.2276, 0.3110)),
    "AuM": ((0.1542, 0.3103), (0.1725, 0.2926), (0.2073, 0.3041)),
    "DASS": ((0.3454, 0.5411), (0.3439, 0.5397), (0.3534, 0.5752)),
    "DASS, shorter memory": ((0.4272, 0.5152), (0.3841, 0.4919), (0.3602, 0.5137)),
}


def test_chance_decides_which_of_two_models_holds() -> None:
    """Raw shares put AuM, AST and DASS within 6 points of each other; above chance DASS keeps half more."""

    def above_chance(own: float, base: float) -> float:
        row = examples.row(mAP=own, base_mAP=base, chance_mAP=0.1224, length_s=300.0)
        return adjusted_share(row) or 0.0

    adjusted = {name: mean(above_chance(*each) for each in NANO_300_S[name]) for name in NANO_300_S}
    raw = {name: mean(own / base for own, base in NANO_300_S[name]) for name in NANO_300_S}
    assert {name: round(value, 2) for name, value in adjusted.items()} == {
        **{"AST, 1-D": 0.34, "AST, 2-D": 0.62, "AuM": 0.31, "DASS": 0.52},
        "DASS, shorter memory": 0.70,
    }
    assert {name: round(100 * raw[name]) for name in ("AuM", "AST, 1-D", "DASS")} == {
        **{"AuM": 59, "AST, 1-D": 57, "DASS": 63},
    }
