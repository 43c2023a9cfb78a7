"""Output of commands: errors on one line, notes, tables."""

import sys
from collections.abc import Sequence
from typing import NoReturn

PIPED_WIDTH = 200  # columns of a table that goes to a file or a pipe


def fail(message: str, status: int = 2) -> NoReturn:
    print(f"niah: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


def note(message: str) -> None:
    print(f"note: {message}", file=sys.stderr)


def plural(count: int, noun: str) -> str:
    """ "1 cell", "2 cells"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, no_wrap=name in ("name", "family", "size"))
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
