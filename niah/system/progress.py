"""One look for every progress bar: what, how far, how long still. On stderr, and only on a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


def progress_bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
        disable=not console.is_terminal,
    )


def track(
    items: Sequence[Item] | Iterable[Item], what: str, total: int | None = None
) -> Iterator[Item]:
    """Iterate with a bar."""
    with progress_bar() as bar:
        length = len(items) if isinstance(items, Sequence) else total
        task = bar.add_task(what, total=length, detail="")
        for item in items:
            yield item
            bar.advance(task)
