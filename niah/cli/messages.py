"""Output of commands: one-line errors, notes, tables."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from niah.system.verbosity import is_quiet

if TYPE_CHECKING:
    from niah.tables.table import Table

PIPED_WIDTH = 200  # characters of a table in a file or a pipe
_MORE = "A wider terminal or a pipe shows all."
_GAP = 2  # characters between two columns
_PROSE_WIDTH = 24  # of a folded column: less cannot be read


def fail(message: str, status: int = 2) -> NoReturn:
    """Print an error in one line and exit with `status`."""
    print(f"niah: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def note(message: str) -> None:
    """Print a note on stderr, unless the command is to be quiet."""
    if not is_quiet():
        print(f"note: {message}", file=sys.stderr)


def print_json(value: object) -> None:
    """Print a value as indented JSON; what is no JSON (a path) as text."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def duration(seconds: float) -> str:
    """Return seconds as people read them: "50 s", "12 min", "3 h 5 min", "40 days"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 4320:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{seconds / 86400:.0f} days"


def print_tables(tables: "Sequence[Table]", notes: Sequence[str], markdown: str) -> None:
    """Draw tables and notes within a terminal's width; print Markdown to a file or a pipe."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        print(markdown)
        return
    for table in tables:
        console.print(table)
    for text in notes:
        console.print(Text(f"- {text}"))


def print_table(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], more: str = _MORE
) -> None:
    """Print a table without lines, as wide as the terminal.

    Args:
        header: names of the columns.
        rows: as many texts.
        more: what shows the columns that a narrow terminal has no room for, which are left out.
    """
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    widths = [
        max(len(text) for text in (*(row[index] for row in rows), *header[index].split(), ""))
        for index in range(len(header))
    ]
    columns = _fitting(widths, console.width)
    is_narrow = sum(max(widths[i], len(header[i])) + _GAP for i in columns) > console.width + _GAP
    table = Drawn(box=None, pad_edge=False)
    for index in columns:
        is_prose = widths[index] > _PROSE_WIDTH and index > 0
        width = widths[index] if is_narrow and not is_prose else None
        table.add_column(
            header[index], width=width, overflow="fold", no_wrap=not is_prose and not is_narrow
        )
    for row in rows:
        # no markup: a reason may name a card's [frontend]
        table.add_row(*(Text(row[index]) for index in columns))
    console.print(table)
    if absent := [name for index, name in enumerate(header) if index not in columns]:
        console.print(Text(f"Without room here: {', '.join(absent)}. {more}"))


def _fitting(widths: Sequence[int], width: int) -> Sequence[int]:
    """Return the columns that fit: all of the narrow ones, and prose as far as its lines are long enough to read."""
    columns = list(range(len(widths)))
    while len(columns) > 1:
        least = [min(w, _PROSE_WIDTH) if index else w for index, w in enumerate(widths)]
        if sum(least[index] + _GAP for index in columns) <= width + _GAP:
            break
        columns.remove(max(columns[1:], key=lambda index: (widths[index], index)))
    return columns
