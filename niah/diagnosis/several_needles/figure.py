"""Set recall against the number of needles, and recall by place in time: one figure a kind of scene and position."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from niah.diagnosis.several_needles.rows import PLACES, SeveralNeedles
from niah.plots.curves import curve_of, draw_curve
from niah.plots.style import (
    CHANCE,
    CHANCE_COLOUR,
    DASHES,
    Figure,
    in_style,
    legend,
    look,
    new_panels,
    save,
    slug,
)
from niah.plots.text import short_name
from niah.records.naming import length_name
from niah.system import atomic

MOST_CURVES = 8
CurveKey = tuple[str, str, float]  # model, window, length in seconds


def draw(rows: Sequence[SeveralNeedles], folder: Path) -> list[Figure]:
    """Draw `needles-<scene>-<position>.png` for every kind of scene with two numbers of needles."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    kinds = dict.fromkeys((row.scene, row.position or 0.0) for row in rows)
    figures = []
    with in_style():
        for scene, position in kinds:
            here = [row for row in rows if (row.scene, row.position or 0.0) == (scene, position)]
            if len({row.needles for row in here}) > 1:
                figures.append(_figure(scene, position, here, folder))
    return figures


def _figure(scene: str, position: float, rows: Sequence[SeveralNeedles], folder: Path) -> Figure:
    curves: dict[CurveKey, list[SeveralNeedles]] = {}
    for row in rows:
        curves.setdefault((row.model, row.window, row.length_s), []).append(row)
    models = list(dict.fromkeys((model, window) for model, window, _ in curves))
    lengths = list(dict.fromkeys(length for _, _, length in curves))
    canvas, (left, right) = new_panels(2)
    texts = []
    for key, own in list(curves.items())[:MOST_CURVES]:
        model, window, length_s = key
        dash = DASHES[lengths.index(length_s) % len(DASHES)]
        style = {**look(models.index((model, window))), "linestyle": dash}
        who = short_name(model) if window == "whole" else f"{short_name(model)}, {window}"
        name = f"{who}, {length_name(length_s)}"
        points = [(row.needles, (row.set_recall, row.set_lo, row.set_hi)) for row in own]
        draw_curve(left, curve_of(points), name, style)
        most = max(own, key=lambda row: row.needles)
        places = [(float(index), most.at(place)) for index, place in enumerate(PLACES)]
        draw_curve(right, curve_of(places), name, style)
        values = ", ".join(f"{row.set_recall:.3f} of {row.needles}" for row in own)
        order = ", ".join(f"{place} {v[0]:.3f}" for place in PLACES if (v := most.at(place)))
        texts.append(f"{name}: {values}; of {most.needles}: {order}.")
    counts = sorted({row.needles for row in rows})
    floor = {row.needles: row.chance for row in rows}
    grey: dict[str, Any] = {
        "color": CHANCE_COLOUR,
        "linestyle": "--",
        "linewidth": 1.2,
        "zorder": 0,
    }
    left.plot(counts, [floor[count] for count in counts], label=CHANCE, **grey)
    left.set(title="All needles of a scene", xlabel="different needles", ylabel="set recall")
    left.set_xscale("log")
    left.set_xticks(counts, [f"{count}" for count in counts])
    left.minorticks_off()
    right.set(title=f"One of {counts[-1]}, by its place", xlabel="place in time", ylabel="recall")
    right.set_xticks(range(len(PLACES)), PLACES)
    for axes in (left, right):
        axes.set_ylim(0, 1.02)
    legend(canvas, left)
    title = (
        f"Several different needles. Haystack: {scene}, needles at {position:g} of their section"
    )
    file = folder / f"needles-{slug(scene)}-{position:g}.png"
    return save(canvas, file, title, " ".join([f"{title}.", *texts]))
