"""Names from outside in figures: shortened, wrapped to a width, and drawn as plain text.

Model, haystack and needle names are file names of users. In a figure they must not be parsed as mathematics, fail for a
missing glyph, or leave the panel.
"""

import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure as Canvas

NAME_LENGTH = 40  # letters of one name; a legend entry joins two or three
MOST_LINES = 3
POINTS_PER_INCH = 72.0


def short_name(name: str, letters: int = NAME_LENGTH) -> str:
    """Shorten a name to its start and its end, where names usually differ.

    Args:
        name: any text.
        letters: most letters of the result.

    Returns:
        A printable name.
    """
    name = printable(name)
    if len(name) <= letters:
        return name
    tail = letters // 3
    return f"{name[: letters - tail - 1]}…{name[-tail:]}"


def printable(text: str) -> str:
    """Return `text` with a space for each control character and a mark for each half of a surrogate pair."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if "\ud800" <= letter <= "\udfff"
        else letter
        if letter == "\n" or letter.isprintable()
        else " "
        for letter in text
    )


def wrapped(text: str, width_in: float, size_pt: float, *, bold: bool = False) -> str:
    """Break `text` into at most three lines of `width_in` inches; the last one is cut if it does not fit.

    Args:
        text: a title or label, of one line.
        width_in: the available width in inches.
        size_pt: font size in points.
        bold: whether it is drawn bold, which is wider.

    Returns:
        The lines, joined by newlines.
    """
    text = " ".join(printable(text).split())
    letters = max(len(text), 1)
    while (widest := max(map(_width, _lines(text, letters, size_pt, bold)))) > width_in:
        letters = min(letters - 1, int(letters * width_in / widest) + 1)
        if letters < 4:
            break
    lines = textwrap.wrap(text, max(letters, 3)) or [""]
    if len(lines) > MOST_LINES:
        last = lines[MOST_LINES - 1]
        while len(last) > 1 and _width((f"{last}…", size_pt, bold)) > width_in:
            last = last[:-1]
        lines = [*lines[: MOST_LINES - 1], f"{last}…"]
    return "\n".join(lines)


Measured = tuple[str, float, bool]


def _lines(text: str, letters: int, size_pt: float, bold: bool) -> list[Measured]:
    return [(line, size_pt, bold) for line in textwrap.wrap(text, letters) or [""]]


@cache
def _width(measured: Measured) -> float:
    """Return the width in inches of one line of text."""
    from matplotlib.font_manager import FontProperties

    line, size_pt, bold = measured
    font = FontProperties(size=size_pt, weight="bold" if bold else "normal")
    measure: Any = _renderer().get_text_width_height_descent
    width, _, _ = measure(line, font, ismath=False)
    return float(width) / POINTS_PER_INCH


@cache
def _renderer() -> "RendererAgg":
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, POINTS_PER_INCH)  # type: ignore[no-untyped-call]


def draw_as_plain_text(canvas: "Canvas") -> None:
    """Switch off mathematics in all texts but tick labels, which matplotlib itself writes as mathematics."""
    from matplotlib.text import Text

    axes = [axis for each in canvas.axes for axis in (each.xaxis, each.yaxis)]
    ticks = {id(text) for axis in axes for text in axis.findobj(Text) if text is not axis.label}
    for text in canvas.findobj(Text):
        if isinstance(text, Text) and id(text) not in ticks:
            text.set_parse_math(False)
            text.set_text(printable(text.get_text()))
