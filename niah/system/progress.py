"""Progress of long jobs on stderr: a bar on a terminal, a line a minute in a log; nothing if quiet."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from niah.system.verbosity import is_quiet, is_verbose

Item = TypeVar("Item")
LINE_EVERY_S = 60.0
VERBOSE_EVERY_S = 5.0


def progress_bar() -> Progress:
    """Make the progress of one job: a bar on a terminal, else `LogLines`."""
    console = Console(stderr=True)
    if is_quiet():
        return Progress(console=console, disable=True)
    if not console.is_terminal:
        return LogLines(console=console, disable=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
    )


def download_bar() -> Progress:
    """Make the progress of a download in bytes: a bar on a terminal, else `LogLines`."""
    console = Console(stderr=True)
    if is_quiet() or not console.is_terminal:
        return progress_bar()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class LogLines(Progress):
    """Progress as lines of text, one a minute, and one at the end of a job that had any."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._begin = self._last = time.monotonic()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        now = time.monotonic()
        if now - self._last >= (VERBOSE_EVERY_S if is_verbose() else LINE_EVERY_S):
            self._last = now
            self._print_line(task_id, now - self._begin)

    def stop(self) -> None:
        super().stop()
        if self._last > self._begin:
            duration = _duration(time.monotonic() - self._begin)
            for task in self.tasks:
                print(f"{task.description}: ended after {duration}", file=sys.stderr, flush=True)

    def _print_line(self, task_id: TaskID, seconds: float) -> None:
        task = next(task for task in self.tasks if task.id == task_id)
        share = f"{100 * task.completed / task.total:.0f} %" if task.total else ""
        left = ""
        if task.total and 0 < task.completed < task.total:
            left = f"about {_duration(seconds * (task.total / task.completed - 1))} left"
        parts = [share, f"after {_duration(seconds)}", left, str(task.fields.get("detail", ""))]
        print(f"{task.description}: {', '.join(filter(None, parts))}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


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
