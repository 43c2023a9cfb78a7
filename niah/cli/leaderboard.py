"""`niah leaderboard`."""

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            help="Run directories, folders with runs below, or cells.csv files.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for index.html, leaderboard.csv and leaderboard.md.")
    ] = Path("runs/leaderboard"),
) -> None:
    """Many runs on one static page: sort, filter, curves, heat maps, speed. No server, no network."""
    from niah.pages.leaderboard import write

    page, boards = write(directories, out)
    for board in boards:
        rows = len(board.entries)
        print(f"board    {board.needles}, {board.protocol}, {board.n_clips} clips: {rows} rows")
        for note in board.notes:
            print(f"note     {note}")
    print(f"page     {page}")
    print(f"tables   {out / 'leaderboard.csv'}, {out / 'leaderboard.md'}")
