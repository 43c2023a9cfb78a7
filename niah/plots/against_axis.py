"""Share of the 10 s score against a further axis: level, needle's duration, how many needles, how many distractors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from niah.plots.curves import curve_of, draw_curve, relative_of
from niah.plots.style import DASHES, Figure, Looks, legend, new_panels, save, slug, who
from niah.records.naming import Point, length_name, scene_name
from niah.records.schema import BASE_LENGTH_S, SCENE_AXES
from niah.tables.curves import LengthCurve

PLAIN: dict[str, str | float] = {
    "level": "surround",
    "needle_s": BASE_LENGTH_S,
    "needle_count": 1,
    "distractors": 0,
}
NAMES = {
    "level": "noise around the needle, or under it too",
    "needle_s": "needle (s)",
    "needle_count": "needles",
    "distractors": "distractors",
}


def axis_figures(found: Sequence[LengthCurve], looks: Looks, folder: Path) -> list[Figure]:
    """One picture a scene, position and axis with two values or more, the others plain; a curve a model and length."""
    drawn = []
    for axis in SCENE_AXES:
        alone = [line for line in found if _varies(line, axis)]
        kinds = dict.fromkeys((line.haystack, line.snr_db, line.position) for line in alone)
        for kind in kinds:
            here = [line for line in alone if (line.haystack, line.snr_db, line.position) == kind]
            if len({_value(line, axis) for line in here}) >= 2:
                drawn.append(_figure(axis, here, looks, folder))
    return drawn


def _figure(axis: str, here: Sequence[LengthCurve], looks: Looks, folder: Path) -> Figure:
    canvas, (axes,) = new_panels(1, width=6.5)
    values = list(dict.fromkeys(_value(line, axis) for line in here))
    values = values if axis == "level" else sorted(values, key=float)
    at = {
        value: float(index) if axis == "level" else float(value)
        for index, value in enumerate(values)
    }
    lengths = sorted({s for line in here for s in line.by_length if s != BASE_LENGTH_S})
    told = []
    for model in dict.fromkeys(who(line) for line in here):
        own = [line for line in here if who(line) == model]
        for length in lengths:
            scored = [
                (at[_value(line, axis)], p) for line in own if (p := line.by_length.get(length))
            ]
            curve = curve_of(
                [(x, relative_of(p)) for x, p in sorted(scored, key=lambda each: each[0])]
            )
            look = {**looks.of(own[0]), "linestyle": DASHES[lengths.index(length) % len(DASHES)]}
            name = f"{model}, {length_name(length)}"
            draw_curve(axes, curve, name, look)
            pairs = ", ".join(f"{y:.2f} at {x:g}" for x, y in zip(*curve[:2], strict=True))
            told.append(f"{name}: {pairs}.")
    axes.set(xlabel=NAMES[axis], ylabel="mAP / mAP at 10 s", ylim=(0, None))
    axes.set_xticks(
        list(at.values()), [f"{value}" if axis == "level" else f"{value:g}" for value in at]
    )
    legend(canvas, axes)
    scene = scene_name(here[0].haystack, here[0].snr_db)
    where = "" if here[0].position is None else f", needle at {here[0].position:g}"
    title = f"{NAMES[axis].capitalize()}, haystack: {scene}{where}"
    file = folder / f"axis-{axis}-{slug(scene)}-{here[0].position or 0:g}.png"
    return save(
        canvas, file, title, f"Share of the 10 s score by {axis}, {scene}{where}. {' '.join(told)}"
    )


def _varies(line: LengthCurve, axis: str) -> bool:
    """Whether the line is plain but for `axis`."""
    points = list(_longer(line))
    return bool(points) and not any(
        p.get(other) for p in points for other in SCENE_AXES if other != axis
    )


def _value(line: LengthCurve, axis: str) -> str | float:
    """What the line has on an axis; the plain value where its cells say nothing."""
    value: str | float = next(_longer(line)).get(axis) or PLAIN[axis]
    return value


def _longer(line: LengthCurve) -> Iterator[Point]:
    return (point for length, point in line.by_length.items() if length != BASE_LENGTH_S)
