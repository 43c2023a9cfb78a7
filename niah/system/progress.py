"""Progress bars: task, progress and time left, on stderr and only on a terminal."""

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
    """Make a progress bar on stderr, which shows on a terminal only."""
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
    """Iterate with a progress bar.

    Args:
        items: any iterable.
        what: text before the bar.
        total: number of items, where `items` has no length.
    """
    with progress_bar() as bar:
        length = len(items) if isinstance(items, Sequence) else total
        task = bar.add_task(what, total=length, detail="")
        for item in items:
            yield item
            bar.advance(task)
