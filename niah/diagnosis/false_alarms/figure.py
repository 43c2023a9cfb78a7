"""Recall at a number of false alarms an hour against length: one figure a kind of scene, a panel a rate."""

from collections.abc import Sequence
from pathlib import Path

from niah.diagnosis.false_alarms.rows import RecallAtRate
from niah.plots.axes import length_axis
from niah.plots.curves import curve_of, draw_curve
from niah.plots.looks import curve_looks, middle_first
from niah.plots.small_multiples import split
from niah.plots.style import PANEL_IN, Figure, in_style, legend, new_grid, save, slugs
from niah.plots.text import short_name
from niah.records.naming import length_name, position_name, with_windows
from niah.system import atomic

ROW_IN, THREE_IN = 2.6, 3.7  # height of one of several rows, width of one of three panels
CurveKey = tuple[str, str, str, float, str]


def draw(rows: Sequence[RecallAtRate], folder: Path) -> list[Figure]:
    """Draw `false-alarms-<scene>.png` for every kind of scene with a curve of two lengths."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with in_style():
        scenes = dict.fromkeys(row.scene for row in rows)
        names = slugs(scenes)
        models = sorted({_who(row.curve) for row in rows})
        by_scene = {scene: [row for row in rows if row.scene == scene] for scene in scenes}
        drawn = [_figure(s, own, models, folder, names[s]) for s, own in by_scene.items()]
    return [each for each in drawn if each is not None]


def _figure(
    scene: str, rows: Sequence[RecallAtRate], models: Sequence[str], folder: Path, name: str
) -> Figure | None:
    curves: dict[tuple[float, CurveKey], list[RecallAtRate]] = {}
    for row in rows:
        if row.recall is not None:
            curves.setdefault((row.per_hour, row.curve), []).append(row)
    drawn = {key: own for key, own in curves.items() if len(own) > 1}
    if not drawn:
        return None
    rates = sorted({rate for rate, _ in drawn})
    keys = list(dict.fromkeys(curve for _, curve in drawn))
    names = [(_who(key), position_name(key[3])) for key in keys]
    panels = split(names)
    looks = curve_looks(
        names, panels, models, [(position_name(p),) for p in middle_first(k[3] for k in keys)]
    )
    width = PANEL_IN[0] if len(rates) < 3 else THREE_IN
    height = PANEL_IN[1] if len(panels) == 1 else ROW_IN
    canvas, grid = new_grid(len(panels), len(rates), (width, height))
    ticks = sorted({row.length_s for own in drawn.values() for row in own})
    for axes_row, panel in zip(grid, panels, strict=True):
        for axes, rate in zip(axes_row, rates, strict=True):
            for index, label in panel.labels.items():
                own = drawn.get((rate, keys[index]), [])
                points = curve_of([(row.length_s, _value(row)) for row in own])
                draw_curve(axes, points, label, looks[index])
            axes.set_title(", ".join(filter(None, (panel.title, f"{rate:g} false alarms/h"))))
            length_axis(axes, ticks)
            axes.set(ylim=(0, 1.02), xlim=(ticks[0] / 1.2, ticks[-1] * 1.2))
        axes_row[0].set_ylabel("recall")
    legend(canvas, *(row[0] for row in grid))
    title = f"Recall at false alarms an hour and class. Haystack: {scene}"
    return save(canvas, folder / f"false-alarms-{name}.png", title, _alt(title, drawn))


def _who(curve: CurveKey) -> str:
    model, _, _, _, window = curve
    return with_windows(short_name(model), window)


def _value(row: RecallAtRate) -> tuple[float, float, float] | None:
    if row.recall is None:
        return None
    if row.recall_lo is None or row.recall_hi is None:
        return row.recall, row.recall, row.recall
    return row.recall, row.recall_lo, row.recall_hi


def _alt(title: str, drawn: dict[tuple[float, CurveKey], list[RecallAtRate]]) -> str:
    texts = [f"{title}, against length in seconds."]
    for (rate, curve), rows in drawn.items():
        values = ", ".join(f"{row.recall:.3f} at {length_name(row.length_s)}" for row in rows)
        texts.append(f"{_who(curve)}, {position_name(curve[3])}, {rate:g} an hour: {values}.")
    return " ".join(texts)
