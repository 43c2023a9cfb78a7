"""Figures of a run's cells: score against length, length against position, score against SNR."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from niah.plots.against_axis import axis_figures
from niah.plots.against_length import length_figure
from niah.plots.against_snr import snr_figures
from niah.plots.heat_map import position_figure
from niah.plots.style import Figure, RunFigures, draw_all, in_style
from niah.system import atomic
from niah.tables.curves import LengthCurve, length_curves

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Figure", "draw", "draw_all"]


def draw(cells: "pd.DataFrame", folder: Path) -> list[Figure]:
    """Draw every figure for which the cells have enough points.

    `length-<scene>.png` for scenes with two lengths or more, `positions-<scene>.png` where a length has two positions
    or more, `snr-<position>.png` where a haystack has two levels or more, each without further axes;
    `axis-<axis>-<scene>-<position>.png` for each further axis. For a column of a paper they are `.svg` and `.pdf`
    (`niah.plots.style.draw_all`).

    Args:
        cells: rows of one protocol and one list of clips.
        folder: of the PNGs; created if needed.

    Returns:
        The figures in the order of a report.

    Raises:
        NiahError: the cells cannot be in one figure, or the folder cannot be written to.
    """
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    curves = length_curves(cells)
    run = RunFigures(curves)
    plain = [curve for curve in curves if not curve.axes] or curves
    with in_style():
        return [
            *_each_scene(plain, run, folder, length_figure),
            *_each_scene(plain, run, folder, position_figure),
            *snr_figures(plain, run, folder),
            *axis_figures(curves, run, folder),
        ]


def _each_scene(
    curves: Sequence[LengthCurve],
    run: RunFigures,
    folder: Path,
    figure: Callable[[str, list[LengthCurve], RunFigures, Path], Figure | None],
) -> list[Figure]:
    scenes = dict.fromkeys(curve.scene for curve in curves)
    drawn = [figure(s, [c for c in curves if c.scene == s], run, folder) for s in scenes]
    return [each for each in drawn if each is not None]
