"""A model looks the same in every figure, and no two curves of a panel look alike."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from niah.diagnosis.false_alarms import figure as false_alarms
from niah.diagnosis.false_alarms.rows import RecallAtRate
from niah.plots import draw, style
from niah.plots.looks import Look, curve_looks, look, middle_first
from niah.plots.small_multiples import split
from niah.records import cell_table
from niah.records.schema import Row
from tests.helpers import examples

POSITIONS = (0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0)


@pytest.mark.parametrize("models", [1, 2, 3, 9])
@pytest.mark.parametrize("positions", [1, 2, 5, 6, 8, 9])
def test_no_two_curves_of_a_panel_look_alike(models: int, positions: int) -> None:
    kinds = list(product([f"m{i}" for i in range(models)], [f"{p:g}" for p in POSITIONS]))
    names = [kind for kind in kinds if POSITIONS.index(float(kind[1])) < positions]
    panels = split(names)
    looks = curve_looks(names, panels, sorted({model for model, _ in names}))
    for panel in panels:
        drawn = {_key(looks[index]) for index in panel.labels}
        assert len(drawn) == len(panel.labels)
    by_label: dict[str, set[Any]] = {}
    for panel in panels:
        for index, label in panel.labels.items():
            by_label.setdefault(label, set()).add(_key(looks[index]))
    assert {len(seen) for seen in by_label.values()} == {1}


def test_dashes_are_of_positions_and_colours_of_models() -> None:
    names = list(product(["a", "c"], ["at 0", "at 0.5"]))
    looks = curve_looks(names, split(names), ["a", "b", "c"], [("at 0.5",), ("at 0",)])
    assert [each["color"] for each in looks] == [look(i)["color"] for i in (0, 0, 2, 2)]
    assert [each["linestyle"] == "-" for each in looks] == [False, True, False, True]
    assert middle_first([1, 0, 0.5, 0, 0.25]) == [0.5, 0, 0.25, 1]


def test_a_model_has_its_colour_in_the_figures_of_recall_at_false_alarms_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The rows come in the order of the run, the models of figures by name."""
    seen: dict[str, dict[str, set[str]]] = {}

    def look_at(canvas: Figure, title: str) -> None:
        own = seen.setdefault(title, {})
        for line in (line for axes in canvas.axes for line in axes.get_lines()):
            model, at, _ = str(line.get_label()).partition(", needle at ")
            if at:
                own.setdefault(model, set()).add(str(line.get_color()))

    monkeypatch.setattr(style, "fit", look_at)
    where = list(product("ba", (0.0, 0.5), (20.0, 50.0)))
    draw(cell_table.table([_cell(*each) for each in where]), tmp_path)
    false_alarms.draw([_recall(*each) for each in where], tmp_path)
    length, recall = (own for own in seen.values() if own)
    assert length == recall == {"a": {look(0)["color"]}, "b": {look(1)["color"]}}


def _cell(model: str, position: float, length_s: float) -> Row:
    scene: dict[str, Any] = {"model": model, "position": position, "length_s": length_s}
    return examples.row(mAP=0.5, mAP_lo=0.4, mAP_hi=0.6, chance_mAP=0.1, **scene)


def _recall(model: str, position: float, length_s: float) -> RecallAtRate:
    row: dict[str, Any] = dict.fromkeys(RecallAtRate.__dataclass_fields__, 0.5)
    row |= {"model": model, "position": position, "length_s": length_s, "snr_db": None}
    return RecallAtRate(**row | {"haystack": "zero", "axes": "", "window": "whole"})


def _key(each: Look) -> tuple[str, str, str]:
    return each["color"], each["marker"], str(each["linestyle"])
