"""Score, and share of the 10 s score, against length: one picture a kind of scene."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.metrics.effective_length import LEVELS
from niah.plots.curves import Curve, Value, curve_of, draw_curve, mAP_of, relative_of
from niah.plots.style import (
    CHANCE_COLOUR,
    Figure,
    Looks,
    legend,
    mark_chance,
    new_panels,
    save,
    slug,
    who,
)
from niah.records.naming import length_name
from niah.tables.curves import LengthCurve, chance

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def length_figure(
    scene: str, found: list[LengthCurve], looks: Looks, folder: Path
) -> Figure | None:
    most = max(len(line.scored()) for line in found)
    if most < 2:
        return None
    # a position measured at one length only is a point of the heat map, not a curve
    found = [line for line in found if len(line.scored()) >= min(most, 3)]
    canvas, (left, right) = new_panels(2)
    ambiguous = len({line.position for line in found}) > 1
    for line in found:
        name = f"{who(line)}, needle at {line.position:g}" if ambiguous else who(line)
        draw_curve(left, _against_length(line, mAP_of), name, looks.of(line))
        draw_curve(right, _against_length(line, relative_of), name, looks.of(line))
    _mark_failures(left, found, looks)
    mark_chance(left, found)
    _mark_relative_chance(right, found, looks)
    for share in LEVELS:  # where L85 and L50 are read off
        right.axhline(share, color=CHANCE_COLOUR, linestyle=":", linewidth=0.8, zorder=0)
    left.set(title="Score", ylabel="mAP")
    right.set(title="Share of its own 10 s score", ylabel="mAP / mAP at 10 s")
    ticks = sorted({length for line in found for length in line.by_length})
    for axes in (left, right):
        _length_axis(axes, ticks)
        axes.set_ylim(bottom=0)
    legend(canvas, left)
    where = "" if ambiguous or found[0].position is None else f", needle at {found[0].position:g}"
    title = f"Haystack: {scene}{where}"
    return save(canvas, folder / f"length-{slug(scene)}.png", title, _length_alt(scene, found))


def _length_alt(scene: str, found: list[LengthCurve]) -> str:
    told = [f"mAP against length in seconds, haystack {scene}."]
    for line in found:
        values = ", ".join(f"{p['mAP']:.3f} at {length_name(s)}" for s, p in line.scored())
        position = "" if line.position is None else f" with the needle at {line.position:g}"
        told.append(f"{who(line)}{position}: {values or 'not scored'}.")
    level = chance(found)
    return " ".join(told) + ("" if level is None else f" Chance: {level:.3f}.")


def _against_length(line: LengthCurve, value: Value) -> Curve:
    return curve_of([(s, value(p)) for s, p in line.scored()])


def _mark_relative_chance(axes: "Axes", found: Iterable[LengthCurve], looks: Looks) -> None:
    """Chance as a share of each model's own 10 s score, in the model's colour."""
    level = chance(found)
    bases = {looks.of(line)["color"]: line.base for line in found}
    for colour, base in bases.items():
        if level is not None and base is not None and base["mAP"]:
            share = level / base["mAP"]
            axes.axhline(share, color=colour, linestyle="--", linewidth=1.0, alpha=0.6)


def _mark_failures(axes: "Axes", found: Iterable[LengthCurve], looks: Looks) -> None:
    """A cross on the axis at the shortest length of each model that ended so, and the word."""
    failed: dict[tuple[str, str], float] = {}
    for line in found:
        for length, point in line.by_length.items():
            if point["status"] != "ok":
                key = (looks.of(line)["color"], point["status"])
                failed[key] = min(length, failed.get(key, length))
    for index, ((colour, status), length) in enumerate(failed.items()):
        axes.plot(length, 0, marker="x", color=colour, markersize=8, clip_on=False, zorder=5)
        word = "out of memory" if status == "oom" else "error"
        place: dict[str, Any] = {
            "textcoords": "offset points",
            "xytext": (2, 6 + 11 * index),
            "fontsize": 8,
        }
        axes.annotate(word, (length, 0), ha="right", color=colour, **place)


def _length_axis(axes: "Axes", ticks: Sequence[float]) -> None:
    """Logarithmic, with the measured lengths as ticks, thinned where they would overlap."""
    axes.set_xscale("log")
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick / kept[-1] > (max(ticks) / min(ticks)) ** 0.08:
            kept.append(tick)
    axes.set_xticks(kept, [f"{tick:g}" for tick in kept])
    axes.minorticks_off()
    axes.set_xlabel("length (s)")
