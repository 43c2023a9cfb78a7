"""Score against SNR: one picture a position, one panel a length."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from niah.plots.curves import Curve, curve_of, draw_curve, mAP_of
from niah.plots.style import DASHES, Figure, Looks, legend, mark_chance, new_panels, save, who
from niah.records.naming import length_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve


def snr_figures(found: Sequence[LengthCurve], looks: Looks, folder: Path) -> list[Figure]:
    """One picture a position, one panel a length, of the haystacks with two levels or more."""
    drawn = []
    positions: list[float | None] = [*looks.positions] or [None]
    for position in positions:
        here = [line for line in found if line.position == position and not line.axes]
        noisy = [line for line in here if line.snr_db is not None]
        kinds = [(who(line), line.haystack) for line in noisy]
        noisy = [line for line in noisy if kinds.count((who(line), line.haystack)) >= 2]
        if noisy:
            drawn.append(_snr_figure(position, here, noisy, looks, folder))
    return drawn


def _snr_figure(
    position: float | None,
    here: list[LengthCurve],
    noisy: list[LengthCurve],
    looks: Looks,
    folder: Path,
) -> Figure:
    lengths_s = sorted({s for line in noisy for s, _ in line.scored() if s != BASE_LENGTH_S})
    canvas, panels = new_panels(max(1, len(lengths_s)), width=3.0 if len(lengths_s) > 2 else 4.2)
    haystacks = list(dict.fromkeys(line.haystack for line in noisy))
    told = []
    for axes, length in zip(panels, lengths_s, strict=False):
        for name, haystack in dict.fromkeys((who(line), line.haystack) for line in noisy):
            group = [line for line in noisy if (who(line), line.haystack) == (name, haystack)]
            look = {**looks.of(group[0]), "linestyle": DASHES[haystacks.index(haystack)]}
            curve = _against_snr(group, length)
            draw_curve(axes, curve, f"{name}, {haystack}", look)
            values = ", ".join(f"{y:.3f} at {x:g} dB" for x, y in zip(*curve[:2], strict=True))
            told.append(f"{name}, {haystack}, {length_name(length)}: {values}.")
        mark_chance(axes, here)
        axes.set(title=length_name(length), xlabel="SNR (dB)", ylim=(0, None))
        axes.set_xticks(sorted({line.snr_db for line in noisy if line.snr_db is not None}))
        axes.invert_xaxis()
    panels[0].set_ylabel("mAP")
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, top)
    legend(canvas, panels[0])
    where = "" if position is None else f", needle at {position:g}"
    alt = f"mAP against SNR{where}. {' '.join(told)}"
    name = "snr.png" if position is None else f"snr-{position:g}.png"
    return save(canvas, folder / name, f"Score against level of the needle{where}", alt)


def _against_snr(group: Iterable[LengthCurve], length: float) -> Curve:
    cells = {line.snr_db: line.by_length.get(length) for line in group}
    scored = {snr: p for snr, p in cells.items() if snr is not None and p and p["mAP"] is not None}
    return curve_of([(snr, mAP_of(point)) for snr, point in sorted(scored.items())])
