"""Score and decision against the time since the sound began: one figure a kind of scene, a line a model."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.diagnosis.streaming.rows import CurvePoint
from niah.plots.curves import curve_of, draw_curve
from niah.plots.looks import DASHES, Look, curve_looks
from niah.plots.small_multiples import split
from niah.plots.style import PANEL_IN, Figure, in_style, legend, new_grid, save, slugs
from niah.plots.text import short_name
from niah.records.naming import length_name, system_names
from niah.system import atomic
from niah.system.plurals import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKED = 5  # points of a line with its marker
NO_THRESHOLDS = "no thresholds at this rate of false alarms:\nthe table says why"
_TEXT_S = (-2.0, 1.0, 5.0, 10.0, 20.0)  # times in a line's text


def draw(points: Sequence[CurvePoint], folder: Path) -> list[Figure]:
    """Draw `stream-<scene>.png` for every kind of scene."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    models = system_names((point.model, point.checkpoint_sha256) for point in points)
    with in_style():
        return [
            _figure(
                scene,
                [p for p in points if p.scene == scene],
                models,
                folder / f"stream-{name}.png",
            )
            for scene, name in slugs(point.scene for point in points).items()
        ]


def _figure(
    scene: str,
    points: Sequence[CurvePoint],
    models: Mapping[tuple[str, str | None], str],
    file: Path,
) -> Figure:
    many = len({point.scenes for point in points}) > 1
    dashes = dict(zip(sorted({point.per_hour for point in points}), cycle(DASHES), strict=False))
    streams = _by_rate(points)
    parts = [
        (
            *_parts(first, models[first.model, first.checkpoint_sha256]),
            plural(first.scenes, "scene") if many else "",
        )
        for first in (next(iter(rates.values()))[0] for rates in streams)
    ]
    panels = split(parts)
    names = sorted(map(short_name, models.values()))
    looks = curve_looks(parts, panels, names, dashes=DASHES[:1])  # dashes are the rates'
    canvas, grid = new_grid(len(panels), 2, PANEL_IN)
    for (left, right), panel in zip(grid, panels, strict=True):
        for index, label in panel.labels.items():
            _draw_stream((left, right), streams[index], label, looks[index], dashes)
        _describe(left, panel.title, "score", "mean score")
        at = _rate_name(next(iter(dashes))) if len(dashes) == 1 else ""
        _describe(right, panel.title, f"decision {at}".strip(), "share above threshold")
        if not any(
            p.above is not None for i in panel.labels for own in streams[i].values() for p in own
        ):
            right.set_xlim(left.get_xlim())
            place: dict[str, Any] = {"transform": right.transAxes, "ha": "center", "va": "center"}
            right.text(0.5, 0.5, NO_THRESHOLDS, **place)
    if len(dashes) > 1:
        for per_hour, dash in dashes.items():
            grid[0][1].plot([], [], color="black", linestyle=dash, label=_rate_name(per_hour))
    legend(canvas, *(row[0] for row in grid), grid[0][1])
    title = f"Heard as it comes. Haystack: {scene}"
    alt = f"{title}. Mean score and share above threshold, by seconds since the sound began."
    texts = [
        f"{', '.join(filter(None, (*part, _rate_name(per_hour))))}: {_values(own)}."
        for part, rates in zip(parts, streams, strict=True)
        for per_hour, own in rates.items()
    ]
    return save(canvas, file, title, " ".join([alt, *texts]))


def _by_rate(points: Sequence[CurvePoint]) -> list[dict[float, list[CurvePoint]]]:
    """Return the points of each stream, by the rate of false alarms of its thresholds."""
    streams: dict[tuple[object, ...], dict[float, list[CurvePoint]]] = {}
    for point in points:
        rates = streams.setdefault(point.stream, {})
        rates.setdefault(point.per_hour, []).append(point)
    return list(streams.values())


def _rate_name(per_hour: float) -> str:
    return f"at {per_hour:g} false alarms/h"


def _draw_stream(
    panels: "tuple[Axes, Axes]",
    rates: Mapping[float, Sequence[CurvePoint]],
    label: str,
    style: Look,
    dashes: Mapping[float, Any],
) -> None:
    """Draw a stream's score once, which no threshold changes, and its decisions with a dash for each rate."""
    score, decision = panels
    for number, (per_hour, points) in enumerate(rates.items()):
        drawn = {**style, "markevery": max(1, len(points) // _MARKED)}
        if number == 0:
            draw_curve(score, curve_of([(p.since, _score(p)) for p in points]), label, drawn)
        shares = curve_of([(p.since, _above(p)) for p in points])
        draw_curve(decision, shares, label, {**drawn, "linestyle": dashes[per_hour]})


def _describe(axes: "Axes", panel: str, kind: str, what: str) -> None:
    axes.axvline(0.0, color="0.6", linewidth=0.8)
    axes.set_title(", ".join(filter(None, (panel, kind))))
    axes.set(xlabel="since the onset (s)", ylabel=what, ylim=(0, 1.02))


def _parts(point: CurvePoint, model: str) -> tuple[str, ...]:
    window = "state" if point.window_s is None else f"windows of {point.window_s:g} s"
    return (
        short_name(model),
        f"{window}, every {point.hop_s:g} s",
        f"at {point.position:g} of {length_name(point.length_s)}",
        f"{point.repeats} times" if point.repeats > 1 else "",
    )


def _values(points: Sequence[CurvePoint]) -> str:
    """Return some of a line's values for those who cannot see it."""
    texts = []
    for time in _TEXT_S:
        near = min(points, key=lambda point: abs(point.since - time))
        above = "" if near.above is None else f" and {near.above:.2f}"
        texts.append(f"{near.score:.2f}{above} at {near.since:g} s")
    return ", ".join(dict.fromkeys(texts))


def _score(point: CurvePoint) -> tuple[float, float, float]:
    low = point.score if point.score_lo is None else point.score_lo
    return point.score, low, point.score if point.score_hi is None else point.score_hi


def _above(point: CurvePoint) -> tuple[float, float, float] | None:
    if point.above is None:
        return None
    low = point.above if point.above_lo is None else point.above_lo
    return point.above, low, point.above if point.above_hi is None else point.above_hi
