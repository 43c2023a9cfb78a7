"""A run's report.html in a real browser: it fits every screen, light and dark, and copies tables and texts."""

import re
import shutil
from pathlib import Path

import pytest

from niah.pages import run_report
from niah.records.run_directory import RunDirectory
from niah.tables.method import bibtex, method_paragraph
from tests.conftest import REPOSITORY
from tests.helpers.browser import Browser

COPIED = """Object.defineProperty(navigator, "clipboard", {value: {writeText: async (text) => { copied = text; }},
  configurable: true})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = shutil.copytree(
        REPOSITORY / "results" / "gate", tmp_path_factory.mktemp("report") / "run"
    )
    return run_report.write(run)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 380])
def test_it_fits_the_screen_in_light_and_dark(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.look(width, 900, dark=dark)
    browser.logged.clear()
    browser.requested.clear()
    browser.open(page.as_uri())
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.logged == []
    assert {r for r in browser.requested if not r.startswith("data:")} == {page.as_uri()}
    for selector in ("body", "th", ".quote", "ul.warnings"):
        style = f"getComputedStyle(document.querySelector('{selector}'))"
        ink, paper = (
            sum(map(int, re.findall(r"\d+", browser.run(f"{style}.{name}"))[:3]))
            for name in ("color", "backgroundColor")
        )
        assert (paper < ink) == dark, selector
    white = "getComputedStyle(document.querySelector('img.paper')).backgroundColor"
    assert browser.run(white) == "rgb(255, 255, 255)"  # figures are drawn on white


def test_letters_of_all_figures_have_one_size(browser: Browser, page: Path) -> None:
    browser.look(1400, 900)
    browser.open(page.as_uri())
    sizes = browser.run("[...document.images].map((each) => [each.width, each.naturalWidth])")
    assert {round(100 * shown / drawn) for shown, drawn in sizes} == {64}  # 96 of 150 an inch


def test_tables_and_texts_are_copied(browser: Browser, page: Path) -> None:
    browser.look(1280, 900)
    browser.open(page.as_uri())
    browser.run(f"copied = ''; {COPIED}")
    texts = []
    for number in range(browser.run("document.querySelectorAll('button.copy').length")):
        browser.run(f"document.querySelectorAll('button.copy')[{number}].click()")
        texts.append(browser.run("copied"))
    run = RunDirectory(page.parent)
    cells, provenance = run.cells(), run.run_json()
    assert texts[-2] == method_paragraph(cells, provenance)
    assert texts[-1] == bibtex(provenance)
    main = [line.split("\t") for line in texts[0].splitlines()]
    assert main[0][:3] == ["model", "haystack", "position"]
    assert {len(line) for line in main} == {len(main[0])}
    every = [line.split("\t") for line in texts[-3].splitlines()]
    place = every[0].index("mAP")
    copied = sorted(float(line[place]) for line in every[1:] if line[place])
    assert copied == sorted(cells["mAP"].dropna())  # in full, not as shown
