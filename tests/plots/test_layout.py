"""No text is cut or lies on another, in figures of many curves and of names that nobody should give."""

from collections.abc import Iterable, Iterator
from itertools import combinations, product
from math import log
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from niah import plots
from niah.plots import layout, style, text
from niah.plots.against_length import _in_one_noise
from niah.plots.axes import length_axis, log_value_axis
from niah.records import cell_table
from niah.records.schema import Row
from niah.tables.curves import length_curves
from tests.helpers import examples

NASTY = (
    "a$x^{$b",
    r"$\mathdefault{",
    r"\frac{$1$}_^&%#",
    "W" * 250,
    "two\nlines\tand \x07",
    "“quotes” 'and' \"more\" <b>&amp;",
    "日本語 العربية 🎧",
)
SPARE_PX = 2.0


def cells(
    models: Iterable[str],
    poolings: Iterable[str] = ("",),
    positions: Iterable[float] = (0.5,),
    haystacks: Iterable[str] = ("babble",),
    snrs_db: Iterable[float] = (10.0,),
) -> pd.DataFrame:
    """A scored run of every combination at 10, 20, 50 and 100 s."""
    rows = []
    for model, pooling in product(models, poolings):
        how: dict[str, Any] = {"model": model, "chance_mAP": 0.15, "base_mAP": 0.8}
        if pooling:
            how |= {"kernel": f"sdpa+pool-{pooling}", "pooling": pooling}
        alone: dict[str, Any] = {"length_s": 10.0, "haystack": "none", "position": None}
        rows.append(examples.row(mAP=0.8, relative=1.0, drop=0.0, **alone, **how))
        for place in product(positions, haystacks, snrs_db, (20.0, 50.0, 100.0)):
            position, haystack, snr_db, length_s = place
            kept = 1 - 0.1 * log(length_s / 10) - 0.02 * position
            scene: dict[str, Any] = {"position": position, "haystack": haystack, "snr_db": snr_db}
            found = {"mAP": 0.8 * kept, "mAP_lo": 0.7 * kept, "mAP_hi": 0.9 * kept}
            share = {
                "relative": kept,
                "drop": 1 - kept,
                "drop_lo": 0.9 - kept,
                "drop_hi": 1.1 - kept,
            }
            rows.append(examples.row(length_s=length_s, **scene, **found, **share, **how))
    return cell_table.table(rows)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, as they are on disk."""
    canvases: list[Figure] = []

    def fit(canvas: Figure, title: str) -> None:
        layout.fit(canvas, title)
        canvases.append(canvas)

    monkeypatch.setattr(style, "fit", fit)
    return canvases


def boxes(canvas: Figure) -> Iterator[tuple[str, Bbox]]:
    """Titles, labels, tick labels and legend entries with their places in pixels."""
    texts: list[Text] = [canvas._suptitle] if canvas._suptitle else []  # type: ignore[attr-defined]
    texts += [entry for legend in canvas.legends for entry in legend.get_texts()]
    for axes in canvas.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
            texts += [label for place, label in ticks if low <= place <= high and axes.axison]
    for each in texts:
        if each.get_text() and each.get_visible():
            yield each.get_text(), each.get_window_extent()


def overlap(one: Bbox, other: Bbox) -> bool:
    both = Bbox.intersection(one, other)
    return both is not None and both.width > SPARE_PX and both.height > SPARE_PX


def refuse_clipping(canvas: Figure) -> None:
    canvas.draw_without_rendering()
    shown = list(boxes(canvas))
    assert len(shown) > 5
    for name, box in shown:
        assert box.x0 > -SPARE_PX, name
        assert box.y0 > -SPARE_PX, name
        assert box.x1 < canvas.bbox.x1 + SPARE_PX, name
        assert box.y1 < canvas.bbox.y1 + SPARE_PX, name
        for axes in canvas.axes:
            assert not overlap(box, axes.get_window_extent()), name
    for (name, box), (other, its_box) in combinations(shown, 2):
        assert not overlap(box, its_box), (name, other)


def test_two_models_three_poolings_five_positions(drawn: list[Figure], tmp_path: Path) -> None:
    table = cells(("A", "B"), ("average", "max", "top-k"), (0, 0.25, 0.5, 0.75, 1))
    figures = plots.draw(table, tmp_path)
    assert [figure.file.name for figure in figures] == [
        "length-babble-10dB.png",
        "positions-babble-10dB.png",
    ]
    for canvas in drawn:
        refuse_clipping(canvas)
    bands = [len(axes.collections) for axes in drawn[0].axes]
    assert max(bands) == 6  # of thirty curves
    assert sum(bands) == 30 * 3  # score, share, chance-adjusted share
    assert [axes.get_title() for axes in drawn[0].axes[::3]] == [
        f"needle at {p:g}" for p in (0, 0.25, 0.5, 0.75, 1)
    ]


@pytest.mark.filterwarnings("ignore:Glyph .* missing:UserWarning")
@pytest.mark.parametrize("haystack", ["$x^{$ W日" * 30, r"a$b$_\frac{"], ids=["long", "short"])
def test_nasty_names_are_drawn_as_they_are(
    haystack: str, drawn: list[Figure], tmp_path: Path
) -> None:
    figures = plots.draw(cells(NASTY, positions=(0, 1), haystacks=(haystack,)), tmp_path)
    assert len(figures) == len(drawn) == 2
    for figure, canvas in zip(figures, drawn, strict=True):
        assert figure.file.stat().st_size > 5000
        refuse_clipping(canvas)
    entries = {"".join(each.get_text().split()) for each in drawn[0].legends[0].get_texts()}
    assert entries >= {"".join(text.short_name(name).split()) for name in NASTY}


def test_nasty_names_in_every_kind_of_figure(drawn: list[Figure], tmp_path: Path) -> None:
    table = cells(NASTY[:2], haystacks=(NASTY[0],), snrs_db=(0.0, 10.0))
    plain = table.assign(needle_s=None, haystack=NASTY[2])
    names = [figure.file.name for figure in plots.draw(table, tmp_path)]
    assert "snr-0.5.png" in names
    shorter = plain[plain["length_s"] > 10].assign(needle_s=5.0)
    names = [f.file.name for f in plots.draw(pd.concat([plain, shorter]), tmp_path)]
    assert any(name.startswith("axis-needle_s") for name in names)
    for canvas in drawn:
        refuse_clipping(canvas)


def test_axes_have_several_plain_numbers_whatever_their_range() -> None:
    for values, ticks in (((0.57, 0.66), 3), ((0.01, 0.11), 4), ((1e-3, 20.0), 4)):
        axes = Figure().subplots()
        axes.plot([10.0, 9000.0], values)
        length_axis(axes, [10.0, 50.0, 3600.0, 9000.0])
        log_value_axis(axes)
        low, high = axes.get_ylim()
        shown = [float(tick) for tick in axes.get_yticks() if low <= tick <= high]
        assert len(shown) >= ticks, values
        ticks_and_labels = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
        labels = [label.get_text() for tick, label in ticks_and_labels if low <= tick <= high]
        assert not any("times" in text or "e" in text for text in labels)
        assert [label.get_text() for label in axes.get_xticklabels()] == [
            "10",
            "50",
            "1 h",
            "2.5 h",
        ]


def test_a_curve_in_noise_begins_with_the_clip_in_that_noise() -> None:
    alone = examples.row(haystack="none", position=None, mAP=0.8, relative=1.0, base_mAP=0.8)
    noise: Row = {"haystack": "gaussian", "snr_db": 10.0, "base_mAP": 0.8}
    short = examples.row(**noise, length_s=10.0, position=None, mAP=0.56, relative=0.7)
    longer = examples.row(**noise, length_s=50.0, mAP=0.5, relative=0.625)
    (curve,) = length_curves(cell_table.table([alone, short, longer]))
    assert [(s, point["mAP"]) for s, point in _in_one_noise(curve)] == [(10.0, 0.56), (50.0, 0.5)]


def test_fields_of_one_scene_are_marked(drawn: list[Figure], tmp_path: Path) -> None:
    """Under dass-v1 the needle of 0.5 and 0.75 at 20 s lies where that of 1 does; under niah-v2 it does not."""
    table = cells(("m",), positions=(0, 0.5, 0.75, 1))
    for protocol, marked in (("dass-v1", 2), ("niah-v2", 0)):
        drawn.clear()
        plots.draw(table.assign(protocol=protocol), tmp_path)
        texts = [each.get_text() for each in drawn[1].axes[0].texts]
        assert sum(each.endswith("†") for each in texts if len(texts) == 12) == marked
        refuse_clipping(drawn[1])


def test_long_names_in_narrow_panels(drawn: list[Figure], tmp_path: Path) -> None:
    names = [f"a-model-with-rather-a-long-name-and-number-{i}" for i in range(5)]
    table = cells(names, positions=(0, 1), haystacks=("Strasse-Nord-am-Abend-und-Regen-2024",))
    plots.draw(table, tmp_path)
    for canvas in drawn:
        refuse_clipping(canvas)


def test_scenes_that_differ_in_odd_letters_are_files_apart(tmp_path: Path) -> None:
    figures = plots.draw(cells(("m",), haystacks=("caf\xe9", "caf\xe8", "W" * 250)), tmp_path)
    files = [figure.file for figure in figures]
    assert len(set(files)) == len(files) == 3
    assert all(len(file.name) < 120 for file in files)


def test_a_y_label_longer_than_its_panel_is_wrapped(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context(style.STYLE):
        canvas, (axes,) = style.new_panels(1)
        axes.set(title="Hit rate", ylabel="the share of peaks that lie near the needle in per cent")
        style.save(canvas, tmp_path / "x.png", "A title " * 30, "")
        refuse_clipping(canvas)
    assert "\n" in axes.get_ylabel()


def test_names_are_cut_in_the_middle_and_wrapped_to_a_width() -> None:
    assert text.short_name("dass-nano") == "dass-nano"
    cut = text.short_name("start-" + "x" * 250 + "-end")
    assert len(cut) == text.NAME_LENGTH
    assert cut.startswith("start-")
    assert cut.endswith("-end")
    assert text.printable("a\x00\ud800\nb") == "a \N{REPLACEMENT CHARACTER}\nb"
    assert text.wrapped("one two three", 10, 10) == "one two three"
    assert text.wrapped("one two three", 0.6, 10).count("\n") >= 1
    assert text.wrapped("W" * 500, 2, 12, bold=True).count("\n") == text.MOST_LINES - 1
    assert text.wrapped("", 1, 10) == ""
