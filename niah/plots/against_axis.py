"""Share of the 10 s score against a further axis: level, needle's duration, number of needles, of distractors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from niah.plots.curves import curve_of, draw_curve, relative_of
from niah.plots.looks import curve_looks
from niah.plots.small_multiples import split
from niah.plots.style import (
    PANEL_IN,
    Figure,
    RunFigures,
    legend,
    new_grid,
    save,
    scene_label,
    who,
)
from niah.records.axes import AXES, SCENE_AXES
from niah.records.naming import Point, length_name, position_name, scene_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve

WIDTH_IN, ROW_IN = 6.5, 2.8


def axis_figures(curves: Sequence[LengthCurve], run: RunFigures, folder: Path) -> list[Figure]:
    """Draw `axis-<axis>-<scene>-<position>.png` for each axis with two values or more, the other axes plain.

    Args:
        curves: all curves of the run.
        run: models and file names of the run.
        folder: where to write them.
    """
    drawn = []
    for axis in SCENE_AXES:
        alone = [curve for curve in curves if _varies(curve, axis)]
        kinds = dict.fromkeys((curve.haystack, curve.snr_db, curve.position) for curve in alone)
        for kind in kinds:
            here = [c for c in alone if (c.haystack, c.snr_db, c.position) == kind]
            if len({_value(curve, axis) for curve in here}) >= 2:
                drawn.append(_figure(axis, here, run, folder))
    return drawn


def _figure(axis: str, here: Sequence[LengthCurve], run: RunFigures, folder: Path) -> Figure:
    values = list(dict.fromkeys(_value(curve, axis) for curve in here))
    values = values if axis == "level" else sorted(values, key=float)
    at = {
        value: float(index) if axis == "level" else float(value)
        for index, value in enumerate(values)
    }
    lengths = sorted({s for curve in here for s in curve.by_length if s != BASE_LENGTH_S})
    models = list(dict.fromkeys(who(curve) for curve in here))
    kinds = [(model, length) for model in models for length in lengths]
    names = [(model, length_name(length)) for model, length in kinds]
    panels = split(names)
    looks = curve_looks(names, panels, run.models, [(length_name(s),) for s in lengths])
    size = (WIDTH_IN, PANEL_IN[1] if len(panels) == 1 else ROW_IN)
    canvas, grid = new_grid(len(panels), 1, size)
    texts = []
    for (axes,), panel in zip(grid, panels, strict=True):
        for index, label in panel.labels.items():
            model, length = kinds[index]
            own = [curve for curve in here if who(curve) == model]
            scored = [(at[_value(c, axis)], p) for c in own if (p := c.by_length.get(length))]
            curve = curve_of([(x, relative_of(p)) for x, p in sorted(scored, key=lambda e: e[0])])
            draw_curve(axes, curve, label, looks[index])
            pairs = ", ".join(f"{y:.2f} at {x:g}" for x, y in zip(*curve[:2], strict=True))
            texts.append(f"{model}, {length_name(length)}: {pairs}.")
        axes.set(xlabel=AXES[axis].label, ylabel="mAP / mAP at 10 s", ylim=(0, None))
        axes.set_title(panel.title)
        axes.set_xticks(
            list(at.values()), [f"{value}" if axis == "level" else f"{value:g}" for value in at]
        )
    legend(canvas, *(row[0] for row in grid))
    scene = scene_name(here[0].haystack, here[0].snr_db)
    where = "" if here[0].position is None else f", {position_name(here[0].position)}"
    shown = scene_label(here[0]).removesuffix(f", {here[0].axes}")
    title = f"{AXES[axis].label.capitalize()}, haystack: {shown}{where}"
    file = folder / f"axis-{axis}-{run.slug(scene)}-{here[0].position or 0:g}.png"
    alt = f"Share of the 10 s score by {axis}, {scene}{where}. {' '.join(texts)}"
    return save(canvas, file, title, alt)


def _varies(curve: LengthCurve, axis: str) -> bool:
    """Return whether the curve has the plain value on every axis except `axis`."""
    points = list(_longer(curve))
    return bool(points) and not any(
        p.get(other) for p in points for other in SCENE_AXES if other != axis
    )


def _value(curve: LengthCurve, axis: str) -> str | float:
    """Return the curve's value on an axis; the plain one where its cells have none."""
    value: str | float = next(_longer(curve)).get(axis) or AXES[axis].plain or 0
    return value


def _longer(curve: LengthCurve) -> Iterator[Point]:
    return (point for length, point in curve.by_length.items() if length != BASE_LENGTH_S)
