"""The common style of all figures: panels, the legend, the chance line, file names, and writing to disk.

Bands are 95 % intervals; grey dashes are chance. Colours, markers and dashes are in `niah.plots.looks`.
"""

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from niah.plots.layout import fit
from niah.plots.looks import CHANCE_COLOUR, middle_first
from niah.plots.matplotlib_folder import find_matplotlib_folder
from niah.plots.medium import COLUMN, PAGE, drawn_for, medium
from niah.plots.text import short_name
from niah.records.naming import with_windows
from niah.system import atomic, folders
from niah.tables.curves import LengthCurve, chance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Drawn = TypeVar("Drawn")
CHANCE = "chance"
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
_STACKED_IN = 1.9  # height of a panel in a column
SLUG_LENGTH = 80  # letters of a scene in a file name; file systems allow 255 bytes in all


@dataclass(frozen=True)
class Figure:
    """A figure on disk.

    Attributes:
        file: the PNG, or the SVG of one that is drawn for a column.
        title: its heading.
        alt: its content in words and numbers.
        width_in: its width in inches.
    """

    file: Path
    title: str
    alt: str
    width_in: float


class RunFigures:
    """Models and positions in the order of their looks, and file names by scene, the same for all figures of a run.

    Attributes:
        models: labels of the models, in the order of their colours.
        positions: of needles, the middle first.
    """

    def __init__(self, curves: Iterable[LengthCurve]) -> None:
        curves = list(curves)
        self.models = sorted({who(curve) for curve in curves})
        self.positions = middle_first(c.position for c in curves if c.position is not None)
        self._slugs = slugs(curve.scene for curve in curves)

    def slug(self, scene: str) -> str:
        """Return the scene's part of a file name, different for each scene of the run."""
        return self._slugs.get(scene) or slug(scene)


def who(curve: LengthCurve) -> str:
    """Return the label of a curve: the model, and the pooling of its windows or positions."""
    return with_windows(short_name(curve.model), curve.window)


def scene_label(curve: LengthCurve) -> str:
    """Return the scene for a title, with a long haystack name shortened."""
    return curve.scene.replace(curve.haystack, short_name(curve.haystack), 1)


def mark_chance(axes: "Axes", curves: Iterable[LengthCurve]) -> None:
    """Draw the expected mAP of random scores on the curves' clips as grey dashes."""
    level = chance(curves)
    if level is not None:
        axes.axhline(level, color=CHANCE_COLOUR, linestyle="--", linewidth=1.2, label=CHANCE)


def new_panels(count: int, width: float | None = None) -> "tuple[Canvas, list[Axes]]":
    """Make a figure with one row of panels.

    Args:
        count: number of panels.
        width: of each in inches; 4.6 if None.

    Returns:
        The figure and its panels.
    """
    canvas, rows = new_grid(1, count, (width or PANEL_IN[0], PANEL_IN[1]))
    return canvas, rows[0]


def new_grid(
    rows: int, columns: int, panel_in: tuple[float, float]
) -> "tuple[Canvas, list[list[Axes]]]":
    """Make a figure with a grid of panels.

    Args:
        rows: of panels.
        columns: of panels.
        panel_in: (width, height) of a panel in inches.

    Returns:
        The figure and its panels by row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    width_in = medium().width_in
    if width_in is not None:  # a column has one panel a row
        canvas = Canvas(figsize=(width_in, _STACKED_IN * rows * columns))
        FigureCanvasAgg(canvas)
        stacked = canvas.subplots(rows * columns, 1, squeeze=False)
        return canvas, [list(each) for each in stacked.reshape(rows, columns)]
    canvas = Canvas(figsize=(max(4.0, panel_in[0] * columns), panel_in[1] * rows))
    FigureCanvasAgg(canvas)  # draws without a display and without pyplot's state
    return canvas, [list(row) for row in canvas.subplots(rows, columns, squeeze=False)]


def legend(canvas: "Canvas", *axes: "Axes", last: str = CHANCE) -> None:
    """Place one legend below the panels, each label once, `last` last; `save` fits it to the figure's width."""
    handles: dict[str, Any] = {}
    for each in axes:
        for handle, name in zip(*each.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if last in handles:
        handles[last] = handles.pop(last)
    if handles:
        canvas.legend(
            [*handles.values()], [*handles], loc="outside lower center", ncols=3, handlelength=3
        )


def slug(scene: str) -> str:
    """Return "babble, -5 dB" as "babble--5dB": letters, digits, dots and dashes, at most 80 of them."""
    text = scene.replace(", ", "-").replace(" dB", "dB")
    safe = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in text)
    if len(safe) <= SLUG_LENGTH:
        return safe
    digest = sha256(scene.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe[: SLUG_LENGTH - 9]}-{digest}"


def slugs(scenes: Iterable[str]) -> dict[str, str]:
    """Return a part of a file name for each scene; two may differ only in letters that `slug` replaces."""
    distinct = list(dict.fromkeys(scenes))
    names = folders.numbered(map(slug, distinct))
    return {scene: name.replace(" ", "-") for scene, name in zip(distinct, names, strict=True)}


def save(canvas: "Canvas", file: Path, title: str, alt: str) -> Figure:
    """Write a figure in the formats of the medium, atomically and with all its texts inside.

    Args:
        canvas: the figure, without its heading.
        file: the PNG; other formats have its name with their own suffix.
        title: its heading; a column has none, the paper's caption says it.
        alt: its content in words.

    Returns:
        The figure on disk, in the first format.

    Raises:
        NiahError: the file cannot be written.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        fit(canvas, title)
        files = [_write(canvas, file, kind) for kind in medium().formats]
    return Figure(files[0], title, alt, float(canvas.get_figwidth()))


_METADATA: dict[str, dict[str, Any]] = {  # without dates: the same run gives the same bytes
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def _write(canvas: "Canvas", file: Path, kind: str) -> Path:
    target = file.with_name(f"{file.name.removesuffix('.png')}.{kind}")
    with atomic.atomic_write(target) as stream:
        write_as(canvas, stream, kind)
    return target


def write_as(canvas: "Canvas", stream: IO[bytes], kind: str) -> None:
    """Write a figure whose texts fit (`niah.plots.layout.fit`) as "png", "svg" or "pdf"."""
    # it is arranged already; `savefig` would draw it twice
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    writers: Any = {"png": FigureCanvasAgg, "pdf": FigureCanvasPdf, "svg": FigureCanvasSVG}
    writer = writers[kind](canvas)
    if kind == "png" and rcParams["savefig.dpi"] != "figure":
        canvas.set_dpi(rcParams["savefig.dpi"])
    getattr(writer, f"print_{kind}")(stream, metadata=_METADATA[kind])


def draw_all(draw: Callable[[], Drawn], *, columns: bool) -> Drawn:
    """Draw figures for the page, and again for a column of a paper.

    Args:
        draw: draws and writes them, for the medium at that time.
        columns: for a column too.

    Returns:
        Those of the page.
    """
    if columns:
        with drawn_for(COLUMN):
            draw()
    with drawn_for(PAGE):
        return draw()


def in_style() -> AbstractContextManager[None]:
    """Set matplotlib to the common style, as the medium has it, whatever a matplotlibrc says (`text.usetex`)."""
    find_matplotlib_folder()
    from matplotlib import style

    settings: Any = {**dict(STYLE), **medium().style}
    return style.context(["default", settings])
