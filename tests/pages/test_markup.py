"""Names from outside in Markdown and in report.html: shown as they are, never obeyed."""

import base64
import hashlib
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from niah.compare.check_result import CheckResult, CheckRow
from niah.compare.paired import Comparison
from niah.pages import run_report as report
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from niah.system.markdown_text import plain
from niah.tables.table import Table
from tests.helpers import examples
from tests.helpers.browser import Browser

PAYLOADS = (
    "<script>hacked=1</script>",
    "</script><script>hacked=1</script>",
    "<img src=x onerror=hacked=1>",
    "x](javascript:hacked=1)",
    "[x](javascript:hacked=1)",
    "![x](http://127.0.0.1/seen.png)",
    "[x]: javascript:hacked=1",
    "[x][y]",
    "`<script>hacked=1</script>`",
    "``` code",
    "a|b\\|c",
    "line\n\n# heading\n<b>",
    "\\](javascript:hacked=1)",
    "&lt;script&gt;&#60;b&#62;",
    "*em* ~~gone~~ $x$",
)


class Page(HTMLParser):
    """Tags, attributes, and the texts of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.held: dict[str, list[str]] = {"style": [], "script": []}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in in self.held:
            self.held[self._in].append(data)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._in = ""


def shown(escaped: str) -> str:
    """Return the text that Markdown shows."""
    return unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escaped))


def refuse_markup(text: str) -> None:
    """No tag, code, link, picture or reference in Markdown but those of the figures that a run draws."""
    ours = re.sub(r"!\[[^\[\]]*\]\((?:figures/)?[\w.-]+\.png\)", "", text)
    assert not re.search(r"[<`]", re.sub(r"\\`", "", ours))
    assert not re.search(r"(?<!\\)\]\s*[(\[:]", ours)
    assert not re.search(r"(?<!\\)!\[", ours)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_is_escaped_once_and_shown_as_it_is(payload: str) -> None:
    escaped = plain(payload)
    refuse_markup(escaped)
    assert "\n" not in escaped
    assert shown(escaped) == " ".join(payload.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", escaped)


@pytest.mark.parametrize("text", ["0.700 [0.650, 0.750]", "change [95 % interval]", "dass-nano"])
def test_intervals_stay_readable(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_table_escapes(payload: str) -> None:
    table = Table(payload, ("a", payload), ((payload, "1"), ("2", "3")))
    texts = [
        table.markdown(),
        CheckResult((CheckRow(payload, "mAP", 0.5, 0.5, 0.1),), (payload,)).markdown(),
        Comparison(payload, payload, "none", (), (payload,)).markdown(),
    ]
    for text in texts:
        refuse_markup(text)
    assert len(table.markdown().splitlines()) == 6
    for line in table.markdown().splitlines()[2:]:
        assert len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) == 3


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose models are the payloads, in a haystack and with notes of the like, reported."""
    path = tmp_path_factory.mktemp("hostile") / "run"
    everything = " ".join(PAYLOADS)
    identity = {**examples.IDENTITY, "needles": everything}
    about: dict[str, Any] = {
        "models": {},
        "notes": [*PAYLOADS],
        "excluded_clips": [{"id": everything, "reason": everything}],
        "haystacks": {everything: {"contains": []}},
    }
    with RunDirectory.create_or_open(path, identity) as run:
        run.write_run_json(about)
        for index, model in enumerate(PAYLOADS):
            given: dict[str, Any] = {"model": model, "needles": everything, "device": everything}
            examples.add(run, 3.0, haystack="none", position=None, **given)
            for length_s in (20.0, 50.0):
                examples.add(run, 3 - index / 9, length_s=length_s, haystack=PAYLOADS[0], **given)
        summarise(run)
    report.write(path)
    return path


def test_tables_md_holds_no_markup(hostile: Path) -> None:
    text = (hostile / "tables.md").read_text()
    refuse_markup(text)
    assert "&lt;script&gt;hacked=1&lt;/script&gt;" in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# Tables"]


def test_the_page_holds_its_own_script_alone_and_a_policy_for_it(hostile: Path) -> None:
    page = Page((hostile / "report.html").read_text())
    assert len(page.held["script"]) == len(page.held["style"]) == 1
    (policy,) = [a["content"] for _, a in page.tags if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.held[tag][0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert [tag for tag, _ in page.tags].index("meta") < [tag for tag, _ in page.tags].index(
        "style"
    )
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag != "img" or (attributes["src"] or "").startswith("data:image/png")


def test_in_a_browser_the_page_sorts_and_nothing_else_runs(hostile: Path, browser: Browser) -> None:
    browser.open((hostile / "report.html").as_uri())
    assert browser.run("typeof hacked") == "undefined"
    assert browser.run("getComputedStyle(document.querySelector('details')).margin") != "0px"
    assert browser.run("document.images[0].naturalWidth") > 0
    browser.run("document.querySelector('table.sortable th button').click()")
    assert browser.run("document.querySelector('table.sortable th').ariaSort") == "ascending"
    assert browser.logged == []
    assert [
        url for url in browser.requested if not url.startswith(("file:", "data:", "about:"))
    ] == []
