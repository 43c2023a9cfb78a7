"""Curves of a figure of the paper beside those of a run: share of the 10 s score against length."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from niah.plots.curves import curve_of, draw_curve, relative_of
from niah.plots.looks import COLOURS, Look, curve_looks
from niah.plots.small_multiples import split
from niah.plots.style import (
    Figure,
    in_style,
    legend,
    new_grid,
    save,
    scene_label,
    who,
)
from niah.records.naming import length_name, scene_name
from niah.sweep.presets import find_preset
from niah.system import atomic
from niah.tables.curves import LengthCurve, length_curves
from niah.tables.published import PublishedCurve, curves_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TICKS_S = (10, 20, 50, 100, 300, 1000, 3600, 9000)
WIDTH_IN, HEIGHT_IN = 7.5, 3.4


def draw_published(cells: "pd.DataFrame", presets: Iterable[str], folder: Path) -> list[Figure]:
    """Draw `preset-<name>.png` for each preset with published curves: those black and dashed, the run's in colour.

    Args:
        cells: rows of one protocol and one list of clips.
        presets: names of the run's presets.
        folder: of the PNGs; created if needed.

    Returns:
        The figures.

    Raises:
        NiahError: the cells cannot be in one figure, a preset is unknown, or the folder cannot be written to.
    """
    drawn = []
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with in_style():
        for name in presets:
            curves = curves_of(find_preset(name))
            if curves:
                drawn.append(_figure(name, curves, cells, folder))
    return drawn


Either = PublishedCurve | LengthCurve


def _figure(
    name: str, published: Sequence[PublishedCurve], cells: "pd.DataFrame", folder: Path
) -> Figure:
    haystacks = {(curve.haystack, curve.snr_db) for curve in published}
    measured = [
        curve
        for curve in length_curves(cells)
        if (curve.haystack, curve.snr_db) in haystacks and not curve.axes
    ]
    curves: list[Either] = [*published, *measured]
    names = [_names(curve) for curve in curves]
    panels = split(names)
    models = [*sorted(map(who, measured)), *(name for name, *_ in names)]
    looks = curve_looks(names, panels, list(dict.fromkeys(models)))
    canvas, grid = new_grid(len(panels), 1, (WIDTH_IN, HEIGHT_IN))
    texts = []
    for (axes,), panel in zip(grid, panels, strict=True):
        for index, label in panel.labels.items():
            texts.append(_draw(axes, curves[index], label, index, looks[index]))
        axes.set_xscale("log")
        axes.set_title(panel.title)
        axes.set(xlabel="length", ylabel="mAP / mAP at 10 s", ylim=(0, None))
        low, high = axes.get_xlim()
        ticks = [tick for tick in TICKS_S if low <= tick <= high]
        axes.set_xticks(ticks, [length_name(tick) for tick in ticks])
        axes.minorticks_off()
    legend(canvas, *(row[0] for row in grid))
    alt = " ".join(texts)
    return save(canvas, folder / f"preset-{name}.png", f"The paper's {name} and this run", alt)


def _names(curve: Either) -> tuple[str, ...]:
    place = "" if curve.position is None else f"at {curve.position:g}"
    if isinstance(curve, LengthCurve):
        return who(curve), scene_label(curve), place
    return f"published: {curve.model}", scene_name(curve.haystack, curve.snr_db), place


def _draw(axes: "Axes", curve: Either, label: str, index: int, look: Look) -> str:
    """Draw a curve; return it in words."""
    name = ", ".join(filter(None, _names(curve)))
    if isinstance(curve, LengthCurve):
        points = curve_of([(s, relative_of(p)) for s, p in curve.scored()])
        draw_curve(axes, points, label, look)
        return _in_words(f"measured: {name}", zip(*points[:2], strict=True))
    x, y = list(curve.shares), list(curve.shares.values())
    axes.errorbar(
        x,
        y,
        yerr=curve.tolerance,
        color=COLOURS[-1],
        alpha=1 - 0.25 * (index % 3),
        linestyle=(0, (4 - index % 3, 1.5)),
        linewidth=1.2,
        marker="x",
        markersize=4,
        label=label,
    )
    return _in_words(name, zip(x, y, strict=True))


def _in_words(name: str, pairs: Iterable[tuple[float, float]]) -> str:
    return f"{name}: {', '.join(f'{y:.2f} at {length_name(x)}' for x, y in pairs)}."
