"""results/esc10-nano/pooling/pooling.md and .png from its cells: the paper's figure 3 in small.

    python scripts/esc10_pooling.py

Rows: a model trained for each pooling, and the average's weights pooled otherwise afterwards. Columns: mAP of the
needle alone, and of 50 s of zeros at five positions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from niah.plots.looks import COLOURS, DASHES, MARKERS
from niah.plots.style import STYLE, legend, mark_chance, new_panels, save
from niah.records.run_directory import RunDirectory
from niah.tables.curves import LengthCurve, length_curves
from niah.tables.table import Table

FOLDER = Path(__file__).resolve().parent.parent / "results" / "esc10-nano" / "pooling"
TRAINED = "dass-esc10"  # followed by the pooling it was trained for; alone: the average
LENGTH_S = 50.0
POSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    curves = length_curves(RunDirectory(FOLDER).cells())
    parts = (
        ("Trained for each pooling", _by_pooling([line for line in curves if not line.pool])),
        ("Trained for the average, pooled afterwards", _by_pooling(
            [line for line in curves if line.model.partition(",")[0] == TRAINED]
        )),
    )  # fmt: skip
    (FOLDER / "pooling.md").write_text("\n".join(_table(*part).markdown() for part in parts))
    draw(parts)


def _by_pooling(curves: Sequence[LengthCurve]) -> dict[str, dict[float, LengthCurve]]:
    """By name, the lines by position."""
    by: dict[str, dict[float, LengthCurve]] = {}
    for line in curves:
        name = line.pool or line.model.removeprefix(TRAINED).removeprefix("-") or "average"
        if line.position is not None:
            by.setdefault(name, {})[line.position] = line
    return by


def _table(title: str, by: dict[str, dict[float, LengthCurve]]) -> Table:
    body = []
    for name, placed in by.items():
        base = next(iter(placed.values())).base
        assert base is not None
        texts = [f"{placed[p].by_length[LENGTH_S]['mAP']:.3f}" for p in POSITIONS]
        interval = f"{base['mAP']:.3f} [{base['mAP_lo']:.3f}, {base['mAP_hi']:.3f}]"
        body.append((name, interval, *texts))
    chance = next(iter(next(iter(by.values())).values())).by_length[LENGTH_S]["chance_mAP"]
    caption = f"{title}: mAP of the needle alone and hidden in {LENGTH_S:g} s of zeros; guessing {chance:.3f}"
    return Table(caption, ("pooling", "10 s", *(f"at {p:g}" for p in POSITIONS)), tuple(body))


def draw(parts: Sequence[tuple[str, dict[str, dict[float, LengthCurve]]]]) -> None:
    import matplotlib as mpl

    order = list(dict.fromkeys(name for _, by in parts for name in by))
    with mpl.rc_context(STYLE):
        canvas, panels = new_panels(2)
        for axes, (title, by) in zip(panels, parts, strict=True):
            for name, placed in by.items():
                axes.plot(
                    POSITIONS,
                    [placed[p].by_length[LENGTH_S]["mAP"] for p in POSITIONS],
                    label=name,
                    **_look(order.index(name)),
                )
            mark_chance(axes, [line for placed in by.values() for line in placed.values()])
            axes.set(title=title, xlabel="position of the needle", ylabel="mAP", ylim=(0, 1))
        for name in order:  # one legend for both panels
            if name not in parts[0][1]:
                panels[0].plot([], [], label=name, **_look(order.index(name)))
        legend(canvas, panels[0])
        title = "ESC-10 fold 4 in 50 s of zeros: the last map pooled in other ways"
        save(canvas, FOLDER / "pooling.png", title, "")


def _look(place: int) -> dict[str, Any]:
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place // len(COLOURS)],
    }


if __name__ == "__main__":
    main()
