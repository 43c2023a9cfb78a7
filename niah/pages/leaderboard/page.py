"""index.html: style, script, data and a plain table for those without script, in one file.

Its content security policy is that of `niah.pages.page_policy`.
"""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from niah.errors import NiahError
from niah.pages.leaderboard import markdown
from niah.pages.leaderboard.boards import Board
from niah.pages.leaderboard.payload import script_text
from niah.pages.leaderboard.submissions import Submission
from niah.pages.page_policy import policy

SCRIPTS = ("dom", "filters", "table", "charts", "curves", "heatmaps", "speed", "main")
GENERATOR = '<meta name="generator" content="niah leaderboard">'


def text(boards: Sequence[Board], submissions: Sequence[Submission]) -> str:
    """The page. The same runs give the same bytes."""
    style = _part("style.css")
    parts = "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{parts}\n}})();\n'
    return Template(_part("index.html")).substitute(
        generator=GENERATOR,
        policy=policy(style, script),
        style=style,
        script=script,
        data=script_text(boards, submissions),
        plain="\n".join(map(_plain_board, boards)),
    )


def refuse_foreign(site: Path) -> None:
    """Raise `NiahError` when `site` is a file, or has an index.html that is not a leaderboard's."""
    if site.exists() and not site.is_dir():
        raise NiahError(f"{site} is a file: give a folder for the leaderboard with --out")
    index = site / "index.html"
    if index.exists() and GENERATOR not in index.read_text("utf-8", errors="replace"):
        raise NiahError(f"{index} is not a leaderboard's page: give another folder with --out")


def _part(name: str) -> str:
    return files("niah.pages.leaderboard").joinpath("static", name).read_text("utf-8")


def _plain_board(board: Board) -> str:
    """The board's table without script: what `leaderboard.md` has."""
    table = markdown.table(board)
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(field)}</td>' for field in row)}</tr>" for row in table.rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
