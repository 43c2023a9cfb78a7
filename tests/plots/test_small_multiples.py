"""Panels of many curves: never more than eight, every curve once, labelled by what differs."""

from collections import Counter
from itertools import product

import pytest

from niah.plots.small_multiples import MOST_CURVES, Names, label_numbers, split


def names(*counts: int) -> list[Names]:
    """Every combination of so many values in each part of a name."""
    parts = [[f"{part}{value}" for value in range(count)] for part, count in enumerate(counts)]
    return list(product(*parts))


@pytest.mark.parametrize(
    "counts", [(1, 1), (8, 1), (2, 4), (6, 5), (9, 1), (20, 1), (1, 20), (20, 2), (9, 9), (40, 3)]
)
def test_every_curve_is_in_one_panel_of_at_most_eight(counts: tuple[int, int]) -> None:
    given = names(*counts)
    panels = split(given)
    assert Counter(i for panel in panels for i in panel.labels) == Counter(range(len(given)))
    assert max(len(panel.labels) for panel in panels) <= MOST_CURVES
    shown = {(panel.title, label) for panel in panels for label in panel.labels.values()}
    assert len(shown) == len(given)  # no two curves have one panel and one label


def test_few_curves_share_a_panel_and_are_labelled_by_what_differs() -> None:
    (panel,) = split([("dass", "at 0.5"), ("ast", "at 0.5")])
    assert (panel.title, list(panel.labels.values())) == ("", ["dass", "ast"])
    (panel,) = split([("dass", "at 0"), ("dass", "at 1")])
    assert list(panel.labels.values()) == ["at 0", "at 1"]
    (panel,) = split([("dass", ""), ("ast", "at 1")])
    assert list(panel.labels.values()) == ["dass", "ast, at 1"]


def test_many_curves_have_a_panel_for_each_value_of_the_part_that_needs_the_fewest() -> None:
    assert [panel.title for panel in split(names(6, 5))] == ["10", "11", "12", "13", "14"]
    assert [len(panel.labels) for panel in split(names(2, 7))] == [7, 7]
    first, second = split(names(9, 1))
    assert (first.title, second.title) == ("part 1", "part 2")
    assert first.labels[0] == "00 (part 1)"  # one legend for both
    assert second.labels == {8: "08 (part 2)"}


def test_no_curves_make_one_empty_panel_or_none() -> None:
    assert sum(len(panel.labels) for panel in split([])) == 0


def test_a_label_that_panels_share_has_one_look() -> None:
    panels = split(names(3, 5))
    assert len(panels) == 3
    assert label_numbers(panels) == {f"1{value}": value for value in range(5)}
