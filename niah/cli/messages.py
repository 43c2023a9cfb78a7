"""Output of commands: one-line errors, notes, tables."""

import json
import sys
from collections.abc import Sequence
from typing import NoReturn

from niah.system.verbosity import is_quiet

PIPED_WIDTH = 200  # characters of a table in a file or a pipe


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


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table without lines, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, no_wrap=name in ("name", "family", "size"))
    for row in rows:
        table.add_row(*map(Text, row))  # no markup: a reason may name a card's [frontend]
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
