"""What all pictures share: colours, markers, panels, legend, the chance line, and the way to disk.

A model keeps its colour (Okabe and Ito's palette, told apart without colour vision) and its marker
in every picture; bands are 95 % intervals; the grey dashes are chance.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.system import atomic
from niah.tables.curves import LengthCurve, chance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)), (0, (8, 2)))
CHANCE_COLOUR = "#767676"
STYLE: Any = {  # matplotlib types its keys one by one
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150.0,
}
PANEL_IN = (4.6, 3.4)  # inches: two panels fill a README's width
LEGEND_LINE_IN = 0.22


@dataclass(frozen=True)
class Figure:
    """A picture on disk: `file`, its `title`, and `alt`, what it shows in words and numbers."""

    file: Path
    title: str
    alt: str


class Looks:
    """Colour and marker by model, dashes by position, the same in every picture of a run."""

    def __init__(self, found: Iterable[LengthCurve]) -> None:
        found = list(found)
        self.models = list(dict.fromkeys(who(line) for line in found))
        self.positions = sorted({line.position for line in found if line.position is not None})
        # most lines have the needle in the middle: these are drawn solid
        self.positions.sort(key=lambda position: (position != 0.5, position))

    def of(self, line: LengthCurve) -> dict[str, Any]:
        model = self.models.index(who(line))
        dash = self.positions.index(line.position) if line.position in self.positions else 0
        return {
            "color": COLOURS[model % len(COLOURS)],
            "marker": MARKERS[model % len(MARKERS)],
            "linestyle": DASHES[dash % len(DASHES)],
        }


def who(line: LengthCurve) -> str:
    """The model, and the windows it was given: a curve never holds both whole scenes and windows."""
    if line.window_s is None:
        return f"{line.model}, {line.pool}" if line.pool else line.model
    pool = "" if line.pool in ("", "max") else f" ({line.pool})"
    return f"{line.model}, {line.window_s:g} s windows{pool}"


def mark_chance(axes: "Axes", found: Iterable[LengthCurve]) -> None:
    level = chance(found)
    if level is not None:
        axes.axhline(level, color=CHANCE_COLOUR, linestyle="--", linewidth=1.2, label="chance")


def new_panels(count: int, width: float | None = None) -> "tuple[Canvas, list[Axes]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    size = (max(4.0, (width or PANEL_IN[0]) * count), PANEL_IN[1])
    canvas = Canvas(figsize=size)
    FigureCanvasAgg(canvas)  # draws without a display, and leaves the user's pyplot alone
    return canvas, list(canvas.subplots(1, count, squeeze=False)[0])


def legend(canvas: "Canvas", axes: "Axes") -> None:
    """Below the panels; from the third line on the picture grows, and the panels keep their height."""
    handles, names = axes.get_legend_handles_labels()
    more = max(0, -(-len(names) // 3) - 2)
    canvas.set_figheight(canvas.get_figheight() + LEGEND_LINE_IN * more)
    canvas.legend(
        handles, names, loc="outside lower center", ncols=min(3, len(names)), handlelength=3
    )


def slug(scene: str) -> str:
    """ "babble, -5 dB" as "babble--5dB": letters, digits, dots and dashes only."""
    text = scene.replace(", ", "-").replace(" dB", "dB")
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in text)


def save(canvas: "Canvas", file: Path, title: str, alt: str) -> Figure:
    canvas.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    with atomic.atomic_write(file) as stream:
        canvas.savefig(stream, format="png", metadata={"Software": None})
    return Figure(file, title, alt)
