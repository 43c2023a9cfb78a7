"""Media that figures are drawn for: a page (PNG, panels side by side), a column of a paper (SVG, PDF, panels stacked).

A figure is drawn once for each medium, because a row of three panels that is scaled to a column has letters of 3 pt.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

COLUMN_IN = 3.35  # width of one column of the usual two-column styles (IEEE, ACL, Interspeech)


@dataclass(frozen=True)
class Medium:
    """File types and sizes.

    Attributes:
        formats: file types, as matplotlib names them.
        width_in: width of the figure in inches; None: as wide as its panels.
        title_pt: font size of the heading in points.
        scale: of the heights of lines, in relation to a page.
        curve: matplotlib's keywords of a curve.
        style: matplotlib's settings beside `niah.plots.style.STYLE`.
    """

    formats: tuple[str, ...]
    width_in: float | None
    title_pt: float
    scale: float
    curve: dict[str, Any]
    style: dict[str, Any] = field(default_factory=dict)


PAGE = Medium(
    ("png",),
    None,
    12.0,
    1.0,
    {"markersize": 5, "linewidth": 1.8},
    {"figure.constrained_layout.w_pad": 0.1},
)
COLUMN = Medium(
    ("svg", "pdf"),
    COLUMN_IN,
    9.0,
    0.75,
    {"markersize": 3.5, "linewidth": 1.1},
    {
        "font.size": 8.0,
        "axes.titlesize": 8.5,
        "axes.linewidth": 0.6,
        "pdf.fonttype": 42,  # whole TrueType fonts: publishers refuse type 3
        "svg.fonttype": "path",  # letters as outlines: the same on a machine without the font
        "svg.hashsalt": "niah",  # the same run gives the same bytes
    },
)
_medium: ContextVar[Medium] = ContextVar("medium", default=PAGE)


def medium() -> Medium:
    """Return the medium that figures are drawn for now."""
    return _medium.get()


@contextmanager
def drawn_for(chosen: Medium) -> Iterator[None]:
    """Draw the figures of the block for a medium."""
    token = _medium.set(chosen)
    try:
        yield
    finally:
        _medium.reset(token)
