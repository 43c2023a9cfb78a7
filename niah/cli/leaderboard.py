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
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Take only runs whose every cell `niah verify` finds whole, with the metrics of its scores.",
        ),
    ] = False,
) -> None:
    """Write many runs on one static page: rank, sort, filter, curves, heat maps, speed. No server, no network.

    Folders with nothing to rank are skipped with a note. A damaged run is named and left out of the page, and the exit
    status is 2.
    """
    from niah.cli.messages import fail, note
    from niah.pages.leaderboard import collect, verified, write_collection
    from niah.system.plurals import plural

    collection = collect(directories)
    if verify:
        collection = verified(collection)
    for each in (*collection.notes, *(f"left out: {reason}" for reason in collection.refused)):
        note(each)
    page, boards = write_collection(collection, out)
    for board in boards:
        print(f"board    {board.title}: {plural(len(board.entries), 'row')}")
        for each in board.notes:
            print(f"note     {each}")
    print(f"page     {page}")
    print(f"tables   {out / 'leaderboard.csv'}, {out / 'leaderboard.md'}")
    if collection.refused:
        count = len(collection.refused)
        fail(
            f"{count} of the inputs cannot be read or verified and are not on the page (see the notes above)"
        )
