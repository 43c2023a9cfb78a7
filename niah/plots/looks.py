"""Looks of curves: a model's colour and marker are the same in every figure of a run, its dashes say which curve of it.

Colours are Okabe and Ito's, which are told apart without colour vision. Where dashes do not suffice (a model with more
than five curves in a panel), or panels share labels of several models, each label has a colour of its own instead.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from niah.plots.small_multiples import Names, Panel, label_numbers

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
Dash = str | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = (
    *("-", (0, (4, 1.5)), (0, (1, 1.2))),
    *((0, (5, 1, 1, 1)), (0, (8, 2))),
)
CHANCE_COLOUR = "#767676"
Look = dict[str, Any]  # matplotlib's keywords of a curve


def look(index: int) -> Look:
    """Return colour and marker of the curve with that number; 49 pairs differ."""
    turn = index // len(COLOURS)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[(index + turn) % len(MARKERS)],
    }


def curve_looks(
    names: Sequence[Names],
    panels: Sequence[Panel],
    models: Sequence[str],
    rests: Iterable[Names] = (),
    dashes: Sequence[Dash] = DASHES,
) -> list[Look]:
    """Return the look of each curve; curves of one label, in several panels, have the same.

    Args:
        names: for each curve the parts of its name, the model first.
        panels: from `split(names)`.
        models: of all figures of the run, in one order.
        rests: parts after the model in the order of their dashes; others follow as they come.
        dashes: that may be used.
    """
    order = list(dict.fromkeys([*rests, *(name[1:] for name in names)]))
    numbers = label_numbers(panels)
    by_label: dict[str, list[Names]] = {label: [] for label in numbers}
    for panel in panels:
        for index, label in panel.labels.items():
            by_label[label].append(names[index])
    one_model = all(len({name[0] for name in own}) == 1 for own in by_label.values())
    looks = {label: _of_model(own, models, order, dashes) for label, own in by_label.items()}
    if not (one_model and all(_differ(looks[name] for name in p.labels.values()) for p in panels)):
        looks = {label: {**look(number), "linestyle": "-"} for label, number in numbers.items()}
    by_curve = {i: looks[label] for panel in panels for i, label in panel.labels.items()}
    return [by_curve[index] for index in range(len(names))]


def _of_model(
    own: Sequence[Names], models: Sequence[str], order: Sequence[Names], dashes: Sequence[Dash]
) -> Look:
    """Return the look of a label of one model: solid where it is in several panels."""
    dash = order.index(own[0][1:]) if len(own) == 1 else 0
    return {**look(models.index(own[0][0])), "linestyle": dashes[dash % len(dashes)]}


def _differ(looks: Iterable[Look]) -> bool:
    values = [tuple(each.values()) for each in looks]
    return len(set(values)) == len(values)


def middle_first(positions: Iterable[float]) -> list[float]:
    """Return positions in the order of their dashes: most curves have the needle in the middle, drawn solid."""
    return sorted(set(positions), key=lambda position: (position != 0.5, position))
