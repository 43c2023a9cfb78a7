"""An axis is declared once: columns, cells, options of a run, keywords and command line come from the table."""

from dataclasses import fields
from typing import Any

import pytest

from niah.api import _plain
from niah.cli.axes import with_axes
from niah.errors import NiahError
from niah.records.axes import ARRANGING_AXES, AXES, SCENE_AXES, Axes
from niah.records.naming import axes_name
from niah.records.schema import OPTIONAL_COLUMNS
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell

V2 = "niah-v2"
ANOTHER: dict[str, Any] = {  # a value of each that is not its plain one
    "control": "sham",
    "pooling": "max",
    "level": "mix",
    "needle_s": 2.5,
    "needle_count": 2,
    "distractors": 3,
    "needles_per_scene": 4,
}


def test_each_axis_is_a_column_a_field_of_a_cell_and_an_option_of_a_run() -> None:
    assert [each.name for each in fields(Axes)] == list(AXES) == list(ANOTHER)
    assert list(OPTIONAL_COLUMNS)[: len(AXES)] == list(AXES)
    cell = Cell("m", "zero", 20.0, None, 0.5)
    options = RunOptions()
    for name, axis in AXES.items():
        assert OPTIONAL_COLUMNS[name] is axis.kind
        assert getattr(cell, name) is None
        plain: tuple[str | float, ...] = () if axis.plain is None else (axis.plain,)
        if name == "level":
            plain = ("mix",)  # the protocol's own
        assert options.values_of(axis) == plain


@pytest.mark.parametrize("name", AXES)
def test_each_axis_takes_another_value_and_refuses_a_wrong_one(name: str) -> None:
    axis, value = AXES[name], ANOTHER[name]

    def options(protocol: str, value: Any) -> RunOptions:
        changes: dict[str, Any] = {axis.values: value if name == "level" else (value,)}
        return RunOptions(protocol=protocol, **changes)

    assert options(V2, value).values_of(axis) == (value,)
    with pytest.raises(NiahError, match=axis.option):
        options(V2, "nonsense" if axis.kind is str else -1)
    if axis.absent_from:
        with pytest.raises(NiahError, match=f"{axis.option} is not part of dass-v1"):
            options("dass-v1", value)


def test_scenes_are_named_by_their_axes() -> None:
    assert axes_name(ANOTHER) == "mix, needle 2.5 s, 2 needles, 3 distractors, 4 different needles"
    assert set(ARRANGING_AXES) < set(SCENE_AXES)


@pytest.mark.parametrize("name", AXES)
def test_python_and_the_command_line_take_each_axis(name: str) -> None:
    axis, value = AXES[name], ANOTHER[name]
    if name != "level":
        assert _plain(axis.values, value) == _plain(axis.values, [value]) == (value,)
    taken: dict[str, Any] = {}

    def command(*, axes: dict[str, Any]) -> None:
        taken.update(axes)

    typed: dict[str, Any] = dict.fromkeys(AXES)
    with_axes(command)(**{**typed, name: [str(value)]})
    assert taken == {axis.values: str(value) if name == "level" else (value,)}
