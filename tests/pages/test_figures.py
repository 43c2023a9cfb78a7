"""Figures drawn in processes beside the tables are those of one process, to the byte; without processes too."""

import shutil
from pathlib import Path

import pytest

from niah.pages import figures as page_figures
from niah.pages import run_report
from niah.pages.figures import FigureContent
from niah.plots import Figure
from niah.plots.medium import PAGE, Medium
from tests.helpers import examples


@pytest.mark.parametrize("broken", [False, True], ids=["processes", "none"])
def test_many_figures_are_those_of_one_process(
    broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = examples.make(tmp_path / "plain").path
    beside = Path(shutil.copytree(plain, tmp_path / "beside"))
    columns = not broken
    run_report.write(plain, columns=columns)
    monkeypatch.setattr(page_figures, "MANY_CELLS", 0)
    monkeypatch.setattr(page_figures, "cores", lambda: 2)
    here: list[Medium] = []
    draw = FigureContent.draw

    def noted(content: FigureContent, medium: Medium) -> list[Figure]:
        here.append(medium)
        return draw(content, medium)

    monkeypatch.setattr(FigureContent, "draw", noted)
    if broken:
        monkeypatch.setattr("sys.executable", shutil.which("false"))
    run_report.write(beside, columns=columns)
    assert here == ([PAGE] if broken else [])
    names = sorted(file.name for file in (plain / "figures").iterdir())
    assert names == sorted(file.name for file in (beside / "figures").iterdir())
    for name in names:
        assert (beside / "figures" / name).read_bytes() == (plain / "figures" / name).read_bytes()
    assert (beside / "tables.md").read_text() == (plain / "tables.md").read_text()
