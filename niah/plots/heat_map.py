"""Length against position: per cent of the 10 s score as a heat map, a panel a model."""

from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from niah.plots.style import Figure, Looks, new_panels, save, slug, who
from niah.records.naming import length_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Shares = dict[tuple[float, float], float]  # relative score by (position, length)


def position_figure(
    scene: str, found: list[LengthCurve], looks: Looks, folder: Path
) -> Figure | None:
    shares = {name: _shares([line for line in found if who(line) == name]) for name in looks.models}
    shares = {name: share for name, share in shares.items() if share}
    columns = sorted({length for share in shares.values() for length in _compared(share)})
    rows = sorted({p for share in shares.values() for p, length in share if length in columns})
    if not columns:
        return None
    canvas, panels = new_panels(len(shares), width=1.2 + 0.6 * len(columns))
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
    return save(canvas, folder / f"positions-{slug(scene)}.png", title, alt)


def _number_fields(axes: "Axes", grid: Sequence[Sequence[float]]) -> None:
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            if value == value:  # measured
                ink = "white" if value < 55 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink)


def _shares(found: Iterable[LengthCurve]) -> Shares:
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
