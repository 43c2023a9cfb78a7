"""The documentation site: built strictly, every link followed, looked at in a browser; notebooks run."""

import json
import re
import runpy
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from niah.cli import app
from niah.records.schema import SCHEMA
from tests.conftest import REPOSITORY
from tests.helpers.browser import Browser
from tests.helpers.preloaded import Preloaded

DOCS = REPOSITORY / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


class Links(HTMLParser):
    """The links, sources and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.targets.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, str(REPOSITORY / "scripts" / "docs.py"), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "No issues found" in ran.stdout + ran.stderr
    return folder / "site"


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    pages = {path: Links(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 25
    broken, count = [], 0
    for page, links in pages.items():
        if page.name == "404.html":  # its links are absolute
            continue
        for target in links.targets:
            address, anchor = urldefrag(unquote(target))
            if urlsplit(address).scheme:
                continue
            count += 1
            path = (page.parent / address.partition("?")[0]).resolve() if address else page
            if path.is_dir():
                path /= "index.html"
            known = not anchor or path not in pages or anchor in pages[path].anchors
            if not path.is_file() or not known:
                broken.append(f"{page.relative_to(site)}: {target}")
    assert count > 1000
    assert not broken, "\n".join(broken[:20])


def test_every_page_is_in_the_navigation() -> None:
    config = (DOCS / "zensical.toml").read_text("utf-8")
    listed = set(re.findall(r'"([\w/-]+\.md)"', config))
    own = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    own |= {f"notebooks/{path.stem}.md" for path in NOTEBOOKS}
    assert own <= listed, f"not in the nav of docs/zensical.toml: {sorted(own - listed)}"
    assert tomllib.loads(config)["project"]["docs_dir"] == "pages"


def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    """Also one to a file of the repository that is no page, which the engine itself does not look at."""
    script = runpy.run_path(str(REPOSITORY / "scripts" / "docs.py"))
    staged = script["Site"](tmp_path)
    relinked = staged._relinked("[a](../models/yamnet.toml) [b](needles.md#x)", "docs/a.md", "a.md")
    assert relinked == "[a](models/yamnet.toml) [b](needles.md#x)"
    assert (tmp_path / "pages" / "models" / "yamnet.toml").is_file()
    with pytest.raises(SystemExit, match=r"docs/a\.md: links to models/gone\.toml"):
        staged._relinked("[a](../models/gone.toml)", "docs/a.md", "a.md")


def test_generated_pages_have_every_column_and_option(site: Path) -> None:
    columns = (site / "columns.html").read_text("utf-8")
    for column in SCHEMA:
        assert f"<code>{column.name}</code>" in columns
    text = (site / "cli.html").read_text("utf-8")
    import typer

    command: Any = typer.main.get_command(app)
    options = 0
    for name, own in command.commands.items():
        assert f'id="niah-{name}"' in text
        for parameter in own.params:
            for option in getattr(parameter, "opts", []):
                if option.startswith("--") and option != "--help":
                    options += 1
                    assert f"<code>{option}</code>" in text, f"{name} {option}"
    assert options > 100
    assert 'id="niah.api.run"' in (site / "api.html").read_text("utf-8")


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_pages_in_a_browser(browser: Browser, address: str) -> None:
    """On a desktop and a phone, light and dark: nothing logged or asked of others, no page wider than the screen."""
    looks = [(1280, False), (380, True)]
    for page in ("index", "columns", "api", "notebooks/first-curve"):
        for width, dark in looks:
            browser.look(width, 900, dark=dark)
            browser.logged.clear()
            browser.requested.clear()
            browser.open(f"{address}/{page}.html")
            assert browser.logged == []
            others = [r for r in browser.requested if not r.startswith((address, "data:"))]
            assert others in ([], ["about:blank"])
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), (page, width)
            assert browser.run(
                "document.querySelector('article h1').getBoundingClientRect().height"
            )
            paper = browser.run("getComputedStyle(document.body).backgroundColor")
            level = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
            assert (level < 128) == dark, (page, paper)


def cells(path: Path) -> list[str]:
    notebook = json.loads(path.read_text("utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def stored(path: Path) -> list[str]:
    """The stored text of each code cell."""
    notebook = json.loads(path.read_text("utf-8"))
    texts = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            parts = (
                o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell["outputs"]
            )
            texts.append("".join("".join(part) for part in parts))
    return texts


RUN_CELLS = """
import ast, json, sys
from pathlib import Path
space, shown = {"__name__": "__main__"}, []
import builtins, io, contextlib
for source in json.loads(Path(sys.argv[1]).read_text()):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "cell", "exec"), space)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), space) if last else None
    shown.append(out.getvalue() + ("" if value is None else repr(value)))
Path("shown.json").write_text(json.dumps(shown))
"""


@pytest.mark.slow  # `.ci/run` runs it by a line of its own
def test_notebooks_run_and_show_what_is_stored(preloaded: Preloaded, tmp_path: Path) -> None:
    """Each cell of each notebook, in order, in one process a notebook; numbers as stored (`make notebooks`)."""
    assert [path.stem for path in NOTEBOOKS] == ["causes", "first-curve", "own-model"]
    started = {}
    for path in NOTEBOOKS:
        folder = tmp_path / path.stem
        folder.mkdir()
        (folder / "cells.json").write_text(json.dumps(cells(path)))
        program = f"import os; os.chdir({str(folder)!r})\n{RUN_CELLS}"
        started[path] = preloaded.start(program, folder / "cells.json")
    for path, process in started.items():
        _, errors = process.communicate()
        assert process.poll() == 0, f"{path.name}: {errors[-2000:]}"
        shown = json.loads((tmp_path / path.stem / "shown.json").read_text())
        for now, before in zip(shown, stored(path), strict=True):
            if "object>" in now or "object at" in now:  # a picture
                continue
            numbers = [float(n) for n in re.findall(r"\d+\.\d+", now)]
            expected = [float(n) for n in re.findall(r"\d+\.\d+", before)]
            assert numbers == pytest.approx(expected, abs=0.011), f"{path.name}: make notebooks"
            assert re.sub(r"[\d.+\-\s]", "", now) == re.sub(r"[\d.+\-\s]", "", before)
