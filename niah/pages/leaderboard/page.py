"""index.html: style, script, data, and a plain table for readers without scripts, in one file."""

from collections.abc import Sequence
from pathlib import Path

from niah.errors import NiahError
from niah.pages import html
from niah.pages.leaderboard import markdown
from niah.pages.leaderboard.boards import Board
from niah.pages.leaderboard.payload import script_text
from niah.pages.leaderboard.submissions import Submission
from niah.tables.table import Table

SCRIPTS = (
    *("dom", "filters", "table", "charts", "curves", "heatmaps", "speed", "trade"),
    *("compare", "main"),
)
STATIC = "leaderboard/static"
GENERATOR = '<meta name="generator" content="niah leaderboard">'


def text(boards: Sequence[Board], submissions: Sequence[Submission]) -> str:
    """Return the page. Equal runs give equal bytes."""
    parts = "\n".join(html.part(STATIC, f"{name}.js") for name in SCRIPTS)
    return html.page(
        "leaderboard.html",
        style=html.part(STATIC, "style.css"),
        script=f'"use strict";\n(() => {{\n{parts}\n}})();\n',
        data=script_text(boards, submissions),
        tables=[table for board in boards for table in _tables(board)],
    )


def _tables(board: Board) -> list[Table]:
    recalls = markdown.recall_at_alarms_table(board)
    return [markdown.table(board), *([] if recalls is None else [recalls])]


def refuse_foreign(site: Path) -> None:
    """Refuse to overwrite a file that is not a leaderboard's.

    Raises:
        NiahError: `site` is a file, or has an index.html that is not a leaderboard's.
    """
    if site.exists() and not site.is_dir():
        raise NiahError(f"{site} is a file: give a folder for the leaderboard with --out")
    index = site / "index.html"
    # a device or a pipe is written to as any other, and must not be read: it may have no end
    if index.is_file() and GENERATOR not in index.read_text("utf-8", errors="replace"):
        raise NiahError(f"{index} is not a leaderboard's page: give another folder with --out")
