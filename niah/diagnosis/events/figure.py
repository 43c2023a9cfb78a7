"""PSDS1 and onset F against length: one figure a kind of scene."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from niah.diagnosis.events.rows import EventScores, further_settings
from niah.plots.axes import length_axis
from niah.plots.curves import curve_of, draw_curve
from niah.plots.looks import curve_looks
from niah.plots.small_multiples import split
from niah.plots.style import PANEL_IN, Figure, in_style, legend, new_grid, save, slugs
from niah.plots.text import short_name
from niah.records.naming import length_name, system_names
from niah.system import atomic

System = tuple[str, str | None]  # model and SHA-256 of its weights
Value = Callable[[EventScores], tuple[float, float, float] | None]


def draw(rows: Sequence[EventScores], folder: Path) -> list[Figure]:
    """Draw `events-<scene>.png` for every kind of scene with two lengths or more."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    figures = []
    models = system_names((row.model, row.checkpoint_sha256) for row in rows)
    with in_style():
        for scene, name in slugs(row.scene for row in rows).items():
            here = [row for row in rows if row.scene == scene]
            if len({row.length_s for row in here}) > 1:
                figures.append(_figure(scene, here, models, folder / f"events-{name}.png"))
    return figures


def _figure(
    scene: str, rows: Sequence[EventScores], models: Mapping[System, str], file: Path
) -> Figure:
    curves: dict[tuple[object, ...], list[EventScores]] = {}
    settings = dict(zip(rows, further_settings(rows), strict=True))
    for row in rows:
        kind = (
            row.model,
            row.checkpoint_sha256,
            row.method,
            row.window_s,
            row.hop_s,
            row.position,
            row.needles,
            settings[row],
        )
        curves.setdefault(kind, []).append(row)
    drawn = list(curves.values())
    parts = [
        (*_parts(row, models[row.model, row.checkpoint_sha256]), settings[row]) for row, *_ in drawn
    ]
    panels = split(parts)
    looks = curve_looks(parts, panels, sorted(map(short_name, models.values())))
    canvas, grid = new_grid(len(panels), 2, PANEL_IN)
    texts = []
    ticks = sorted({row.length_s for row in rows})
    for (left, right), panel in zip(grid, panels, strict=True):
        for index, label in panel.labels.items():
            own = drawn[index]
            for axes, value in ((left, _psds), (right, _onset)):
                points = curve_of([(row.length_s, value(row)) for row in own])
                draw_curve(axes, points, label, looks[index])
            values = ", ".join(
                f"{row.psds1 or 0:.3f} and {row.onset_f or 0:.3f} at {length_name(row.length_s)}"
                for row in own
            )
            texts.append(f"{', '.join(filter(None, parts[index]))}: {values}.")
        for axes, score in ((left, "PSDS1"), (right, "Onset F")):
            length_axis(axes, ticks)
            axes.set_title(", ".join(filter(None, (panel.title, score))))
            axes.set_ylim(0, 1.02)
    legend(canvas, *(row[0] for row in grid))
    title = f"Sound events in time. Haystack: {scene}"
    alt = " ".join([f"{title}. PSDS1 and onset F against length.", *texts])
    return save(canvas, file, title, alt)


def _parts(row: EventScores, model: str) -> tuple[str, ...]:
    method = row.method if row.window_s is None else f"{row.window_s:g} s every {row.hop_s:g} s"
    needles = "" if row.needles < 2 else f"{row.needles} needles"
    return short_name(model), method, f"at {row.position:g}", needles


def _psds(row: EventScores) -> tuple[float, float, float] | None:
    return None if row.psds1 is None else (row.psds1, row.psds1, row.psds1)


def _onset(row: EventScores) -> tuple[float, float, float] | None:
    if row.onset_f is None:
        return None
    if row.onset_lo is None or row.onset_hi is None:
        return row.onset_f, row.onset_f, row.onset_f
    return row.onset_f, row.onset_lo, row.onset_hi
