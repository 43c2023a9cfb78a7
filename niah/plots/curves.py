"""Points of lines as curves with a band: (x, y, low, high)."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from niah.records.naming import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = tuple[list[float], list[float], list[float], list[float]]  # x, y, low, high
Value = Callable[[Point], tuple[float, float, float] | None]


def mAP_of(point: Point) -> tuple[float, float, float] | None:  # noqa: N802 - the column's name
    """(value, low, high)."""
    if point["mAP"] is None:
        return None
    return point["mAP"], _or(point["mAP_lo"], point["mAP"]), _or(point["mAP_hi"], point["mAP"])


def relative_of(point: Point) -> tuple[float, float, float] | None:
    value = point["relative"]
    if value is None:
        return None
    low, high = point["drop_hi"], point["drop_lo"]  # a greater drop is a smaller share
    return (
        value,
        value if low is None else 1 - low,
        value if high is None else 1 - high,
    )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def curve_of(found: Iterable[tuple[float, tuple[float, float, float] | None]]) -> Curve:
    known = [(x, *value) for x, value in found if value is not None]
    x, y, low, high = (list(column) for column in zip(*known, strict=True)) if known else ([],) * 4
    return x, y, low, high


def draw_curve(axes: "Axes", curve: Curve, name: str, look: dict[str, Any]) -> None:
    x, y, low, high = curve
    axes.plot(x, y, label=name, markersize=5, linewidth=1.8, **look)
    axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
