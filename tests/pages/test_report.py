"""The report: redone from stored scores, self-contained, escaped, and made without torch."""

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from niah.errors import NiahError
from niah.pages import report_page
from niah.pages import run_report as report
from niah.publish.publishing import PublishOptions, publish
from niah.records.run_directory import RunDirectory
from tests.helpers import examples

HOSTILE = "<script>alert('x')</script>"
PROVENANCE = {
    "excluded_clips": [{"id": HOSTILE, "reason": "truncated: 3 of 10 s"}],
    "notes": [f"1 clip left out: {HOSTILE}"],
    "models": {"dass-nano": {"licence": "BSD-3-Clause", "random": False}},
    "hardware": {"cpu": HOSTILE, "cores": 2},
}


class Page(HTMLParser):
    """Counts what matters of a page, and insists that tags are balanced."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    made = examples.make(tmp_path_factory.mktemp("report") / "run", PROVENANCE)
    assert report.write(made.path) == made.path / "report.html"
    return made


def test_all_parts_are_written(run: RunDirectory) -> None:
    assert {path.name for path in run.path.iterdir()} == {
        *("run.json", "cells.csv", "cells", "scores"),
        *("tables.md", "tables.tex", "tables.csv", "figures", "report.html", "calibration.csv"),
    }
    linked = re.findall(r"\]\((figures/[^)]+)\)", (run.path / "tables.md").read_text())
    assert len(linked) == 5
    assert all((run.path / name).is_file() for name in linked)


def test_page_stands_alone(run: RunDirectory) -> None:
    text = (run.path / "report.html").read_text()
    page = Page(text)
    images = page.all("img")
    assert len(images) == 5
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert all(len(str(image["alt"])) > 40 for image in images)
    assert "http://" not in text
    assert "https://" not in text
    assert not page.all("link")
    assert str(run.path) not in text
    sortable = [table for table in page.all("table") if table.get("class") == "sortable"]
    assert len(sortable) == 1
    assert len([b for b in page.all("button") if b.get("type") == "button"]) > 35


def test_figures_come_before_tables_and_details_are_folded(run: RunDirectory) -> None:
    text = (run.path / "report.html").read_text()
    places = [text.index(part) for part in ('class="summary"', "<figure>", "<table", "Every cell")]
    assert places == sorted(places)
    page = Page(text)
    sections = [each for each in page.all("details") if each.get("class") == "section"]
    assert ["open" in each for each in sections].count(True) == 1  # the effective lengths
    copies = [each for each in page.all("button") if each.get("class") == "copy"]
    # each section has one table (two texts to quote), but for provenance; and the main one
    assert len(copies) == len(sections) + 1


def test_the_summary_has_each_model_with_what_is_left(run: RunDirectory) -> None:
    texts = report_page.summary(run.cells())
    assert [text.partition(":")[0] for text in texts] == ["ast-sin-nano", "dass-nano"]
    cell = run.cells().query("model == 'dass-nano' and length_s == 300").iloc[0]
    above = (cell["mAP"] - cell["chance_mAP"]) / (cell["base_mAP"] - cell["chance_mAP"])
    assert f"at 300 s in zero, needle at 0.5: {cell['mAP']:.3f}" in texts[1]
    assert f"{100 * cell['relative']:.0f} % left" in texts[1]
    assert f"{100 * above:.0f} % of what is above chance" in texts[1]


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({"pooling": "max"}, "dass-nano, max"),
        ({"window_s": 10.0, "window_pool": "max"}, "dass-nano, 10 s windows"),
        ({"window_s": 10.0, "window_pool": "mean"}, "dass-nano, 10 s windows (mean)"),
    ],
)
def test_the_summary_names_windows_and_pooled_positions(
    run: RunDirectory, how: dict[str, Any], name: str
) -> None:
    cells = run.cells().query("model == 'dass-nano'").assign(**how)
    assert [text.partition(":")[0] for text in report_page.summary(cells)] == [name]


def test_all_from_outside_is_escaped(run: RunDirectory) -> None:
    text = (run.path / "report.html").read_text()
    assert HOSTILE not in text
    assert len(Page(text).all("script")) == 1
    assert text.count("&lt;script&gt;") == 3


def test_lengths_calibration_and_few_clips_are_told(run: RunDirectory) -> None:
    for name in ("tables.md", "report.html"):
        text = (run.path / name).read_text()
        assert "Few clips: 24, with 8.0 positives a class" in text
        assert "Effective length" in text
        assert "Calibration" in text
        assert "Overlap-aware" not in text  # no class of these clips is in any haystack
    rows = (run.path / "tables.md").read_text().splitlines()
    level = next(row for row in rows if row.startswith("| dass-nano | zero | 0.5 | 0.991 | 0.9"))
    assert "\u2265 300 s" in level


def test_bad_clips_are_listed(run: RunDirectory) -> None:
    text = (run.path / "report.html").read_text()
    assert "1 clip could not be used" in text
    assert "truncated: 3 of 10 s" in text


def test_report_again_gives_the_same_bytes(run: RunDirectory) -> None:
    before = (run.path / "report.html").read_bytes()
    report.write(run.path)
    assert (run.path / "report.html").read_bytes() == before


def test_a_published_run_needs_only_its_cells_csv(run: RunDirectory, tmp_path: Path) -> None:
    shutil.copy(run.path / "cells.csv", tmp_path)
    report.write(tmp_path)
    assert (tmp_path / "tables.md").read_text().count("dass-nano") > 3
    assert "no run.json" in (tmp_path / "report.html").read_text()


def test_random_weights_show_no_accuracy(tmp_path: Path) -> None:
    made = examples.make(tmp_path / "run", {"models": {"dass-nano": {"random": True}}})
    report.write(made.path)
    text = (made.path / "tables.md").read_text()
    assert "dass-nano has random weights" in text
    row = next(line for line in text.splitlines() if line.startswith("| dass-nano | zero"))
    assert "not scored" in row
    assert "0." not in row.replace("| 0.5 |", "")


def test_nothing_to_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="not a run"):
        report.write(tmp_path)
    RunDirectory.create_or_open(tmp_path, examples.IDENTITY).close()
    with pytest.raises(NiahError, match="no finished cells"):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "command", [report.write, lambda path: publish(PublishOptions(path, path / "out"))]
)
def test_a_folder_of_causes_is_named(command: Callable[[Path], object], tmp_path: Path) -> None:
    identity = {**examples.IDENTITY, "measures": "causes"}
    RunDirectory.create_or_open(tmp_path, identity).close()
    with pytest.raises(NiahError, match=r"is a folder of `niah causes`.*causes\.md"):
        command(tmp_path)
