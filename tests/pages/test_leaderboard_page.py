"""The leaderboard's page in a real browser: opened from a file, sorted, filtered, read, photographed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from niah.pages import leaderboard
from tests.conftest import REPOSITORY
from tests.helpers.boards import DASS_NANO, HOSTILE, a_run, hostile, scored
from tests.helpers.browser import Browser

EMBEDDED = REPOSITORY / "results" / "embedded"
RUN = json.loads((EMBEDDED / "run.json").read_text())
MACHINE = f"{RUN['hardware']['processor']}, {RUN['hardware']['cores']} cores"
DESKTOP, PHONE = (1280, 900), (390, 844)
CELLS = pd.read_csv(EMBEDDED / "cells.csv")


def committed(**cell: object) -> Any:
    """The committed run's one row with these values."""
    (row,) = CELLS.loc[(CELLS[list(cell)] == pd.Series(cell)).all(axis=1)].to_dict("records")
    return row


def score(model: str, scene: str) -> float:
    """A model's mAP at the run's longest length."""
    haystack, _, level = scene.partition(", ")
    cell: dict[str, object] = {"snr_db": float(level.split()[0])} if level else {}
    longest = CELLS["length_s"].max()
    return float(committed(model=model, haystack=haystack, length_s=longest, **cell)["mAP"])


