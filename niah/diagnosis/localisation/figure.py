"""Hit rate and error of localisation against length, one figure a kind of scene; dashes are a guess."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.diagnosis.localisation.curves import LocatedCurve, located_curves
from niah.diagnosis.localisation.rows import Located
from niah.plots.axes import length_axis
from niah.plots.looks import CHANCE_COLOUR, curve_looks, middle_first
from niah.plots.medium import medium
from niah.plots.small_multiples import split
from niah.plots.style import (
    PANEL_IN,
    Figure,
    in_style,
    legend,
    new_grid,
    save,
    slugs,
)
from niah.plots.text import short_name
from niah.records.naming import length_name
from niah.system import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GUESS = "a guess"


def draw(rows: Sequence[Located], folder: Path) -> list[Figure]:
    """Draw `localisation-<scene>.png` for every kind of scene."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    names = slugs(row.scene for row in rows)
    curves = located_curves(rows)
    models = sorted({short_name(curve.model) for curve in curves})
    with in_style():
        return [
            _figure(
                scene,
                [curve for curve in curves if curve.scene == scene],
                models,
                folder / f"localisation-{name}.png",
            )
            for scene, name in names.items()
        ]


def _figure(
    scene: str, curves: Sequence[LocatedCurve], models: Sequence[str], file: Path
) -> Figure:
    rows = [row for curve in curves for row in curve.by_length.values()]
    positions = {curve.position: curve.position_text for curve in curves}
    at = "needle at {}" if len(positions) > 1 else ""
    names = [(short_name(c.model), c.method, at.format(c.position_text)) for c in curves]
    panels = split(names)
    methods = dict.fromkeys(curve.method for curve in curves)
    places = [at.format(positions[position]) for position in middle_first(positions)]
    looks = curve_looks(names, panels, models, [(m, place) for m in methods for place in places])
    canvas, grid = new_grid(len(panels), 2, PANEL_IN)
    for (left, right), panel in zip(grid, panels, strict=True):
        for index, label in panel.labels.items():
            _draw(left, right, list(curves[index].by_length.values()), label, looks[index])
        _chance(left, right, rows)
        _describe(left, right, rows, panel.title)
    legend(canvas, *(row[0] for row in grid), last=GUESS)
    title = f"Where was it heard? Haystack: {scene}"
    return save(canvas, file, title, _alt(title, curves))


def _describe(left: "Axes", right: "Axes", rows: Sequence[Located], part: str) -> None:
    """Name the axes of a row of panels."""
    lengths = sorted({row.length_s for row in rows})
    for axes in (left, right):
        length_axis(axes, lengths)
    left.set(ylabel="peak near the needle (%)", ylim=(0, 102))
    left.set_title(", ".join(filter(None, (part, "hit rate"))))
    right.set(ylabel="median error (s)")
    right.set_title(", ".join(filter(None, (part, "distance of the peak"))))
    right.set_yscale("symlog", linthresh=1.0)
    right.set_ylim(bottom=0)


def _draw(
    left: "Axes", right: "Axes", rows: Sequence[Located], name: str, style: dict[str, Any]
) -> None:
    lengths = [row.length_s for row in rows]
    left.plot(lengths, [100 * row.hit_rate for row in rows], label=name, **medium().curve, **style)
    low, high = ([100 * value for value in bound] for bound in _bounds(rows))
    left.fill_between(lengths, low, high, color=style["color"], alpha=0.15, linewidth=0)
    right.plot(lengths, [row.median_error_s for row in rows], **medium().curve, **style)


def _bounds(rows: Sequence[Located]) -> tuple[list[float], list[float]]:
    return [row.hit_lo for row in rows], [row.hit_hi for row in rows]


def _chance(left: "Axes", right: "Axes", rows: Sequence[Located]) -> None:
    """Draw the mean over curves of a guess, which depends on the width of a place and the position."""
    lengths = sorted({row.length_s for row in rows})
    look: dict[str, Any] = {"color": CHANCE_COLOUR, "linestyle": "--", "linewidth": 1.2}

    def mean(name: str, length: float) -> float:
        values = [float(getattr(row, name)) for row in rows if row.length_s == length]
        return sum(values) / len(values)

    left.plot(lengths, [100 * mean("chance_hit", s) for s in lengths], label=GUESS, **look)
    right.plot(lengths, [mean("chance_error_s", s) for s in lengths], **look)


def _alt(title: str, curves: Sequence[LocatedCurve]) -> str:
    sentences = [
        f"{title} Per cent of peaks near the needle and median error in seconds, by length."
    ]
    for curve in curves:
        values = ", ".join(
            f"{100 * row.hit_rate:.0f} % and {row.median_error_s:.1f} s at {length_name(row.length_s)} "
            f"(a guess: {100 * row.chance_hit:.0f} %)"
            for row in curve.by_length.values()
        )
        where = f"{curve.model}, {curve.method}, needle at {curve.position_text}"
        sentences.append(f"{where}: {values}.")
    return " ".join(sentences)
