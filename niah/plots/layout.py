"""The layout of a figure before it is written: every title, label and legend fits its space.

matplotlib's constrained layout separates texts but does not break one that is wider than its panel. Here titles are
wrapped to their panel, the legend has as many columns as fit the figure, and the figure grows with both, so that the
panels keep their size.
"""

from typing import TYPE_CHECKING, Any

from niah.plots.medium import PAGE, medium
from niah.plots.text import draw_as_plain_text, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.legend import Legend

MARGIN_IN = 0.25
LINE_IN = 0.2  # height of one line of a title or a legend
HANDLE_IN = 0.75  # of a legend's entry: its line sample and the gaps
LINES_HAD = 2  # lines of the legend that fit into a panel's usual height


def fit(canvas: "Canvas", title: str) -> None:
    """Add the heading to a figure of a page and fit all its texts; the figure may become higher.

    Args:
        canvas: the figure, complete except for its heading.
        title: the heading, of any length.
    """
    line_in = LINE_IN * medium().scale
    more = 0.0
    if medium() is PAGE:
        heading = wrapped(title, canvas.get_figwidth() - MARGIN_IN, PAGE.title_pt, bold=True)
        canvas.suptitle(heading, x=0.01, ha="left", fontsize=PAGE.title_pt, fontweight="bold")
        more = line_in * heading.count("\n")
    draw_as_plain_text(canvas)
    for legend in list(canvas.legends):
        more += max(0.0, _refit_legend(canvas, legend) - LINES_HAD) * line_in
    canvas.set_figheight(canvas.get_figheight() + more)
    draw_as_plain_text(canvas)  # also the texts of the new legend
    _arrange(canvas)
    broken = [_wrap_labels(axes) for axes in canvas.axes]
    if any(broken):
        _arrange(canvas)
    canvas.set_layout_engine("none")  # arranged once: it is most of the time of a figure


def _arrange(canvas: "Canvas") -> None:
    """Lay out the panels, without drawing them."""
    engine = canvas.get_layout_engine()
    if engine is not None:
        engine.execute(canvas)


def _refit_legend(canvas: "Canvas", legend: "Legend") -> float:
    """Place a legend again in as many columns as fit; return its number of lines."""
    names = [text.get_text() for text in legend.get_texts()]
    handles = [handle for handle in legend.legend_handles if handle is not None]
    width = canvas.get_figwidth() - MARGIN_IN
    size = float(legend.get_texts()[0].get_fontsize()) if names else medium().title_pt
    longest = max((_text_width(canvas, text) for text in legend.get_texts()), default=0.0)
    columns = max(1, min(4, len(names), int(width / (longest + HANDLE_IN))))
    names = [wrapped(name, width / columns - HANDLE_IN, size) for name in names]
    legend.remove()
    place: Any = "outside lower center"
    canvas.legend(handles, names, loc=place, ncols=columns, handlelength=3)
    tallest = max((name.count("\n") + 1 for name in names), default=1)
    return -(-len(names) // columns) * tallest


def _text_width(canvas: "Canvas", text: Any) -> float:
    box = text.get_window_extent(canvas.canvas.get_renderer())  # type: ignore[attr-defined]
    return float(box.width) / float(canvas.dpi)


def _wrap_labels(axes: "Axes") -> bool:
    """Break the panel's title and axis labels where they are longer than the panel; return whether any was."""
    figure = axes.figure
    box = axes.get_window_extent()
    width, height = box.width / figure.dpi, box.height / figure.dpi
    changed = False
    for text, room in (
        (axes.title, width),
        (axes.xaxis.label, width),
        (axes.yaxis.label, height),
    ):
        if text.get_text():
            before = text.get_text()
            text.set_text(wrapped(before, room, float(text.get_fontsize())))
            changed |= text.get_text() != before
    return changed
