"""Hit rate and error of localisation against length, one figure a kind of scene; dashes are a guess."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.diagnosis.localisation.curves import LocatedCurve, located_curves
from niah.diagnosis.localisation.rows import Located
from niah.plots.axes import length_axis
from niah.plots.medium import medium
from niah.plots.small_multiples import label_numbers, split
from niah.plots.style import (
    CHANCE_COLOUR,
    DASHES,
    PANEL_IN,
    Figure,
    in_style,
    legend,
    look,
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
    with in_style():
        return [
            _figure(
                scene,
                [row for row in rows if row.scene == scene],
                folder / f"localisation-{name}.png",
            )
            for scene, name in names.items()
        ]


def _figure(scene: str, rows: Sequence[Located], file: Path) -> Figure:
    curves = located_curves(rows)
    positions = sorted({curve.position for curve in curves}, key=lambda p: (p != 0.5, p))
    at = "needle at {}" if len(positions) > 1 else ""
    panels = split([(short_name(c.model), c.method, at.format(c.position_text)) for c in curves])
    numbers = label_numbers(panels)
    canvas, grid = new_grid(len(panels), 2, PANEL_IN)
    for (left, right), panel in zip(grid, panels, strict=True):
        for index, label in panel.labels.items():
            curve = curves[index]
            style = look(numbers[label])
            style["linestyle"] = DASHES[positions.index(curve.position) % len(DASHES)]
            _draw(left, right, list(curve.by_length.values()), label, style)
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
