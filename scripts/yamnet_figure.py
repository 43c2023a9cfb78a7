"""Write results/yamnet-esc50/length.png and summary.md from the cells of its runs.

    python scripts/yamnet_figure.py

The figure: mAP against length in each haystack (noise at 10 dB), a panel for each way to pool YAMNet's patches. Curves
of noise begin with the clip in 10 s of it, those of constants with the clip alone. The tables: by pooling, mAP with its
interval, what is left of the clean 10 s score above chance, and the score at 10 s in the same noise; the same for the
weights in full precision, beside those of 8 bits; and positions of the needle.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from niah.plots.curves import adjusted_of, curve_of, draw_curve, mAP_of
from niah.plots.looks import look
from niah.plots.style import STYLE, legend, mark_chance, new_panels, save
from niah.records.axes import is_noise_base
from niah.records.naming import Point, length_name
from niah.records.run_directory import RunDirectory
from niah.tables.curves import LengthCurve, length_curves, points
from niah.tables.table import Table

FOLDER = Path(__file__).resolve().parent.parent / "results" / "yamnet-esc50"
POOLINGS = {
    "mean-probability": "Mean of the patches' probabilities",
    "max": "Maximum over the patches",
    "average": "Mean of the patches' logits",
}
NAMES = {
    "silence": "digital silence",
    "zero": "zeros (mean log-mel)",
    "babble": "babble",
    "coffee_shop": "restaurant",
    "gaussian": "Gaussian noise",
}
EIGHT_BITS, FLOAT = "yamnet", "yamnet-float"
DRAWN_DB = 10.0
MIDDLE = 0.5
WIDTH_IN = 3.7


def main() -> None:
    cells = RunDirectory(FOLDER / "niah-v2.1").cells()
    curves = [curve for curve in length_curves(cells) if _pooling(curve) in POOLINGS]
    mine = [curve for curve in curves if curve.model == EIGHT_BITS]
    middle = [curve for curve in mine if curve.position == MIDDLE]
    in_noise = {
        (p["pooling"], p["haystack"]): p
        for p in points(cells)
        if is_noise_base(p) and p["snr_db"] == DRAWN_DB and p["model"] == EIGHT_BITS
    }
    draw([curve for curve in middle if curve.snr_db in (None, DRAWN_DB)], in_noise)
    tables = [
        *(_table(pooling, middle) for pooling in POOLINGS),
        _precision([curve for curve in curves if curve.position == MIDDLE]),
        _positions(mine),
    ]
    (FOLDER / "summary.md").write_text("\n".join(t.markdown() for t in tables), "utf-8")


def _pooling(curve: LengthCurve) -> str:
    return curve.pool or ""


def _place(curve: LengthCurve) -> tuple[int, float]:
    """Return the order of a curve's scene in tables."""
    return list(NAMES).index(curve.haystack), -(curve.snr_db or 0)


def _table(pooling: str, curves: Sequence[LengthCurve]) -> Table:
    mine = sorted((curve for curve in curves if _pooling(curve) == pooling), key=_place)
    lengths = sorted({length for curve in mine for length in curve.by_length})
    header = ("haystack", "10 s in it", *(length_name(length) for length in lengths if length > 10))
    rows = [tuple(_row(curve, lengths)) for curve in mine]
    base = mine[0].base
    assert base is not None
    caption = (
        f"{POOLINGS[pooling]} (--pooling {pooling}): mAP [95 % interval], and per cent left above chance of the "
        f"clean 10 s score, {_interval(base)}; chance {base['chance_mAP']:.3f}"
    )
    return Table(caption, header, tuple(rows))


