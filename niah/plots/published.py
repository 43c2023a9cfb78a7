"""The curves of a figure of the paper beside those of a run: share of the own 10 s score against length."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from niah.plots.curves import curve_of, draw_curve, relative_of
from niah.plots.style import COLOURS, STYLE, Figure, Looks, new_panels, save, who
from niah.records.naming import length_name
from niah.sweep.presets import find_preset
from niah.system import atomic
from niah.tables.curves import length_curves
from niah.tables.published import PublishedCurve, curves_of

if TYPE_CHECKING:
    import pandas as pd

TICKS_S = (10, 20, 50, 100, 300, 1000, 3600, 9000)


def draw_published(cells: "pd.DataFrame", presets: Iterable[str], folder: Path) -> list[Figure]:
    """`preset-<name>.png` for each preset with published curves: theirs black and dashed, the run's in its colours.

    Raises `NiahError` as `niah.tables.curves.length_curves` does, or for an unknown preset.
    """
    import matplotlib as mpl

    drawn = []
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name in presets:
            curves = curves_of(find_preset(name))
            if curves:
                drawn.append(_figure(name, curves, cells, folder))
    return drawn


def _figure(
    name: str, curves: Sequence[PublishedCurve], cells: "pd.DataFrame", folder: Path
) -> Figure:
    canvas, (axes,) = new_panels(1, width=7.5)
    told = []
    for index, curve in enumerate(curves):
        x, y = list(curve.shares), list(curve.shares.values())
        label = f"published: {curve.model}, {curve.haystack}, at {curve.position:g}"
        dash = (0, (4 - index % 3, 1.5))
        axes.errorbar(
            x,
            y,
            yerr=curve.tolerance,
            color=COLOURS[-1],
            alpha=1 - 0.25 * (index % 3),
            linestyle=dash,
            linewidth=1.2,
            marker="x",
            markersize=4,
            label=label,
        )
        told.append(_told(label, zip(x, y, strict=True)))
    haystacks = {(curve.haystack, curve.snr_db) for curve in curves}
    found = [line for line in length_curves(cells) if (line.haystack, line.snr_db) in haystacks]
    found = [line for line in found if not line.axes]
    looks = Looks(found)
    for line in found:
        shares = [(s, relative_of(p)) for s, p in line.scored()]
        label = (
            f"{who(line)}, {line.scene}, at {line.position:g}"
            if line.position is not None
            else who(line)
        )
        measured = curve_of(shares)
        draw_curve(axes, measured, label, looks.of(line))
        told.append(_told(f"measured: {label}", zip(*measured[:2], strict=True)))
    axes.set_xscale("log")
    axes.set(xlabel="length", ylabel="mAP / mAP at 10 s", ylim=(0, None))
    low, high = axes.get_xlim()
    ticks = [tick for tick in TICKS_S if low <= tick <= high]
    axes.set_xticks(ticks, [length_name(tick) for tick in ticks])
    axes.minorticks_off()
    handles, names = axes.get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=2, handlelength=3)
    alt = " ".join(told)
    return save(canvas, folder / f"preset-{name}.png", f"The paper's {name} and this run", alt)


def _told(name: str, pairs: Iterable[tuple[float, float]]) -> str:
    return f"{name}: {', '.join(f'{y:.2f} at {length_name(x)}' for x, y in pairs)}."
