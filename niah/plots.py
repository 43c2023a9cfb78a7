"""A run's cells as pictures: score against length, length against position, score against SNR.

One style throughout: a model keeps its colour (Okabe and Ito's palette, told apart without colour
vision) and its marker in every picture; bands are 95 % intervals; the grey dashes are chance.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah import atomic
from niah.cells import BASE_LENGTH_S
from niah.lines import Line, Point, chance, length_name, lines

if TYPE_CHECKING:
    import pandas as pd
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

Shares = dict[tuple[float, float], float]  # relative score by (position, length)
Curve = tuple[list[float], list[float], list[float], list[float]]  # x, y, low, high


@dataclass(frozen=True)
class Figure:
    """A picture on disk: `file`, its `title`, and `alt`, what it shows in words and numbers."""

    file: Path
    title: str
    alt: str


def draw(cells: "pd.DataFrame", folder: Path) -> list[Figure]:
    """Draw every picture that the cells have the points for into `folder`, as PNG.

    `length-<scene>.png` for scenes with two lengths or more, `positions-<scene>.png` where a length
    has two positions or more, `snr-<position>.png` where a haystack has two levels or more. Raises
    `NiahError` as `niah.lines.lines` does.
    """
    import matplotlib as mpl

    with atomic.telling(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = lines(cells)
    looks = _Looks(found)
    with mpl.rc_context(STYLE):
        return [
            *_each_scene(found, looks, folder, _length_figure),
            *_each_scene(found, looks, folder, _position_figure),
            *_snr_figures(found, looks, folder),
        ]


class _Looks:
    """Colour and marker by model, dashes by position, the same in every picture of a run."""

    def __init__(self, found: Iterable[Line]) -> None:
        found = list(found)
        self.models = list(dict.fromkeys(_who(line) for line in found))
        self.positions = sorted({line.position for line in found if line.position is not None})
        # most lines have the needle in the middle: these are drawn solid
        self.positions.sort(key=lambda position: (position != 0.5, position))

    def of(self, line: Line) -> dict[str, Any]:
        model = self.models.index(_who(line))
        dash = self.positions.index(line.position) if line.position in self.positions else 0
        return {
            "color": COLOURS[model % len(COLOURS)],
            "marker": MARKERS[model % len(MARKERS)],
            "linestyle": DASHES[dash % len(DASHES)],
        }


def _who(line: Line) -> str:
    return line.model if line.window_s is None else f"{line.model}, {line.window_s:g} s windows"


def _each_scene(
    found: Sequence[Line],
    looks: _Looks,
    folder: Path,
    figure: Callable[[str, list[Line], _Looks, Path], Figure | None],
) -> list[Figure]:
    scenes = dict.fromkeys(line.scene for line in found)
    drawn = [figure(s, [line for line in found if line.scene == s], looks, folder) for s in scenes]
    return [each for each in drawn if each is not None]


# --- score against length


def _length_figure(scene: str, found: list[Line], looks: _Looks, folder: Path) -> Figure | None:
    most = max(len(line.scored()) for line in found)
    if most < 2:
        return None
    # a position measured at one length only is a point of the heat map, not a curve
    found = [line for line in found if len(line.scored()) >= min(most, 3)]
    canvas, (left, right) = _panels(2)
    ambiguous = len({line.position for line in found}) > 1
    for line in found:
        name = f"{_who(line)}, needle at {line.position:g}" if ambiguous else _who(line)
        _curve(left, _against_length(line, _mAP), name, looks.of(line))
        _curve(right, _against_length(line, _relative), name, looks.of(line))
    _mark_failures(left, found, looks)
    _mark_chance(left, found)
    _mark_relative_chance(right, found, looks)
    left.set(title="Score", ylabel="mAP")
    right.set(title="Share of its own 10 s score", ylabel="mAP / mAP at 10 s")
    ticks = sorted({length for line in found for length in line.by_length})
    for axes in (left, right):
        _length_axis(axes, ticks)
        axes.set_ylim(bottom=0)
    _legend(canvas, left)
    where = "" if ambiguous or found[0].position is None else f", needle at {found[0].position:g}"
    title = f"Haystack: {scene}{where}"
    return _save(canvas, folder / f"length-{_slug(scene)}.png", title, _length_alt(scene, found))


def _length_alt(scene: str, found: list[Line]) -> str:
    told = [f"mAP against length in seconds, haystack {scene}."]
    for line in found:
        values = ", ".join(f"{p['mAP']:.3f} at {length_name(s)}" for s, p in line.scored())
        position = "" if line.position is None else f" with the needle at {line.position:g}"
        told.append(f"{_who(line)}{position}: {values or 'not scored'}.")
    level = chance(found)
    return " ".join(told) + ("" if level is None else f" Chance: {level:.3f}.")


def _against_length(line: Line, value: "Value") -> Curve:
    return _curve_of([(s, value(p)) for s, p in line.scored()])


# --- length against position


def _position_figure(scene: str, found: list[Line], looks: _Looks, folder: Path) -> Figure | None:
    shares = {
        name: _shares([line for line in found if _who(line) == name]) for name in looks.models
    }
    shares = {name: share for name, share in shares.items() if share}
    columns = sorted({length for share in shares.values() for length in _compared(share)})
    rows = sorted({p for share in shares.values() for p, length in share if length in columns})
    if not columns:
        return None
    canvas, panels = _panels(len(shares), width=1.2 + 0.6 * len(columns))
    for axes, (name, share) in zip(panels, shares.items(), strict=True):
        grid = [[100 * share.get((p, length), nan) for length in columns] for p in rows]
        image = axes.imshow(grid, cmap="cividis", vmin=0, vmax=100, origin="lower", aspect="auto")
        axes.set(title=name, xlabel="length (s)")
        axes.set_xticks(range(len(columns)), [f"{length:g}" for length in columns])
        axes.set_yticks(range(len(rows)), [f"{p:g}" for p in rows])
        axes.grid(visible=False)
        axes.set_facecolor("#f0f0f0")
        _number_fields(axes, grid)
    panels[0].set_ylabel("needle at (0 start, 1 end)")
    canvas.colorbar(image, ax=list(panels), label="per cent of the 10 s mAP")
    title = f"Length and position, haystack: {scene}"
    alt = " ".join([f"{title}. Per cent of the 10 s mAP.", *map(_shares_alt, shares.items())])
    return _save(canvas, folder / f"positions-{_slug(scene)}.png", title, alt)


def _number_fields(axes: "Axes", grid: Sequence[Sequence[float]]) -> None:
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            if value == value:  # measured
                ink = "white" if value < 55 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink)


def _shares(found: Iterable[Line]) -> Shares:
    """Relative score at each (position, length)."""
    return {
        (line.position, length): float(point["relative"])
        for line in found
        for length, point in line.scored()
        if line.position is not None and length != BASE_LENGTH_S and point["relative"] is not None
    }


def _compared(share: Shares) -> set[float]:
    """Lengths at which two positions or more were measured."""
    measured = [length for _, length in share]
    return {length for length in measured if measured.count(length) >= 2}


def _shares_alt(named: tuple[str, Shares]) -> str:
    name, share = named
    told = [f"{100 * v:.0f} at position {p:g}, {length_name(s)}" for (p, s), v in share.items()]
    return f"{name}: {', '.join(told)}."


# --- score against SNR


def _snr_figures(found: Sequence[Line], looks: _Looks, folder: Path) -> list[Figure]:
    """One picture a position, one panel a length, of the haystacks with two levels or more."""
    drawn = []
    positions: list[float | None] = [*looks.positions] or [None]
    for position in positions:
        here = [line for line in found if line.position == position]
        noisy = [line for line in here if line.snr_db is not None]
        kinds = [(_who(line), line.haystack) for line in noisy]
        noisy = [line for line in noisy if kinds.count((_who(line), line.haystack)) >= 2]
        if noisy:
            drawn.append(_snr_figure(position, here, noisy, looks, folder))
    return drawn


def _snr_figure(
    position: float | None, here: list[Line], noisy: list[Line], looks: _Looks, folder: Path
) -> Figure:
    lengths_s = sorted({s for line in noisy for s, _ in line.scored() if s != BASE_LENGTH_S})
    canvas, panels = _panels(max(1, len(lengths_s)), width=3.0 if len(lengths_s) > 2 else 4.2)
    haystacks = list(dict.fromkeys(line.haystack for line in noisy))
    told = []
    for axes, length in zip(panels, lengths_s, strict=False):
        for who, haystack in dict.fromkeys((_who(line), line.haystack) for line in noisy):
            group = [line for line in noisy if (_who(line), line.haystack) == (who, haystack)]
            look = {**looks.of(group[0]), "linestyle": DASHES[haystacks.index(haystack)]}
            curve = _against_snr(group, length)
            _curve(axes, curve, f"{who}, {haystack}", look)
            values = ", ".join(f"{y:.3f} at {x:g} dB" for x, y in zip(*curve[:2], strict=True))
            told.append(f"{who}, {haystack}, {length_name(length)}: {values}.")
        _mark_chance(axes, here)
        axes.set(title=length_name(length), xlabel="SNR (dB)", ylim=(0, None))
        axes.set_xticks(sorted({line.snr_db for line in noisy if line.snr_db is not None}))
        axes.invert_xaxis()
    panels[0].set_ylabel("mAP")
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, top)
    _legend(canvas, panels[0])
    where = "" if position is None else f", needle at {position:g}"
    alt = f"mAP against SNR{where}. {' '.join(told)}"
    name = "snr.png" if position is None else f"snr-{position:g}.png"
    return _save(canvas, folder / name, f"Score against level of the needle{where}", alt)


def _against_snr(group: Iterable[Line], length: float) -> Curve:
    cells = {line.snr_db: line.by_length.get(length) for line in group}
    scored = {snr: p for snr, p in cells.items() if snr is not None and p and p["mAP"] is not None}
    return _curve_of([(snr, _mAP(point)) for snr, point in sorted(scored.items())])


# --- shared by all

Value = Callable[[Point], tuple[float, float, float] | None]


def _mAP(point: Point) -> tuple[float, float, float] | None:  # noqa: N802 - the column's name
    """(value, low, high)."""
    if point["mAP"] is None:
        return None
    return point["mAP"], _or(point["mAP_lo"], point["mAP"]), _or(point["mAP_hi"], point["mAP"])


def _relative(point: Point) -> tuple[float, float, float] | None:
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


def _curve_of(found: Iterable[tuple[float, tuple[float, float, float] | None]]) -> Curve:
    known = [(x, *value) for x, value in found if value is not None]
    x, y, low, high = (list(column) for column in zip(*known, strict=True)) if known else ([],) * 4
    return x, y, low, high


def _curve(axes: "Axes", curve: Curve, name: str, look: dict[str, Any]) -> None:
    x, y, low, high = curve
    axes.plot(x, y, label=name, markersize=5, linewidth=1.8, **look)
    axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _mark_chance(axes: "Axes", found: Iterable[Line]) -> None:
    level = chance(found)
    if level is not None:
        axes.axhline(level, color=CHANCE_COLOUR, linestyle="--", linewidth=1.2, label="chance")


def _mark_relative_chance(axes: "Axes", found: Iterable[Line], looks: _Looks) -> None:
    """Chance as a share of each model's own 10 s score, in the model's colour."""
    level = chance(found)
    bases = {looks.of(line)["color"]: line.base for line in found}
    for colour, base in bases.items():
        if level is not None and base is not None and base["mAP"]:
            share = level / base["mAP"]
            axes.axhline(share, color=colour, linestyle="--", linewidth=1.0, alpha=0.6)


def _mark_failures(axes: "Axes", found: Iterable[Line], looks: _Looks) -> None:
    """A cross on the axis at the shortest length of each model that ended so, and the word."""
    failed: dict[tuple[str, str], float] = {}
    for line in found:
        for length, point in line.by_length.items():
            if point["status"] != "ok":
                key = (looks.of(line)["color"], point["status"])
                failed[key] = min(length, failed.get(key, length))
    for index, ((colour, status), length) in enumerate(failed.items()):
        axes.plot(length, 0, marker="x", color=colour, markersize=8, clip_on=False, zorder=5)
        word = "out of memory" if status == "oom" else "error"
        place: dict[str, Any] = {
            "textcoords": "offset points",
            "xytext": (2, 6 + 11 * index),
            "fontsize": 8,
        }
        axes.annotate(word, (length, 0), ha="right", color=colour, **place)


def _length_axis(axes: "Axes", ticks: Sequence[float]) -> None:
    """Logarithmic, with the measured lengths as ticks, thinned where they would overlap."""
    axes.set_xscale("log")
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick / kept[-1] > (max(ticks) / min(ticks)) ** 0.08:
            kept.append(tick)
    axes.set_xticks(kept, [f"{tick:g}" for tick in kept])
    axes.minorticks_off()
    axes.set_xlabel("length (s)")


def _panels(count: int, width: float | None = None) -> "tuple[Canvas, list[Axes]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    size = (max(4.0, (width or PANEL_IN[0]) * count), PANEL_IN[1])
    canvas = Canvas(figsize=size)
    FigureCanvasAgg(canvas)  # draws without a display, and leaves the user's pyplot alone
    return canvas, list(canvas.subplots(1, count, squeeze=False)[0])


def _legend(canvas: "Canvas", axes: "Axes") -> None:
    handles, names = axes.get_legend_handles_labels()
    canvas.legend(
        handles, names, loc="outside lower center", ncols=min(3, len(names)), handlelength=3
    )


def _slug(scene: str) -> str:
    """ "babble, -5 dB" as "babble--5dB": letters, digits, dots and dashes only."""
    text = scene.replace(", ", "-").replace(" dB", "dB")
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in text)


def _save(canvas: "Canvas", file: Path, title: str, alt: str) -> Figure:
    canvas.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    with atomic.writing(file) as stream:
        canvas.savefig(stream, format="png", metadata={"Software": None})
    return Figure(file, title, alt)
