"""The cells of a length curve as points with a band, and their drawing."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from niah.plots.medium import medium
from niah.records.naming import Point
from niah.tables.above_chance import adjusted_share
from niah.tables.curves import relative_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = tuple[list[float], list[float], list[float], list[float]]  # x, y, low, high
Value = Callable[[Point], tuple[float, float, float] | None]


def mAP_of(point: Point) -> tuple[float, float, float] | None:  # noqa: N802 - the column's name
    """Return a cell's mAP with the bounds of its interval; None where it was not scored."""
    if point["mAP"] is None:
        return None
    return point["mAP"], _or(point["mAP_lo"], point["mAP"]), _or(point["mAP_hi"], point["mAP"])


def relative_of(point: Point) -> tuple[float, float, float] | None:
    """Return mAP / mAP at 10 s with its bounds, None where either was not scored, and of natural crops."""
    value = relative_share(point)
    if value is None:
        return None
    low, high = point["drop_hi"], point["drop_lo"]  # a greater drop is a smaller share
    return (
        value,
        value if low is None else 1 - low,
        value if high is None else 1 - high,
    )


def adjusted_of(point: Point) -> tuple[float, float, float] | None:
    """Return the chance-adjusted retention (mAP - chance) / (mAP at 10 s - chance) with its bounds.

    None where it was not scored, or where the 10 s score itself is at chance.
    """
    value = adjusted_share(point)
    if value is None:
        return None
    return value, _or(point.get("adjusted_lo"), value), _or(point.get("adjusted_hi"), value)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def curve_of(values: Iterable[tuple[float, tuple[float, float, float] | None]]) -> Curve:
    """Return (x, y, low, high) of the points that have a value, in their order."""
    known = [(x, *value) for x, value in values if value is not None]
    x, y, low, high = (list(column) for column in zip(*known, strict=True)) if known else ([],) * 4
    return x, y, low, high


def draw_curve(axes: "Axes", curve: Curve, name: str, look: dict[str, Any]) -> None:
    """Draw a curve with its 95 % band.

    Args:
        axes: of the panel.
        curve: x, y, and the bounds of y.
        name: its legend entry.
        look: matplotlib's keywords.
    """
    x, y, low, high = curve
    axes.plot(x, y, label=name, **medium().curve, **look)
    axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
