"""Set recall against the number of needles, and recall by place in time: one figure a kind of scene and position."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.diagnosis.several_needles.rows import PLACES, SeveralNeedles
from niah.plots.curves import curve_of, draw_curve
from niah.plots.looks import CHANCE_COLOUR, curve_looks
from niah.plots.small_multiples import split
from niah.plots.style import (
    CHANCE,
    PANEL_IN,
    Figure,
    in_style,
    legend,
    new_grid,
    save,
    slugs,
)
from niah.plots.text import short_name
from niah.records.naming import length_name, with_windows
from niah.system import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CurveKey = tuple[str, str, float]  # model, window, length in seconds


def draw(rows: Sequence[SeveralNeedles], folder: Path) -> list[Figure]:
    """Draw `needles-<scene>-<position>.png` for every kind of scene with two numbers of needles."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    kinds = dict.fromkeys((row.scene, row.position or 0.0) for row in rows)
    names = slugs(row.scene for row in rows)
    models = sorted({_who(row.model, row.window) for row in rows})
    figures = []
    with in_style():
        for scene, position in kinds:
            here = [row for row in rows if (row.scene, row.position or 0.0) == (scene, position)]
            if len({row.needles for row in here}) > 1:
                file = folder / f"needles-{names[scene]}-{position:g}.png"
                figures.append(_figure(scene, position, here, models, file))
    return figures


def _figure(
    scene: str, position: float, rows: Sequence[SeveralNeedles], models: Sequence[str], file: Path
) -> Figure:
    curves: dict[CurveKey, list[SeveralNeedles]] = {}
    for row in rows:
        curves.setdefault((row.model, row.window, row.length_s), []).append(row)
    drawn = list(curves.items())
    names = [(_who(*own), length_name(length_s)) for (*own, length_s), _ in drawn]
    panels = split(names)
    looks = curve_looks(names, panels, models)
    canvas, grid = new_grid(len(panels), 2, PANEL_IN)
    texts = []
    for (left, right), panel in zip(grid, panels, strict=True):
        for index, label in panel.labels.items():
            _, own = drawn[index]
            points = [(row.needles, (row.set_recall, row.set_lo, row.set_hi)) for row in own]
            draw_curve(left, curve_of(points), label, looks[index])
            most = max(own, key=lambda row: row.needles)
            places = [(float(number), most.at(place)) for number, place in enumerate(PLACES)]
            draw_curve(right, curve_of(places), label, looks[index])
            values = ", ".join(f"{row.set_recall:.3f} of {row.needles}" for row in own)
            order = ", ".join(f"{place} {v[0]:.3f}" for place in PLACES if (v := most.at(place)))
            texts.append(f"{', '.join(names[index])}: {values}; of {most.needles}: {order}.")
        _describe(left, right, rows, panel.title)
    legend(canvas, *(row[0] for row in grid))
    title = (
        f"Several different needles. Haystack: {scene}, needles at {position:g} of their section"
    )
    return save(canvas, file, title, " ".join([f"{title}.", *texts]))


def _who(model: str, window: str) -> str:
    return with_windows(short_name(model), window)


def _describe(left: "Axes", right: "Axes", rows: Sequence[SeveralNeedles], part: str) -> None:
    """Draw the chance level and name the axes of a row of panels."""
    counts = sorted({row.needles for row in rows})
    floor = {row.needles: row.chance for row in rows}
    grey: dict[str, Any] = {
        "color": CHANCE_COLOUR,
        "linestyle": "--",
        "linewidth": 1.2,
        "zorder": 0,
    }
    left.plot(counts, [floor[count] for count in counts], label=CHANCE, **grey)
    left.set(xlabel="different needles", ylabel="set recall")
    left.set_title(", ".join(filter(None, (part, "all needles of a scene"))))
    left.set_xscale("log")
    left.set_xticks(counts, [f"{count}" for count in counts])
    left.minorticks_off()
    right.set(xlabel="place in time", ylabel="recall")
    right.set_title(", ".join(filter(None, (part, f"one of {counts[-1]}, by its place"))))
    right.set_xticks(range(len(PLACES)), PLACES)
    for axes in (left, right):
        axes.set_ylim(0, 1.02)
