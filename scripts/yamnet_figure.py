"""Write results/yamnet-esc50/length.png and summary.md from the cells of its runs.

    python scripts/yamnet_figure.py

The figure: mAP against length in each haystack (noise at 10 dB), a panel for each way to pool YAMNet's patches. Curves
of noise begin with the clip in 10 s of it, those of constants with the clip alone. The table: mAP with its interval,
what is left of the clean 10 s score above chance, and the score at 10 s in the same noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from niah.plots.curves import adjusted_of, curve_of, draw_curve, mAP_of
from niah.plots.style import STYLE, legend, look, mark_chance, new_panels, save
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
DRAWN_DB = 10.0
WIDTH_IN = 3.7


def main() -> None:
    cells = RunDirectory(FOLDER / "niah-v2.1").cells()
    curves = [curve for curve in length_curves(cells) if _pooling(curve) in POOLINGS]
    in_noise = {
        (p["pooling"], p["haystack"]): p
        for p in points(cells)
        if is_noise_base(p) and p["snr_db"] == DRAWN_DB
    }
    draw([curve for curve in curves if curve.snr_db in (None, DRAWN_DB)], in_noise)
    text = "\n".join(_table(pooling, curves).markdown() for pooling in POOLINGS)
    (FOLDER / "summary.md").write_text(text, "utf-8")


def _pooling(curve: LengthCurve) -> str:
    return curve.pool or ""


def _table(pooling: str, curves: Sequence[LengthCurve]) -> Table:
    mine = sorted(
        (curve for curve in curves if _pooling(curve) == pooling),
        key=lambda curve: (list(NAMES).index(curve.haystack), -(curve.snr_db or 0)),
    )
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


def _row(curve: LengthCurve, lengths: Sequence[float]) -> Iterator[str]:
    snr = "" if curve.snr_db is None else f", {curve.snr_db:g} dB"
    yield f"{NAMES[curve.haystack]}{snr}"
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
