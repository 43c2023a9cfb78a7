"""Length against position: per cent of the 10 s score as a heat map, a panel for each model."""

from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from niah.plots.medium import medium
from niah.plots.style import PANEL_IN, Figure, RunFigures, new_grid, save, scene_label, who
from niah.records.naming import length_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve, relative_share
from niah.tables.positions import MOVED, is_moved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Shares = dict[tuple[float, float], float]  # relative score by (position, length)
MOST_IN_A_ROW = 3  # panels
FIELD_IN, LABELS_IN = 0.6, 1.4  # width of one field, and of the labels beside the fields


def position_figure(
    scene: str, curves: list[LengthCurve], run: RunFigures, folder: Path
) -> Figure | None:
    """Draw `positions-<scene>.png`, or return None where no length has two positions.

    Args:
        scene: the kind of scene of all `curves`.
        curves: a model at a position each.
        run: models and file names of the run.
        folder: where to write it.
    """
    shares = {name: _shares([c for c in curves if who(c) == name]) for name in run.models}
    shares = {name: share for name, share in shares.items() if share}
    columns = sorted({length for share in shares.values() for length in _compared(share)})
    rows = sorted({p for share in shares.values() for p, length in share if length in columns})
    if not columns:
        return None
    across = min(MOST_IN_A_ROW, len(shares))
    size = (max(2.6, LABELS_IN + FIELD_IN * len(columns)), PANEL_IN[1])
    canvas, grid = new_grid(-(-len(shares) // across), across, size)
    panels = [axes for row in grid for axes in row]
    for axes, (name, share) in zip(panels, shares.items(), strict=False):
        values = [[100 * share.get((p, length), nan) for length in columns] for p in rows]
        image = axes.imshow(values, cmap="cividis", vmin=0, vmax=100, origin="lower", aspect="auto")
        axes.set(title=name, xlabel="length (s)")
        axes.set_xticks(range(len(columns)), [f"{length:g}" for length in columns])
        axes.set_yticks(range(len(rows)), [f"{p:g}" for p in rows])
        axes.grid(visible=False)
        axes.set_facecolor("#f0f0f0")
        moved = _moved(c for c in curves if who(c) == name)
        marks = [[MOVED if (p, length) in moved else "" for length in columns] for p in rows]
        _number_fields(axes, values, marks)
        if any(map(any, marks)):
            axes.set_xlabel(f"length (s); {MOVED} needle moved to the end")
    for axes in panels[len(shares) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("needle at (0 start, 1 end)")
    below = len(grid) if medium().width_in is None else len(panels)  # a column stacks all
    canvas.colorbar(  # as high as the panels of the first row
        image, ax=panels, label="per cent of the 10 s mAP", shrink=1 / below, anchor=(0.0, 1.0)
    )
    title = f"Length and position, haystack: {scene_label(curves[0])}"
    alt = f"Length and position, haystack: {scene}. Per cent of the 10 s mAP."
    alt = " ".join([alt, *map(_shares_alt, shares.items())])
    return save(canvas, folder / f"positions-{run.slug(scene)}.png", title, alt)


def _number_fields(
    axes: "Axes", grid: Sequence[Sequence[float]], marks: Sequence[Sequence[str]]
) -> None:
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            if value == value:  # measured
                ink = "white" if value < 55 else "black"
                text = f"{value:.0f}{marks[row][column]}"
                number = axes.text(column, row, text, ha="center", va="center", color=ink)
                number.set_in_layout(False)  # inside its field: nothing to make room for


def _moved(curves: Iterable[LengthCurve]) -> set[tuple[float, float]]:
    """Return each (position, length) whose needle the protocol moved to the end."""
    return {
        (curve.position, length)
        for curve in curves
        for length, point in curve.scored()
        if curve.position is not None and length != BASE_LENGTH_S and is_moved(point)
    }


def _shares(curves: Iterable[LengthCurve]) -> Shares:
    """Return the relative score at each (position, length)."""
    return {
        (curve.position, length): float(share)
        for curve in curves
        for length, point in curve.scored()
        if curve.position is not None
        and length != BASE_LENGTH_S
        and (share := relative_share(point)) is not None
    }


def _compared(share: Shares) -> set[float]:
    """Return the lengths at which two positions or more were measured."""
    measured = [length for _, length in share]
    return {length for length in measured if measured.count(length) >= 2}


def _shares_alt(named: tuple[str, Shares]) -> str:
    name, share = named
    texts = [f"{100 * v:.0f} at position {p:g}, {length_name(s)}" for (p, s), v in share.items()]
    return f"{name}: {', '.join(texts)}."
