"""Each model's drop split into its causes: share of the 10 s score against length, and bars at the longest length."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.diagnosis.causes.table import CauseRow
from niah.plots.axes import length_axis
from niah.plots.looks import CHANCE_COLOUR, COLOURS, DASHES, MARKERS
from niah.plots.medium import PAGE, medium
from niah.plots.style import CHANCE, Figure, in_style, save
from niah.records.naming import length_name, position_name, scene_name, system_names
from niah.records.schema import BASE_LENGTH_S
from niah.system.plurals import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_LEGEND_COLUMNS, _LEGEND_LINE_IN, _LEGEND_BELOW_IN = 2, 0.19, 0.5
_TOTAL, _REST = "#4d4d4d", "#b0b0b0"  # the drop, and what no single cause explains


def draw(rows: Sequence[CauseRow], file: Path) -> Figure:
    """Draw one figure: a row a model, curves on the left, bars of the longest length on the right (below, in a column).

    Args:
        rows: of all models, with the same scenes.
        file: the PNG.

    Returns:
        The figure on disk.
    """
    models = dict.fromkeys((row.model, row.checkpoint_sha256) for row in rows)
    by_model = [[r for r in rows if (r.model, r.checkpoint_sha256) == each] for each in models]
    names = system_names(models)
    with in_style():
        curves = [len({r.variant for r in mine if r.kind != "remainder"}) for mine in by_model]
        canvas, pairs = _panels([len(_longest(mine)) for mine in by_model], curves)
        for (left, right), mine in zip(pairs, by_model, strict=True):
            colours = _colours(mine)
            _curves(left, mine, colours)
            left.set_title(names[mine[0].model, mine[0].checkpoint_sha256])
            _bars(right, _longest(mine), colours)
        first = rows[0]
        scene = scene_name(first.haystack, first.snr_db)
        title = f"Why does it drop? {plural(first.n_clips, 'clip')} in {scene}, {position_name(first.position)}"
        return save(canvas, file, title, _alt(title, by_model, names))


def _panels(bars: Sequence[int], curves: Sequence[int]) -> "tuple[Canvas, list[tuple[Axes, Axes]]]":
    """Make two panels a model, as high as the second's bars need, and the legend of the first's curves and chance."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    width_in = medium().width_in
    if width_in is None:
        heights = [
            max(3.6, 1.4 + 0.3 * count) + _LEGEND_LINE_IN * ceil((entries + 1) / _LEGEND_COLUMNS)
            for count, entries in zip(bars, curves, strict=True)
        ]
        canvas = Canvas(figsize=(11.5, sum(heights) + 0.5))
        shape = (len(bars), 2)
        ratios: dict[str, Any] = {"width_ratios": (1, 1.15), "height_ratios": heights}
    else:
        heights = [h for count in bars for h in (1.9, 0.6 + 0.27 * count)]
        canvas = Canvas(figsize=(width_in, sum(heights)))
        shape = (2 * len(bars), 1)
        ratios = {"height_ratios": heights}
    FigureCanvasAgg(canvas)
    flat = canvas.subplots(*shape, squeeze=False, **ratios).ravel()
    return canvas, list(zip(flat[::2], flat[1::2], strict=True))


def _longest(rows: Sequence[CauseRow]) -> list[CauseRow]:
    last = max(row.length_s for row in rows)
    return [row for row in rows if row.length_s == last]


def _colours(rows: Sequence[CauseRow]) -> dict[str, str]:
    names = dict.fromkeys(row.variant for row in rows if row.kind in ("part", "remedy"))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    colours.update({row.variant: _TOTAL for row in rows if row.kind == "released"})
    colours.update({row.variant: _REST for row in rows if row.kind == "remainder"})
    return colours