def _precision(curves: Sequence[LengthCurve]) -> Table:
    """Make the table of scenes that both weights have: a row a scene and pooling, 8 bits above full precision."""
    by_scene: dict[tuple[object, ...], dict[str, LengthCurve]] = {}
    for curve in sorted(
        curves, key=lambda curve: (list(POOLINGS).index(_pooling(curve)), *_place(curve))
    ):
        scene = (_pooling(curve), curve.haystack, curve.snr_db)
        by_scene.setdefault(scene, {})[curve.model] = curve
    both = [pair for pair in by_scene.values() if len(pair) == 2]
    lengths = sorted({length for pair in both for length in pair[FLOAT].by_length})
    header = ("pooling", "haystack", "weights", *map(length_name, lengths))
    rows = []
    for pair in both:
        for model, name in ((EIGHT_BITS, "8 bits"), (FLOAT, "float32")):
            curve = pair[model]
            scores = [_score(curve.by_length.get(length)) for length in lengths]
            rows.append((_pooling(curve), _scene(curve), name, *scores))
    caption = "mAP [95 % interval] of the 8-bit export and of the weights that it was made from, on the same scenes"
    return Table(caption, header, tuple(rows))


def _positions(curves: Sequence[LengthCurve]) -> Table:
    """Make the table of scores by position of the needle, of the scenes with several."""
    by_scene: dict[tuple[object, ...], dict[float, Point]] = {}
    for curve in sorted(
        curves, key=lambda curve: (list(POOLINGS).index(_pooling(curve)), *_place(curve))
    ):
        for length, point in curve.by_length.items():
            if length > 10 and curve.position is not None:
                scene = (_pooling(curve), _scene(curve), length_name(length))
                by_scene.setdefault(scene, {})[curve.position] = point
    several = {scene: found for scene, found in by_scene.items() if len(found) > 1}
    places = sorted({place for found in several.values() for place in found})
    header = ("pooling", "haystack", "length", *(f"at {place:g}" for place in places))
    rows = [
        (*map(str, scene), *(_score(found.get(place)) for place in places))
        for scene, found in several.items()
    ]
    caption = "mAP [95 % interval] by position of the needle, from the beginning (0) to the end (1) of the scene"
    return Table(caption, header, tuple(rows))


def _scene(curve: LengthCurve) -> str:
    return NAMES[curve.haystack] + ("" if curve.snr_db is None else f", {curve.snr_db:g} dB")


def _score(point: Point | None) -> str:
    return "" if point is None or point["mAP"] is None else _interval(point)


def _row(curve: LengthCurve, lengths: Sequence[float]) -> Iterator[str]:
    yield _scene(curve)
    in_noise = [
        p["noise_base_mAP"] for _, p in curve.scored() if p.get("noise_base_mAP") is not None
    ]
    yield f"{in_noise[0]:.3f}" if in_noise else ""
    for length in lengths:
        if length > 10:
            yield _cell(curve.by_length.get(length))


def _cell(point: Point | None) -> str:
    if point is None or point["mAP"] is None:
        return ""
    share = adjusted_of(point)
    return f"{_interval(point)}, {100 * share[0]:.0f} %" if share else _interval(point)


def _interval(point: Point) -> str:
    return f"{point['mAP']:.3f} [{point['mAP_lo']:.3f}, {point['mAP_hi']:.3f}]"


def draw(curves: Sequence[LengthCurve], in_noise: Mapping[tuple[str, str], Point]) -> None:
    """Draw `length.png`; `in_noise` has the cells of 10 s by pooling and haystack."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        canvas, panels = new_panels(len(POOLINGS), WIDTH_IN)
        for axes, (pooling, title) in zip(panels, POOLINGS.items(), strict=True):
            mine = [curve for curve in curves if _pooling(curve) == pooling]
            for curve in mine:
                first = in_noise.get((pooling, curve.haystack))
                scored = [(x, first if first and x == 10 else point) for x, point in curve.scored()]
                values = curve_of((x, mAP_of(point)) for x, point in scored)
                draw_curve(
                    axes, values, NAMES[curve.haystack], look(list(NAMES).index(curve.haystack))
                )
            mark_chance(axes, mine)
            ticks = sorted({x for curve in mine for x, _ in curve.scored()})
            axes.set(title=title, xlabel="length", ylabel="mAP", xscale="log", ylim=(0, 1))
            axes.set_xticks(ticks, [length_name(x) for x in ticks], minor=False)
            axes.minorticks_off()
        legend(canvas, *panels)
        title = "YAMNet on 344 clips of ESC-50, noise at 10 dB"
        save(canvas, FOLDER / "length.png", title, "")


if __name__ == "__main__":
    main()
