"""The leaderboard: many runs on one static page, and the same as CSV and Markdown.

    submissions   run directories and bare cells.csv files -> rows with their provenance
    systems       what is ranked: a checkpoint, whole or in windows, at one precision and seed
    boards        rows -> boards: one protocol, one list of clips; what is ranked together, and what is not
    markdown      a board as a table (also the README's);   cells_csv   every cell as one tidy table
    payload       boards -> the JSON that the page draws from;   page   index.html around it

The page is one file: no server, no build step, no request to anywhere, and it works from `file://`.
Its charts are drawn in the browser, because filters change them; everything from outside (names,
labels, paths) reaches the page as JSON text and is only ever set as text, never as HTML.
"""

from collections.abc import Sequence
from pathlib import Path

from niah.pages.leaderboard.boards import Board, Entry, boards
from niah.pages.leaderboard.submissions import Submission, read
from niah.pages.leaderboard.systems import System

__all__ = ["Board", "Entry", "Submission", "System", "boards", "read", "write"]


def write(sources: Sequence[Path], site: Path) -> tuple[Path, list[Board]]:
    """Write `index.html`, `leaderboard.csv` and `leaderboard.md` of `sources` into `site`.

    `sources` are run directories, folders with such below, or `cells.csv` files. Returns the page
    and its boards. Raises `NiahError` when a source holds no run or one of a newer schema, or when
    `site` holds an index.html that is not a leaderboard's.
    """
    from niah.pages.leaderboard import cells_csv, markdown, page
    from niah.system import atomic

    submissions = read(sources)
    found = boards(submissions)
    page.refuse_foreign(site)
    with atomic.one_line_os_errors(site):
        site.mkdir(parents=True, exist_ok=True)
    texts = {
        "leaderboard.csv": cells_csv.text(found),
        "leaderboard.md": markdown.text(found),
        "index.html": page.text(found, submissions),
    }
    for name, text in texts.items():
        with atomic.atomic_write(site / name) as file:
            file.write(text.encode(errors="replace"))  # run.json can hold half a character
    return site / "index.html", found
