"""Names from outside on the leaderboard: text in the page, in Markdown and in CSV; no folder of a machine."""

import base64
import csv
import hashlib
import io
import json
import re
from pathlib import Path

import pytest

from niah.pages import leaderboard
from niah.pages.leaderboard import cells_csv, markdown, page
from niah.records.schema import CELL_COLUMNS
from niah.system import folders
from tests.helpers.boards import EMBEDDED, HOSTILE, Page, a_run, boards_of, hostile, scored


def test_hostile_names_stay_text_in_the_page(tmp_path: Path) -> None:
    index, _ = leaderboard.write([hostile(tmp_path / "run")], tmp_path / "site")
    parsed = Page(index.read_text())
    assert len(parsed.scripts) == 2
    assert "img" not in dict(parsed.tags)
    told = json.loads(parsed.scripts[0])
    assert told["boards"][0]["systems"][0]["model"] == HOSTILE
    assert told["boards"][0]["needles"] == HOSTILE
    assert HOSTILE in parsed.fields  # and in the table for those without script


def test_hostile_names_stay_text_in_markdown_and_csv(tmp_path: Path) -> None:
    rows = [scored(s, 1 if s == 10 else 0.5, model='=HYPERLINK("x")') for s in (10, 50)]
    found = boards_of(hostile(tmp_path / "run"), a_run(tmp_path / "b", rows))
    text = markdown.text(found)
    assert "<" not in text
    assert "[x](" not in text.replace("\\[", "")
    (line,) = [
        line for line in text.splitlines() if "hacked" in line and "| &lt;/script" in line[:20]
    ]
    assert (
        len(re.split(r"(?<!\\)\|", line)) == len(markdown.table(found[0]).header) + 2
    )  # none more
    cells = list(csv.DictReader(io.StringIO(cells_csv.text(found))))
    assert {cell["model"] for cell in cells} == {HOSTILE, '\'=HYPERLINK("x")'}
    assert set(CELL_COLUMNS) <= set(cells[0])


def test_no_folder_of_the_authors_machine_is_published(tmp_path: Path) -> None:
    index, _ = leaderboard.write([hostile(tmp_path / "run")], tmp_path / "site")
    for file in index.parent.iterdir():
        text = file.read_text(errors="replace")
        assert "alice" not in text
        assert "secret" not in text
        assert str(tmp_path) not in text
    assert "babble.wav" in index.read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/mnt/a/b.wav", "…/b.wav"),
        ("~/b/c.wav is bad", "…/c.wav is bad"),
        ("at '/data/x/y'", "at '…/y'"),
        ("C:\\Users\\a\\b.wav", "…\\b.wav"),
        ("/m/09x0r", "/m/09x0r"),
        ("../shared/b.wav", "../shared/b.wav"),
        ("runs/x", "runs/x"),
        ("https://host.org/a/b", "https://host.org/a/b"),
        ("CC BY 4.0 / CC0", "CC BY 4.0 / CC0"),
    ],
)
def test_absolute_paths_are_cut_and_nothing_else(text: str, shown: str) -> None:
    assert folders.without_folders(text) == shown


def test_only_the_shipped_script_and_style_may_run(tmp_path: Path) -> None:
    index, _ = leaderboard.write([EMBEDDED], tmp_path)
    parsed = Page(index.read_text())
    (policy,) = [a["content"] for _, a in parsed.tags if a.get("http-equiv")]
    assert policy is not None
    for name, text in (("script-src", parsed.scripts[1]), ("style-src", parsed.styles[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", index.read_text())


def test_every_part_of_the_script_is_used() -> None:
    folder = Path(page.__file__).parent / "static"
    assert {file.stem for file in folder.glob("*.js")} == set(page.SCRIPTS)
