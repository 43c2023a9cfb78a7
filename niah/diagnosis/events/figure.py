"""PSDS1 and onset F against length: one figure a kind of scene."""

from collections.abc import Callable, Sequence
from pathlib import Path

from niah.diagnosis.events.rows import EventScores
from niah.plots.curves import curve_of, draw_curve
from niah.plots.style import Figure, in_style, legend, look, new_panels, save, slug
from niah.plots.text import short_name
from niah.records.naming import length_name
from niah.system import atomic

MOST_CURVES = 8
Value = Callable[[EventScores], tuple[float, float, float] | None]


def draw(rows: Sequence[EventScores], folder: Path) -> list[Figure]:
    """Draw `events-<scene>.png` for every kind of scene with two lengths or more."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    figures = []
    with in_style():
        for scene in dict.fromkeys(row.scene for row in rows):
            here = [row for row in rows if row.scene == scene]
            if len({row.length_s for row in here}) > 1:
                figures.append(_figure(scene, here, folder))
    return figures


def _figure(scene: str, rows: Sequence[EventScores], folder: Path) -> Figure:
    curves: dict[tuple[object, ...], list[EventScores]] = {}
    for row in rows:
        kind = (row.model, row.method, row.window_s, row.hop_s, row.position, row.needles)
        curves.setdefault(kind, []).append(row)
    canvas, (left, right) = new_panels(2)
    texts = []
    for index, own in enumerate(list(curves.values())[:MOST_CURVES]):
        name = _name(own[0])
        for axes, value in ((left, _psds), (right, _onset)):
            points = curve_of([(row.length_s, value(row)) for row in own])
            draw_curve(axes, points, name, {**look(index), "linestyle": "-"})
        values = ", ".join(
            f"{row.psds1 or 0:.3f} and {row.onset_f or 0:.3f} at {length_name(row.length_s)}"
            for row in own
        )
        texts.append(f"{name}: {values}.")
    ticks = sorted({row.length_s for row in rows})
    for axes, title in ((left, "PSDS1"), (right, "Onset F")):
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(title=title, xlabel="length (s)", ylim=(0, 1.02))
    legend(canvas, left)
    title = f"Sound events in time. Haystack: {scene}"
    alt = " ".join([f"{title}. PSDS1 and onset F against length.", *texts])
    return save(canvas, folder / f"events-{slug(scene)}.png", title, alt)


def _name(row: EventScores) -> str:
    needles = "" if row.needles < 2 else f", {row.needles} needles"
    return f"{short_name(row.model)}, {row.method}, at {row.position:g}{needles}"


def _psds(row: EventScores) -> tuple[float, float, float] | None:
    return None if row.psds1 is None else (row.psds1, row.psds1, row.psds1)


def _onset(row: EventScores) -> tuple[float, float, float] | None:
    if row.onset_f is None or row.onset_lo is None or row.onset_hi is None:
        return None
    return row.onset_f, row.onset_lo, row.onset_hi
