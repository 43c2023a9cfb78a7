"""The leaderboard: many runs on one static page, and the same as CSV and Markdown.

    submissions   run directories and bare cells.csv files -> rows with their provenance
    systems       what is ranked: a checkpoint with its pooling, precision and seeds
    boards        rows -> boards: cells of one protocol and one list of clips, which may be ranked together
    ranking       ranks with their uncertainty: systems without a significant difference share one
    markdown      a board as a table (also the README's);   cells_csv   every cell in one tidy table
    payload       boards -> the page's JSON data;   page   index.html around it

The page is one file without server, build step or requests, and works from `file://`. Its charts are drawn in the
browser, because filters change them; everything from outside (names, labels, paths) reaches the page as JSON text and
is only ever set as text, never as HTML.
"""

from collections.abc import Sequence
from pathlib import Path

from niah.pages.leaderboard.boards import Board, Entry, boards
from niah.pages.leaderboard.submissions import (
    Collection,
    Submission,
    collect,
    read,
    verified,
)
from niah.pages.leaderboard.systems import System

__all__ = [
    "Board",
    "Collection",
    "Entry",
    "Submission",
    "System",
    "boards",
    "collect",
    "read",
    "verified",
    "write",
    "write_collection",
]


def write(sources: Sequence[Path], site: Path) -> tuple[Path, list[Board]]:
    """Write the leaderboard of `sources`; see `write_collection`.

    Args:
        sources: run directories, folders with such below, or `cells.csv` files.
        site: the folder to write to.

    Returns:
        The page, and its boards.

    Raises:
        NiahError: nothing in `sources` can be ranked, or `site` has another page.
    """
    return write_collection(collect(sources), site)


def write_collection(collection: Collection, site: Path) -> tuple[Path, list[Board]]:
    """Write `index.html`, `leaderboard.csv` and `leaderboard.md` into `site`.

    Args:
        collection: the submissions.
        site: the folder to write to; created if needed.

    Returns:
        The page, and its boards.

    Raises:
        NiahError: `site` has an index.html that is not a leaderboard's, or cannot be written to.
    """
    from niah.pages.leaderboard import cells_csv, markdown, page
    from niah.system import atomic
    from niah.system.printable import content_of

    all_boards = boards(collection.submissions)
    page.refuse_foreign(site)
    with atomic.one_line_os_errors(site):
        site.mkdir(parents=True, exist_ok=True)
    texts = {
        "leaderboard.csv": cells_csv.text(all_boards),
        "leaderboard.md": markdown.text(all_boards),
        "index.html": page.text(all_boards, collection.submissions),
    }
    for name, text in texts.items():
        with atomic.atomic_write(site / name) as file:
            file.write(content_of(name, text))
    return site / "index.html", all_boards
