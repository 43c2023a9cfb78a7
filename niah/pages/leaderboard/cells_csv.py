"""All cells of all boards as one tidy table: `leaderboard.csv`, a row a cell."""

from collections.abc import Sequence

from niah.pages.leaderboard.boards import Board
from niah.records.schema import CELL_COLUMNS
from niah.system import spreadsheet

BOARD_COLUMNS = ("board", "run", "level", "labels", "ids_sha256")


def text(boards: Sequence[Board]) -> str:
    """Return the CSV: the number and settings of the board, then the columns of `cells.csv`."""
    rows = (
        (number, run, board.level, board.labels, board.ids_sha256, *map(cell.get, CELL_COLUMNS))
        for number, board in enumerate(boards, 1)
        for run, cell in board.cells
    )
    return spreadsheet.text((*BOARD_COLUMNS, *CELL_COLUMNS), rows)
