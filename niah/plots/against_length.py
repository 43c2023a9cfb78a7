"""Score, share of the 10 s score and chance-adjusted retention against length: a figure for each kind of scene.

In noise a curve begins with the 10 s clip in that noise, so that it shows what length costs; the share is of the clean
10 s score. A row of panels has at most eight curves; more become a row for each position, or for each model.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.metrics.effective_length import LEVELS
from niah.plots.axes import length_axis
from niah.plots.curves import Value, adjusted_of, curve_of, draw_curve, mAP_of, relative_of
from niah.plots.looks import CHANCE_COLOUR, Look, curve_looks
from niah.plots.small_multiples import split
from niah.plots.style import (
    PANEL_IN,
    Figure,
    RunFigures,
    legend,
    mark_chance,
    new_grid,
    save,
    scene_label,
    who,
)
from niah.records.naming import Point, length_name, position_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve, at_one_position, chance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_IN = 2.6  # height of a row of panels where there are several
MOST_CURVES = 32  # of more, those of one position: the heat map has the others
THREE_IN = 3.7  # width of a panel where there are three side by side
COLUMNS: tuple[tuple[str, str, Value], ...] = (
    ("Score", "mAP", mAP_of),
    ("Share of its own 10 s score", "mAP / mAP at 10 s", relative_of),
    ("The same above chance", "chance-adjusted share", adjusted_of),
)


def length_figure(
    scene: str, curves: list[LengthCurve], run: RunFigures, folder: Path
) -> Figure | None:
    """Draw `length-<scene>.png`, or return None where no curve has two lengths.

    Args:
        scene: the kind of scene of all `curves`.
        curves: a model at a position each.
        run: models and file names of the run.
        folder: where to write it.
    """
    most = max(len(curve.scored()) for curve in curves)
    if most < 2:
        return None
    curves = at_one_position(curves, MOST_CURVES)
    # a position measured at one length only is a point of the heat map, not a curve
    curves = [curve for curve in curves if len(curve.scored()) >= min(most, 3)]
    names = [(who(curve), _place(curve)) for curve in curves]
    panels = split(names)
    looks = curve_looks(names, panels, run.models, [(position_name(p),) for p in run.positions])
    columns = [each for each in COLUMNS if _has(curves, each[2])]
    height = PANEL_IN[1] if len(panels) == 1 else ROW_IN
    width = PANEL_IN[0] if len(columns) < 3 else THREE_IN
    canvas, grid = new_grid(len(panels), len(columns), (width, height))
    for axes_row, panel in zip(grid, panels, strict=True):
        here = {curves[i]: (label, looks[i]) for i, label in panel.labels.items()}
        for axes, (title, label, value) in zip(axes_row, columns, strict=True):
            _draw_panel(axes, here, value)
            axes.set(ylabel=label)
            axes.set_title(panel.title or title)
    ticks = sorted({length for curve in curves for length in curve.by_length})
    for axes in (each for row in grid for each in row):
        length_axis(axes, ticks)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if _below_zero(axes) else 0.0)
    for row in grid[:-1]:
        for axes in row:
            axes.set_xlabel("")
    legend(canvas, *(row[0] for row in grid))
    positions = {curve.position for curve in curves}
    where = f", {_place(curves[0])}" if len(positions) == 1 and _place(curves[0]) else ""
    title = f"Haystack: {scene_label(curves[0])}{where}"
    file = folder / f"length-{run.slug(scene)}.png"
    return save(canvas, file, title, _length_alt(scene, curves))


def _below_zero(axes: "Axes") -> bool:
    """Return whether a curve is below 0, as the chance-adjusted share can be."""
    return any(min(map(float, line.get_ydata()), default=0.0) < 0 for line in axes.lines)  # type: ignore[arg-type]


Drawn = dict[LengthCurve, tuple[str, Look]]  # label and look


def _place(curve: LengthCurve) -> str:
    return "" if curve.position is None else position_name(curve.position)


def _has(curves: Iterable[LengthCurve], value: Value) -> bool:
    return any(value(point) for curve in curves for s, point in curve.scored() if s != 10.0)


def _draw_panel(axes: "Axes", here: Drawn, value: Value) -> None:
    for curve, (name, style) in here.items():
        points = curve_of([(s, value(point)) for s, point in _in_one_noise(curve)])
        draw_curve(axes, points, name, style)
    if value is mAP_of:
        _mark_failures(axes, here)
        _mark_needle_free(axes, here)
        mark_chance(axes, here)
    if value is relative_of:
        _mark_relative_chance(axes, here)
        for share in LEVELS:  # the levels of L85 and L50
            axes.axhline(share, color=CHANCE_COLOUR, linestyle=":", linewidth=0.8, zorder=0)
    if value is adjusted_of:
        axes.axhline(0, color=CHANCE_COLOUR, linestyle="--", linewidth=1.2, zorder=0)


def _in_one_noise(curve: LengthCurve) -> list[tuple[float, Point]]:
    """Return the scored cells by length; of scenes in noise the 10 s clip in that noise instead of the clean one."""
    if curve.noise_base is None or curve.noise_base["mAP"] is None:
        return curve.scored()
    return [(s, curve.noise_base if s == BASE_LENGTH_S else p) for s, p in curve.scored()]


def _length_alt(scene: str, curves: list[LengthCurve]) -> str:
    texts = [f"mAP against length in seconds, haystack {scene}."]
    for curve in curves:
        scored = _in_one_noise(curve)
        values = ", ".join(f"{p['mAP']:.3f} at {length_name(s)}" for s, p in scored)
        position = "" if curve.position is None else f" with the {position_name(curve.position)}"
        texts.append(f"{who(curve)}{position}: {values or 'not scored'}.")
    level = chance(curves)
    return " ".join(texts) + ("" if level is None else f" Chance: {level:.3f}.")


def _mark_needle_free(axes: "Axes", here: Drawn) -> None:
    """Draw the score of the same scenes without their needle, as small crosses in the model's colour."""
    labelled = False
    for curve, (_, style) in here.items():
        floor = [(s, p["needle_free_mAP"]) for s, p in curve.scored() if p.get("needle_free_mAP")]
        if floor:
            name = None if labelled else "the same scenes without the needle"
            x, y = zip(*floor, strict=True)
            axes.plot(x, y, label=name, color=style["color"], linestyle=":", marker="+", alpha=0.8)
            labelled = True


def _mark_relative_chance(axes: "Axes", here: Drawn) -> None:
    """Draw chance as a share of each model's 10 s score, in the model's colour."""
    level = chance(here)
    bases = {style["color"]: curve.base for curve, (_, style) in here.items()}
    for colour, base in bases.items():
        if level is not None and base is not None and base["mAP"]:
            share = level / base["mAP"]
            axes.axhline(share, color=colour, linestyle="--", linewidth=1.0, alpha=0.6)


def _mark_failures(axes: "Axes", here: Drawn) -> None:
    """Mark the shortest length at which each model failed with a cross on the axis, and the reason."""
    failed: dict[tuple[str, str], float] = {}
    for curve, (_, style) in here.items():
        for length, point in curve.by_length.items():
            if point["status"] != "ok":
                key = (style["color"], point["status"])
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
