"""Every cell of every board as one tidy table: `leaderboard.csv`, a row a cell."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from niah.cells import CELL_COLUMNS, Value
from niah.leaderboard.boards import Board

BOARD_COLUMNS = ("board", "run", "level", "labels", "ids_sha256")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def text(boards: Sequence[Board]) -> str:
    """The CSV: what makes the board (`board` numbers it), then the columns of `cells.csv`."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*BOARD_COLUMNS, *CELL_COLUMNS))
    for number, board in enumerate(boards, 1):
        for run, cell in board.cells:
            about = (number, run, board.level, board.labels, board.ids_sha256)
            writer.writerow(_safe((*about, *(cell[name] for name in CELL_COLUMNS))))
    return stream.getvalue()


def _safe(values: Iterable[Value]) -> list[Value]:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return [
        f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
        for value in values
    ]
