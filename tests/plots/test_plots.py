"""Pictures: which are drawn, what they say in words, and that they are real PNGs of a fair size."""

import re
from pathlib import Path

import pandas as pd
import pytest

from niah import plots
from niah.plots.medium import COLUMN_IN
from niah.records import cell_table as cells
from tests.helpers import examples


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return examples.make(tmp_path_factory.mktemp("plots") / "run").cells()


def test_every_picture_that_the_cells_allow(table: pd.DataFrame, tmp_path: Path) -> None:
    import matplotlib.image

    figures = plots.draw(table, tmp_path / "figures")
    assert [figure.file.name for figure in figures] == [
        *("length-zero.png", "length-babble-10dB.png", "length-babble-0dB.png"),
        *("positions-zero.png", "snr-0.5.png"),
    ]
    for figure in figures:
        height, width = matplotlib.image.imread(figure.file).shape[:2]
        assert 500 < width < 3000
        assert 300 < height < 1500
        assert figure.title
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(
        figure.file.name for figure in figures
    )


def test_a_column_of_a_paper_has_vector_figures_with_their_letters(tmp_path: Path) -> None:
    """SVG and PDF of a column's width, panels stacked, no bitmap fonts, the same bytes again."""
    made = [
        examples.row(
            model=model, mAP=0.5 / length * 10, base_mAP=0.5, relative=10 / length, length_s=length
        )
        for model in ("a", "b")
        for length in (10.0, 20.0, 50.0)
    ]
    table = cells.table(made)

    def drawn(folder: Path) -> list[bytes]:
        (figure,) = plots.draw_all(lambda: plots.draw(table, folder), columns=True)
        assert figure.file.name == "length-zero.png"
        assert sorted(path.name for path in folder.iterdir()) == [
            f"length-zero.{kind}" for kind in ("pdf", "png", "svg")
        ]
        return [(folder / f"length-zero.{kind}").read_bytes() for kind in ("pdf", "svg")]

    pdf, svg = drawn(tmp_path / "one")
    width, height = map(float, re.findall(rb"MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)[0])
    assert width == pytest.approx(COLUMN_IN * 72, abs=0.5)
    assert height > width  # two panels, one above the other
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert f'width="{COLUMN_IN * 72:g}pt"'.encode() in svg
    assert b"<text" not in svg
    assert drawn(tmp_path / "two") == [pdf, svg]


def test_alt_text_has_the_numbers(table: pd.DataFrame, tmp_path: Path) -> None:
    figures = {figure.file.name: figure for figure in plots.draw(table, tmp_path)}
    cell = table.query("model == 'dass-nano' and snr_db == 10 and length_s == 50").iloc[0]
    assert f"{cell['mAP']:.3f} at 50 s" in figures["length-babble-10dB.png"].alt
    assert f"{cell['mAP']:.3f} at 10 dB" in figures["snr-0.5.png"].alt
    start = table.query("model == 'ast-sin-nano' and position == 0").iloc[0]
    share = f"{100 * start['relative']:.0f} at position 0, 50 s"
    assert share in figures["positions-zero.png"].alt


def test_nothing_is_drawn_from_one_point(tmp_path: Path) -> None:
    assert plots.draw(cells.table([examples.row(mAP=0.5)]), tmp_path) == []


def test_cells_without_intervals_base_or_scores_are_drawn(tmp_path: Path) -> None:
    made = [
        examples.row(mAP=0.5),
        examples.row(mAP=0.4, length_s=50.0),
        examples.row(status="oom", length_s=300.0),
        examples.row(model="deaf", status="error", length_s=50.0, error="x"),
    ]
    figures = plots.draw(cells.table(made), tmp_path)
    assert [figure.file.name for figure in figures] == ["length-zero.png"]


def test_names_of_recordings_become_safe_file_names(tmp_path: Path) -> None:
    made = [
        examples.row(mAP=0.5, haystack="../my café", snr_db=-5.0, length_s=length_s)
        for length_s in (20.0, 50.0)
    ]
    (figure,) = plots.draw(cells.table(made), tmp_path)
    assert figure.file == tmp_path / "length-.._my_caf_--5dB.png"


def test_drawing_twice_gives_the_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    first, second = (plots.draw(table, tmp_path / name) for name in "ab")
    assert [f.file.read_bytes() for f in first] == [f.file.read_bytes() for f in second]


def test_windows_and_their_pools_are_curves_of_their_own(tmp_path: Path) -> None:
    made = [
        examples.row(mAP=value / length_s, length_s=length_s, window_s=window, window_pool=pool)
        for window, pool, value in (
            (None, None, 5),
            (10.0, "max", 4),
            (10.0, "mean", 3),
        )
        for length_s in (10.0, 50.0)
    ]
    (figure,) = plots.draw(cells.table(made), tmp_path)
    for told in (
        "dass-nano with the needle at 0.5: 0.500 at 10 s, 0.100 at 50 s.",
        "dass-nano, 10 s windows with the needle at 0.5: 0.400 at 10 s, 0.080 at 50 s.",
        "dass-nano, 10 s windows (mean) with the needle at 0.5: 0.300 at 10 s, 0.060 at 50 s.",
    ):
        assert told in figure.alt
