"""Small multiples: more than eight curves are split into panels by the part of their names that needs fewest panels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_CURVES = 8
Names = tuple[str, ...]  # the parts of a curve's name: model, position of the needle ..


@dataclass(frozen=True)
class Panel:
    """Curves that are drawn together.

    Attributes:
        title: the common part of their names, "" where all curves are in one panel.
        labels: the rest of each name, by the curve's index in the list that was split; with "(part 2)" where curves
            that differ in this name alone are in several panels, which share a legend.
    """

    title: str
    labels: dict[int, str]


def split(names: Sequence[Names]) -> list[Panel]:
    """Arrange curves in panels of at most eight.

    Args:
        names: for each curve the parts of its name, equally many.

    Returns:
        One panel for up to eight curves. Else one for each value of the part of the names that makes the fewest
        panels; where a value has more than eight curves, or only one part varies, in pieces of eight.
    """
    parts = range(len(names[0])) if names else range(0)
    varying = [part for part in parts if len({name[part] for name in names}) > 1]
    if len(names) <= MOST_CURVES or len(varying) < 2:
        return _pieces("", {i: _label(name, varying or [0]) for i, name in enumerate(names)})
    by_part = {part: _grouped(names, part) for part in varying}
    best = min(varying, key=lambda part: _panels(by_part[part]))
    others = [part for part in varying if part != best]
    return [
        panel
        for value, members in by_part[best].items()
        for panel in _pieces(value, {i: _label(names[i], others) for i in members})
    ]


def label_numbers(panels: Iterable[Panel]) -> dict[str, int]:
    """Number the labels: a label that several panels share is one entry of their legend, and of one look."""
    labels = dict.fromkeys(label for panel in panels for label in panel.labels.values())
    return {label: number for number, label in enumerate(labels)}


def _grouped(names: Sequence[Names], part: int) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(name[part], []).append(index)
    return groups


def _panels(groups: dict[str, list[int]]) -> int:
    return sum(-(-len(members) // MOST_CURVES) for members in groups.values())


def _label(name: Names, parts: Sequence[int]) -> str:
    return ", ".join(filter(None, (name[part] for part in parts)))


def _pieces(title: str, labels: dict[int, str]) -> list[Panel]:
    items = list(labels.items())
    pieces = [items[i : i + MOST_CURVES] for i in range(0, len(items), MOST_CURVES)]
    if len(pieces) < 2:
        return [Panel(title, dict(piece)) for piece in pieces]
    return [
        Panel(
            ", ".join(filter(None, (title, f"part {n}"))),
            {i: f"{label} (part {n})" for i, label in piece},
        )
        for n, piece in enumerate(pieces, 1)
    ]
