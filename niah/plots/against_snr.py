"""Score against SNR: a figure for each position, a panel for each length."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from niah.plots.curves import Curve, curve_of, draw_curve, mAP_of
from niah.plots.looks import curve_looks
from niah.plots.small_multiples import split
from niah.plots.style import (
    PANEL_IN,
    Figure,
    RunFigures,
    legend,
    mark_chance,
    new_grid,
    save,
    who,
)
from niah.plots.text import short_name
from niah.records.naming import length_name, position_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve, at_one_position

MOST_CURVES = 120  # of more, those of one position
ROW_IN = 2.6  # height of a row of panels where there are several
WIDE_IN, NARROW_IN = 4.2, 3.0  # width of one of two panels, and of one of more


def snr_figures(curves: Sequence[LengthCurve], run: RunFigures, folder: Path) -> list[Figure]:
    """Draw `snr-<position>.png` for each position at which a haystack has two levels or more.

    Args:
        curves: all plain curves of the run.
        run: models and file names of the run.
        folder: where to write them.
    """
    drawn = []
    curves = at_one_position(curves, MOST_CURVES)
    shown = {curve.position for curve in curves}
    positions: list[float | None] = [p for p in run.positions if p in shown] or [None]
    for position in positions:
        here = [curve for curve in curves if curve.position == position and not curve.axes]
        noisy = [curve for curve in here if curve.snr_db is not None]
        kinds = [(who(curve), curve.haystack) for curve in noisy]
        noisy = [curve for curve in noisy if kinds.count((who(curve), curve.haystack)) >= 2]
        if noisy:
            drawn.append(_snr_figure(position, here, noisy, run, folder))
    return drawn


def _snr_figure(
    position: float | None,
    here: list[LengthCurve],
    noisy: list[LengthCurve],
    run: RunFigures,
    folder: Path,
) -> Figure:
    lengths_s = sorted({s for curve in noisy for s, _ in curve.scored() if s != BASE_LENGTH_S})
    kinds = list(dict.fromkeys((who(curve), curve.haystack) for curve in noisy))
    names = [(name, short_name(haystack)) for name, haystack in kinds]
    rows = split(names)
    looks = curve_looks(names, rows, run.models)
    columns = max(1, len(lengths_s))
    height = PANEL_IN[1] if len(rows) == 1 else ROW_IN
    canvas, grid = new_grid(len(rows), columns, (NARROW_IN if columns > 2 else WIDE_IN, height))
    texts = []
    for row, panel in zip(grid, rows, strict=True):
        for axes, length in zip(row, lengths_s, strict=False):
            for index, label in panel.labels.items():
                name, haystack = kinds[index]
                group = [c for c in noisy if (who(c), c.haystack) == (name, haystack)]
                curve = _against_snr(group, length)
                draw_curve(axes, curve, label, looks[index])
                values = ", ".join(f"{y:.3f} at {x:g} dB" for x, y in zip(*curve[:2], strict=True))
                texts.append(f"{name}, {haystack}, {length_name(length)}: {values}.")
            mark_chance(axes, here)
            axes.set_title(", ".join(filter(None, (panel.title, length_name(length)))))
            axes.set(xlabel="SNR (dB)", ylim=(0, None))
            axes.set_xticks(sorted({c.snr_db for c in noisy if c.snr_db is not None}))
            axes.invert_xaxis()
        row[0].set_ylabel("mAP")
    panels = [axes for row in grid for axes in row]
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, top)
    legend(canvas, *(row[0] for row in grid))
    where = "" if position is None else f", {position_name(position)}"
    alt = f"mAP against SNR{where}. {' '.join(texts)}"
    name = "snr.png" if position is None else f"snr-{position:g}.png"
    return save(canvas, folder / name, f"Score against level of the needle{where}", alt)


def _against_snr(group: Iterable[LengthCurve], length: float) -> Curve:
    cells = {curve.snr_db: curve.by_length.get(length) for curve in group}
    scored = {snr: p for snr, p in cells.items() if snr is not None and p and p["mAP"] is not None}
    return curve_of([(snr, mAP_of(point)) for snr, point in sorted(scored.items())])
