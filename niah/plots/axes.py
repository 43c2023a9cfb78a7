"""Logarithmic axes whose ticks are plain numbers."""

from collections.abc import Sequence
from math import log10
from typing import TYPE_CHECKING

from niah.records.naming import length_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLOSE = 0.08  # share of the axis within which two lengths' ticks would overlap
_NARROW = 0.7  # decades below which ticks are round steps
_WIDE = 3.0  # decades from which on they are powers of ten alone


def length_axis(axes: "Axes", ticks: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with the measured lengths as ticks, thinned where they would overlap.

    Args:
        axes: of a figure.
        ticks: lengths in seconds, ascending.
    """
    axes.set_xscale("log")
    shown: list[float] = []
    for tick in ticks:
        if not shown or tick / shown[-1] > (max(ticks) / min(ticks)) ** _CLOSE:
            shown.append(tick)
    axes.set_xticks(shown, [length_name(tick).removesuffix(" s") for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel("length (s)")


def log_value_axis(axes: "Axes") -> None:
    """Make the vertical axis logarithmic, with several ticks whatever its range; after the curves are drawn.

    Args:
        axes: of a figure, with values above 0.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    decades = log10(high / low)
    if decades < _NARROW:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        steps = (1.0, 2.0, 5.0) if decades < _WIDE else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(10.0, steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