def _curves(axes: "Axes", rows: Sequence[CauseRow], colours: dict[str, str]) -> None:
    from matplotlib.transforms import ScaledTranslation

    variants = dict.fromkeys(row.variant for row in rows if row.kind != "remainder")
    for index, variant in enumerate(variants):
        mine = [row for row in rows if row.variant == variant]
        lengths = [BASE_LENGTH_S, *(row.length_s for row in mine)]
        look: dict[str, Any] = {
            "color": colours[variant],
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": DASHES[(index // len(COLOURS)) % len(DASHES)],
            **medium().curve,
            "linewidth": medium().curve["linewidth"] * (1.4 if mine[0].kind == "released" else 0.8),
        }
        axes.plot(lengths, [100.0, *(100 * row.relative for row in mine)], label=variant, **look)
        if mine[0].kind == "released":
            low = [100.0, *(100 * row.relative_lo for row in mine)]
            high = [100.0, *(100 * row.relative_hi for row in mine)]
            axes.fill_between(lengths, low, high, color=_TOTAL, alpha=0.15, linewidth=0)
    base = next(row for row in rows if row.kind == "released")
    share = 100 * base.chance_mAP / base.base_mAP
    axes.axhline(share, color=CHANCE_COLOUR, linestyle="--", label=CHANCE)
    ticks = [BASE_LENGTH_S, *sorted({row.length_s for row in rows})]
    length_axis(axes, ticks)
    axes.set_ylabel("per cent of the own 10 s mAP")
    axes.set_ylim(bottom=0)
    if medium() is PAGE:
        below = ScaledTranslation(0, -_LEGEND_BELOW_IN, axes.figure.dpi_scale_trans)
        axes.legend(
            fontsize=7.5,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            bbox_transform=axes.transAxes + below,
            ncols=_LEGEND_COLUMNS,
        )
    else:  # the bars below have the same colours and the names
        place: Any = {"va": "bottom", "ha": "right", "fontsize": 7, "color": CHANCE_COLOUR}
        axes.text(ticks[-1], share, CHANCE, **place)


def _bars(axes: "Axes", rows: Sequence[CauseRow], colours: dict[str, str]) -> None:
    """Draw bars from the top: the drop; its parts, each starting at the end of the last; the loss with each remedy."""
    begin, names = 0.0, []
    for place, row in enumerate(rows):
        lost, low, high = _lost(row)
        left = begin if row.kind in ("part", "remainder") else 0.0
        at = place if medium() is PAGE else place + 0.05
        height = 0.7 if medium() is PAGE else 0.45
        axes.barh(at, lost, left=left, color=colours[row.variant], height=height)
        axes.plot([left + low, left + high], [at, at], color="black", linewidth=1.0)
        names.append(row.variant)
        begin += lost if row.kind in ("part", "remainder") else 0.0
    split = sum(row.kind != "remedy" for row in rows)
    gap = 0.5 if medium() is PAGE else 0.69  # between a bar and the name of the next
    axes.axhline(split - gap, color="0.7", linewidth=0.8)
    axes.axvline(0, color="0.4", linewidth=0.8)
    _name_bars(axes, names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"per cent of the 10 s mAP lost at {length_name(rows[0].length_s)}")
    axes.set_title("the drop, its parts, and what is lost with each remedy")


def _name_bars(axes: "Axes", names: Sequence[str]) -> None:
    """Write the names beside the bars; in a column above them, where they take no width."""
    if medium() is PAGE:
        axes.set_yticks(range(len(names)), names)
        return
    axes.set_yticks([])
    axes.set_ylim(-0.8, len(names) - 0.55)
    for place, name in enumerate(names):
        axes.text(
            0.01, place - 0.3, name, transform=axes.get_yaxis_transform(), va="bottom", fontsize=7
        )


def _lost(row: CauseRow) -> tuple[float, float, float]:
    """Return the per cent lost, with its interval."""
    if row.kind == "remedy":
        return (
            100 * (1 - row.relative),
            100 * (1 - row.relative_hi),
            100 * (1 - row.relative_lo),
        )
    return 100 * row.effect, 100 * row.effect_lo, 100 * row.effect_hi


def _alt(
    title: str,
    by_model: Sequence[Sequence[CauseRow]],
    names: Mapping[tuple[str, str | None], str],
) -> str:
    ten = by_model[0][0].base_name
    sentences = [f"{title}. Per cent of the {ten} lost at the longest length."]
    for mine in by_model:
        rows = _longest(mine)
        values = ", ".join(f"{row.variant} ({row.kind}) {_lost(row)[0]:.0f}" for row in rows)
        name = names[rows[0].model, rows[0].checkpoint_sha256]
        sentences.append(f"{name} at {length_name(rows[0].length_s)}: {values}.")
    return " ".join(sentences)