MODELS = ("dass-nano", "ast-sin-nano", "aum-nano")
SCENES = tuple(
    (f"{scene}, needle at 0.5", sorted(MODELS, key=lambda model: -score(model, scene)))
    for scene in ("zero", "babble-synthetic, 10 dB", "gaussian, 10 dB")
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of the committed run, a hostile one, and one that was run out of memory and in windows."""
    folder = tmp_path_factory.mktemp("leaderboard")
    made = scored
    windows = {"window_s": 10.0, "kernel": "sdpa+window-max", "device": "another machine"}
    rows = [
        *(made(s, 1 if s == 10 else 0.9, **windows) for s in (10, 50)),
        *(made(s, 1 - s / 200, position=p) for s in (20, 50) for p in (0.0, 0.5, 1.0)),
        made(10, 1),
        {
            **made(300, 0.5),
            "status": "oom",
            "error": "out of memory",
            "mAP": None,
            "relative": None,
        },
    ]
    sources = [
        EMBEDDED,
        hostile(folder / "hostile"),
        a_run(folder / "places", rows),
    ]
    page, _ = leaderboard.write(sources, folder / "site")
    return page.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    """The page on a desktop, freshly opened; at the end, that it logged and fetched nothing."""
    browser.look(*DESKTOP)
    browser.logged.clear()
    browser.requested.clear()
    browser.open(address)
    yield browser
    assert browser.logged == []
    assert {asked.partition("#")[0] for asked in browser.requested} == {address}


def texts(browser: Browser, selector: str) -> list[str]:
    query = f"[...document.querySelectorAll({selector!r})].map((n) => n.textContent.trim())"
    found: list[str] = browser.run(query)
    return found


def board(browser: Browser, title: str) -> str:
    """Selector of the section with this heading."""
    heads = texts(browser, "#boards section h2")
    return f"#boards section:nth-of-type({heads.index(title) + 1})"


def ranking(browser: Browser, section: str) -> list[tuple[str, list[str]]]:
    """(scene, models in order) of each body of the section's table."""
    script = f"""[...document.querySelectorAll({section + " tbody"!r})].map((body) => [
      body.querySelector("tr.scene").textContent,
      [...body.querySelectorAll("tr[data-entry] button")].map((button) => button.textContent)])"""
    return [(scene, models) for scene, models in browser.run(script)]


def press(browser: Browser, key: str, code: int) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


def choose(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"""(() => {{ const control = document.querySelector('[name={name}]');
        control.value = {value!r};
        control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input")); }})()"""
    )


def test_boards_are_apart_and_ranked_by_scene(page: Browser) -> None:
    assert sorted(texts(page, "#boards section h2")) == sorted(["synthetic", HOSTILE, "made"])
    assert "3 boards" in texts(page, "#boards .note")[0]
    assert ranking(page, board(page, "synthetic")) == list(SCENES)


def test_a_page_of_several_boards_leads_to_each(page: Browser) -> None:
    """A button, since the address is the view; the focus goes along. A filter leaves out what it hides."""
    heads = texts(page, "#boards section h2")
    assert texts(page, "#boards nav button") == heads
    assert (
        "100 clips · protocol niah-v2.1" in texts(page, "#boards nav li")[heads.index("synthetic")]
    )
    view = page.run("location.hash")
    page.run(f"document.querySelectorAll('#boards nav button')[{heads.index('made')}].click()")
    assert page.run("document.activeElement.textContent") == "made"
    assert abs(page.run("document.activeElement.getBoundingClientRect().top")) < 200
    assert page.run("location.hash") == view
    choose(page, "haystack", "gaussian")
    assert texts(page, "#boards nav") == []  # one board is left


def test_numbers_round_as_in_the_tables(browser: Browser, address: str) -> None:
    """Also exact halves, and those that are just not: one score is one number on the page and in every table."""
    browser.open(address)
    script = (Path(leaderboard.__file__).parent / "static" / "dom.js").read_text()
    functions = script[script.index("function rounded") : script.index("const significant")]
    shares = [1.0250014, 1.025, 0.125, 0.375, 0.5625, 0.56349999999999989, 0.0, 1.0, 2 / 3, 0.0005]
    shares += [k / 64 for k in range(65)] + [k / 1000 + 5e-4 for k in range(0, 1000, 37)]
    shown = browser.run(
        f"(() => {{ {functions} return {json.dumps([*shares, -0.125, -0.001])}"
        ".map((x) => [score(x), percent(x), rounded(x, 2)]); })()"
    )
    assert shown[:-2] == [[f"{x:.3f}", f"{100 * x:.0f} %", f"{x:.2f}"] for x in shares]
    assert shown[-2:] == [["-0.125", "-12 %", "-0.12"], ["-0.001", "0 %", "-0.00"]]


def test_sorting_changes_the_order_and_keeps_the_focus(page: Browser) -> None:
    section = board(page, "synthetic")
    click = f"document.querySelector('{section} th:nth-child(3) button')"  # mAP at 10 s
    zeros = {"haystack": "zero", "length_s": 50.0}
    ranked = sorted(MODELS, key=lambda model: float(committed(model=model, **zeros)["base_mAP"]))
    for direction, first in (("descending", ranked[-1]), ("ascending", ranked[0])):
        page.run(f"{click}.focus(); {click}.click()")
        assert [models[0] for _, models in ranking(page, section)] == [first] * 3
        assert page.run(f"{click}.parentElement.getAttribute('aria-sort')") == direction
        assert page.run(f"document.activeElement === {click}")
    assert "sort=base" in page.run("location.hash")


def test_filters_change_the_rows_and_can_be_linked_to(page: Browser, address: str) -> None:
    everything = len(texts(page, "tr[data-entry]"))
    choose(page, "haystack", "zero")
    choose(page, "model", "DASS")
    here = ranking(page, board(page, "synthetic"))
    assert here == [("zero, needle at 0.5", ["dass-nano"])]
    assert 0 < len(texts(page, "tr[data-entry]")) < everything
    link = page.run("location.hash")
    page.open(address)
    assert len(texts(page, "tr[data-entry]")) == everything
    page.open(address + link)
    assert ranking(page, board(page, "synthetic")) == here
    assert page.run("document.querySelector('[name=haystack]').value") == "zero"
    choose(page, "model", "no such model")
    assert texts(page, "tr[data-entry]") == []
    page.run("document.querySelector('.warning button').click()")
    assert len(texts(page, "tr[data-entry]")) == everything
    assert page.run("location.hash") == ""


def test_an_old_link_to_what_is_gone_shows_all(page: Browser, address: str) -> None:
    everything = len(texts(page, "tr[data-entry]"))
    page.open(f"{address}#haystack=gone&lengths=7&sort=nothing&at=7&open=99.99")
    assert len(texts(page, "tr[data-entry]")) == everything


def test_lengths_can_be_left_out(page: Browser) -> None:
    section = board(page, "synthetic")
    assert "50 smAP, left" in texts(page, f"{section} thead th")
    page.run("document.querySelector('[name=length][value=\"50\"]').click()")
    heads = texts(page, f"{section} thead th")
    assert "50 smAP, left" not in heads
    assert "20 smAP, left" in heads
    assert "50 s" not in texts(page, f"{section} .panels text")


def test_modes_are_apart(page: Browser) -> None:
    choose(page, "mode", "10 s windows, max")
    assert ranking(page, board(page, "made")) == [
        ("zero, needle at 0.5", ["dass-nano, 10 s windows, max"])
    ]


def drawn(browser: Browser, selector: str) -> int:
    """Count those that have an extent on the screen."""
    script = f"""[...document.querySelectorAll({selector!r})].filter((node) => {{
      const box = node.getBoundingClientRect(); return box.width > 1 && box.height > 1; }}).length"""
    return int(browser.run(script))


def test_curves_maps_and_fronts_are_drawn(page: Browser) -> None:
    synthetic, made = board(page, "synthetic"), board(page, "made")
    curves = len(MODELS) * len(SCENES)
    assert drawn(page, f"{synthetic} path.line") >= curves
    assert drawn(page, f"{synthetic} path.band") == curves
    assert drawn(page, f"{synthetic} path.front") >= 3
    assert drawn(page, f"{synthetic} path.marker") >= 30
    assert len(texts(page, f"{synthetic} .panels path.chance")) == curves + 2 * len(SCENES)
    assert sorted(texts(page, f"{made} .heat text.field")) == ["75"] * 3 + ["90"] * 3
    assert drawn(page, f"{made} .heat rect") == 6
    assert texts(page, f"{synthetic} .heat") == []
    assert texts(page, f"{made} text.failed") == ["out of memory ×"]
    heights = page.run(
        f"""[...document.querySelectorAll('{synthetic} .panels:first-of-type figure:first-child .series')]
        .map((g) => [...g.querySelectorAll('.marker')].map((m) => m.getBoundingClientRect().top))"""
    )
    assert all(tops[0] < min(tops[1:]) for tops in heights)  # 10 s is the top: 100 %


def test_charts_can_be_read_and_walked_by_keyboard(page: Browser) -> None:
    curve = "document.querySelector('g.series[aria-label^=\"dass-nano: 10 s: 100 %\"]')"
    told = page.run(f"{curve}.getAttribute('aria-label')")
    row = committed(model="dass-nano", haystack="zero", length_s=100)
    kept, least, most = (100 * (1 - row[name]) for name in ("drop", "drop_hi", "drop_lo"))
    assert f"100 s: {kept:.0f} % ({least:.0f} % to {most:.0f} %), mAP {row['mAP']:.3f}" in told
    at_20 = 100 * committed(model="dass-nano", haystack="zero", length_s=20)["relative"]
    page.run(f"{curve}.focus()")
    for _ in range(2):
        press(page, "ArrowRight", 39)
    assert texts(page, "#tip:not([hidden])")[0].startswith(f"dass-nano20 s: {at_20:.0f} %")
    press(page, "Escape", 27)
    assert texts(page, "#tip:not([hidden])") == []
    unnamed = """[...document.querySelectorAll("svg.plot")].filter((plot) =>
      !document.getElementById(plot.getAttribute("aria-labelledby")).textContent ||
      !document.getElementById(plot.getAttribute("aria-describedby")).textContent).length"""
    assert page.run(unnamed) == 0


def test_fronts_are_of_one_machine(page: Browser) -> None:
    """Only undominated entries of one machine are on its front; another machine has its own."""
    for title, expected, told in (
        ("synthetic", {"dass-nano"}, f"Measured on {MACHINE}."),
        ("made", {"dass-nano", "dass-nano, 10 s windows, max"}, "Speeds are of 2 machines"),
    ):
        section = board(page, title)
        labels = page.run(
            f"""[...document.querySelectorAll('{section} .speed g.series')]
            .map((g) => g.getAttribute("aria-label"))"""
        )
        assert len(labels) > 1
        on_front = {label.partition(": ")[0] for label in labels if "on the front" in label}
        assert on_front == expected
        assert texts(page, f"{section} > p.note")[-1].startswith(told)


def side(browser: Browser, section: str, key: str, name: str) -> None:
    """Choose one of the two models that are compared."""
    browser.run(
        f"""(() => {{ const control = document.querySelector('{section} [data-side={key}]');
        control.value = {name!r}; control.dispatchEvent(new Event("change")); }})()"""
    )


def test_two_models_are_compared_and_the_view_can_be_linked_to(page: Browser, address: str) -> None:
    section = board(page, "synthetic")
    assert texts(page, f"{section} table.pairs") == []
    side(page, section, "a", "dass-nano")
    side(page, section, "b", "aum-nano")
    rows = page.run(
        f"""[...document.querySelectorAll({section + " table.pairs tbody tr"!r})].map((row) =>
        [...row.children].map((cell) => cell.textContent))"""
    )
    shown = {(scene, length): values for scene, length, *values in rows}
    longest = f"{CELLS['length_s'].max():g} s"
    one, other, difference, p = shown["zero, needle at 0.5", longest]
    assert (one, other) == (f"{score('dass-nano', 'zero'):.3f}", f"{score('aum-nano', 'zero'):.3f}")
    expected = score("dass-nano", "zero") - score("aum-nano", "zero")
    assert float(difference.replace("−", "-")) == pytest.approx(expected, abs=6e-4)
    assert p == "< 0.001"
    assert len(shown) >= len(SCENES) * 3
    assert page.run("document.activeElement.tagName") != "SCRIPT"
    link = page.run("location.hash")
    page.open(address + link)
    assert len(texts(page, f"{section} table.pairs tbody tr")) == len(shown)
    assert page.run("document.querySelector('[name=link]').textContent") == "Link to this view"
    page.open(f"{address}#a=gone&b=dass-nano")
    assert texts(page, f"{section} table.pairs") == []


def test_accuracy_speed_and_length_are_one_figure(page: Browser) -> None:
    """A line from the shortest to the longest scene, its markers growing; read by keyboard as the others are."""
    section = board(page, "synthetic")
    trade = f"{section} .trade"
    assert len(texts(page, f"{trade} figure")) == len(SCENES)
    labels = page.run(
        f"[...document.querySelectorAll({trade + ' g.series'!r})].map((g) => g.getAttribute('aria-label'))"
    )
    row = committed(model="dass-nano", haystack="zero", length_s=CELLS["length_s"].max())
    told = f"{row['length_s']:g} s: mAP {row['mAP']:.3f} at "
    assert any(label.startswith("dass-nano: 10 s: mAP") and told in label for label in labels)
    widths = page.run(
        f"[...document.querySelectorAll({trade + ' g.series'!r})].map((g) => [...g.querySelectorAll('.marker')]"
        ".map((m) => m.getBoundingClientRect().width))"
    )
    assert len(widths) == len(MODELS) * len(SCENES)
    assert all(own == sorted(own) and own[-1] > 1.5 * own[0] for own in widths)


def test_needles_alone_make_a_page_too(browser: Browser, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", [scored(10, 1)])
    index, _ = leaderboard.write([run], tmp_path / "site")
    browser.logged.clear()
    browser.look(*DESKTOP)
    browser.open(index.as_uri())
    assert ranking(browser, "#boards section") == [("no haystack", ["dass-nano"])]
    assert "there is no curve" in texts(browser, "p.none")[0]
    assert browser.logged == []


def test_each_row_opens_to_where_it_is_from(page: Browser) -> None:
    section = board(page, "synthetic")
    button = f"document.querySelector('{section} tr[data-entry] button')"
    page.run(f"{button}.focus()")
    press(page, "Enter", 13)
    page.call("Input.dispatchKeyEvent", type="char", text="\r")  # what makes a button of Enter
    assert page.run(f"{button}.getAttribute('aria-expanded')") == "true"
    (told,) = texts(page, "tr.detail")
    for part in (
        DASS_NANO,
        RUN["identity"]["ids_sha256"],
        MACHINE,
        RUN["git"]["commit"],
        f"torch{RUN['versions']['torch']}",
        "niah-v2.1",
    ):
        assert part in told
    page.run(f"{button}.click()")
    assert texts(page, "tr.detail") == []


def test_hostile_names_are_shown_as_they_are(page: Browser) -> None:
    section = board(page, HOSTILE)
    assert ranking(page, section) == [(f"{HOSTILE}, needle at 0.5", [HOSTILE])]
    page.run(f"document.querySelector('{section} tr[data-entry] button').click()")
    assert HOSTILE in texts(page, "tr.detail")[0]
    assert page.run("typeof hacked") == "undefined"
    assert page.run("document.scripts.length") == 2
    assert page.run("document.images.length") == 0


def test_nothing_else_may_run_or_be_fetched(browser: Browser, address: str) -> None:
    """The policy holds, and the logs that the other tests find empty are not deaf."""
    browser.open(address)
    browser.logged.clear()
    refused = browser.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    assert refused == "refused"
    browser.run(
        """(() => { const script = document.createElement("script");
        script.textContent = "hacked = 1"; document.body.append(script); })()"""
    )
    assert browser.run("typeof hacked") == "undefined"
    assert any("Content Security Policy" in line for line in browser.logged)


def luminance(colour: list[int]) -> float:
    """Relative luminance of WCAG 2."""
    scaled = [value / 255 for value in colour]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in scaled]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_stand_out(page: Browser, dark: bool) -> None:
    """WCAG 2: 4.5 to 1 for text, 3 to 1 for what charts are made of."""
    page.look(*DESKTOP, dark=dark)
    names = ["paper", "ink", "soft", "bad", "accent", *(f"c{index}" for index in range(7))]
    script = f"""{names}.map((name) => {{ const probe = document.createElement("i");
      document.body.append(probe); probe.style.color = `var(--${{name}})`;
      const found = getComputedStyle(probe).color.match(/\\d+/g).map(Number); probe.remove(); return found; }})"""
    found = dict(zip(names, page.run(script), strict=True))
    paper = luminance(found.pop("paper"))
    assert (paper < 0.1) == dark
    for name, colour in found.items():
        light, shade = sorted((luminance(colour), paper), reverse=True)
        assert (light + 0.05) / (shade + 0.05) >= (3 if name[1:].isdigit() else 4.5), name


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, (320, 640)], ids=["desktop", "phone", "small"])
def test_it_fits_the_screen(
    page: Browser, address: str, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    page.look(*size, dark=dark)
    page.open(f"{address}#open=0.0&position=all")
    assert page.run("document.documentElement.scrollWidth") <= size[0]
    shot = tmp_path / "page.png"
    page.screenshot(shot)
    head = shot.read_bytes()[:24]
    assert int.from_bytes(head[16:20]) == size[0]
    assert int.from_bytes(head[20:24]) > 1000
