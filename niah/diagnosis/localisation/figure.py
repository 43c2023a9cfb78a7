"""Hit rate and error of localisation against length, one figure a kind of scene; dashes are a guess."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.diagnosis.localisation.table import Located
from niah.plots.medium import medium
from niah.plots.style import (
    CHANCE_COLOUR,
    COLOURS,
    DASHES,
    MARKERS,
    Figure,
    in_style,
    new_panels,
    save,
    slug,
)
from niah.records.naming import length_name
from niah.system import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CurveKey = tuple[str, str, float]  # model, method, position


def draw(rows: Sequence[Located], folder: Path) -> list[Figure]:
    """Draw `localisation-<scene>.png` for every kind of scene."""
    with atomic.one_line_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    scenes = dict.fromkeys(row.scene for row in rows)
    with in_style():
        return [
            _figure(scene, [row for row in rows if row.scene == scene], folder) for scene in scenes
        ]


def _figure(scene: str, rows: Sequence[Located], folder: Path) -> Figure:
    canvas, (left, right) = new_panels(2)
    curves: dict[CurveKey, list[Located]] = {}
    for row in rows:
        curves.setdefault((row.model, row.method, row.position), []).append(row)
    models = list(dict.fromkeys((model, method) for model, method, _ in curves))
    positions = sorted({position for _, _, position in curves}, key=lambda p: (p != 0.5, p))
    for (model, method, position), own in curves.items():
        index = models.index((model, method))
        look: dict[str, Any] = {
            "color": COLOURS[index % len(COLOURS)],
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": DASHES[positions.index(position) % len(DASHES)],
        }
        at = f", needle at {position:g}" if len(positions) > 1 else ""
        _draw(left, right, own, f"{model}, {method}{at}", look)
    _chance(left, right, rows)
    lengths = sorted({row.length_s for row in rows})
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(lengths, [f"{length:g}" for length in lengths])
        axes.minorticks_off()
        axes.set_xlabel("length (s)")
    left.set(title="Hit rate", ylabel="peak near the needle (%)", ylim=(0, 102))
    right.set(title="Distance of the peak", ylabel="median error (s)")
    right.set_yscale("symlog", linthresh=1.0)
    right.set_ylim(bottom=0)
    handles, names = left.get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=2, handlelength=3)
    title = f"Where was it heard? Haystack: {scene}"
    return save(canvas, folder / f"localisation-{slug(scene)}.png", title, _alt(title, curves))


def _draw(
    left: "Axes", right: "Axes", rows: Sequence[Located], name: str, look: dict[str, Any]
) -> None:
    lengths = [row.length_s for row in rows]
    left.plot(lengths, [100 * row.hit_rate for row in rows], label=name, **medium().curve, **look)
    low, high = ([100 * value for value in bound] for bound in _bounds(rows))
    left.fill_between(lengths, low, high, color=look["color"], alpha=0.15, linewidth=0)
    right.plot(lengths, [row.median_error_s for row in rows], **medium().curve, **look)


def _bounds(rows: Sequence[Located]) -> tuple[list[float], list[float]]:
    return [row.hit_lo for row in rows], [row.hit_hi for row in rows]


def _chance(left: "Axes", right: "Axes", rows: Sequence[Located]) -> None:
    """Draw the mean over curves of a guess, which depends on the width of a place and the position."""
    lengths = sorted({row.length_s for row in rows})
    look: dict[str, Any] = {"color": CHANCE_COLOUR, "linestyle": "--", "linewidth": 1.2}

    def mean(name: str, length: float) -> float:
        values = [float(getattr(row, name)) for row in rows if row.length_s == length]
        return sum(values) / len(values)

    left.plot(lengths, [100 * mean("chance_hit", s) for s in lengths], label="a guess", **look)
    right.plot(lengths, [mean("chance_error_s", s) for s in lengths], **look)


def _alt(title: str, curves: dict[CurveKey, list[Located]]) -> str:
    sentences = [
        f"{title} Per cent of peaks near the needle and median error in seconds, by length."
    ]
    for (model, method, position), rows in curves.items():
        values = ", ".join(
            f"{100 * row.hit_rate:.0f} % and {row.median_error_s:.1f} s at {length_name(row.length_s)} "
            f"(a guess: {100 * row.chance_hit:.0f} %)"
            for row in rows
        )
        sentences.append(f"{model}, {method}, needle at {position:g}: {values}.")
    return " ".join(sentences)
