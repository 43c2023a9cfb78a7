"""`niah status`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from niah.cli.messages import duration
from niah.system.plurals import plural

if TYPE_CHECKING:
    from niah.records.status import Status


def status(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    watch: Annotated[
        float, typer.Option(help="Show it again every N seconds, until no process is at work.")
    ] = 0.0,
) -> None:
    """Show the progress of a run that other processes or machines are making: cells, clips/s, time left, processes."""
    from niah.records.status import status as status_of

    while True:
        state = status_of(directory)
        _print_status(state)
        if not (watch > 0 and any(worker.is_working for worker in state.workers)):
            return
        time.sleep(watch)
        print()


def _print_status(state: "Status") -> None:
    done = state.stored.total()
    planned = "" if state.planned_cells is None else f" of {done + state.open_cells}"
    failed = [f"{state.stored[name]} {name}" for name in ("oom", "error") if state.stored[name]]
    print(f"cells     {done}{planned}" + (f" ({', '.join(failed)})" if failed else ""))
    if state.slices:
        print(f"slices    {state.slices} of cells that are not complete")
    if state.left_s is not None:
        print(f"pace      {state.clips_per_s:.3g} clips/s, about {duration(state.left_s)} left")
    for each in state.given_up:
        print(f"given up  {each}: its processes died")
    for worker in state.workers:
        shard = worker.progress.get("shard")
        what = str(worker.progress.get("cell") or worker.progress.get("state") or "")
        if not worker.is_alive:
            what = f"dead, its last sign {duration(worker.idle_s)} ago"
        parts = [str(worker), f"shard {shard}" if shard else "", what]
        print("process   " + ", ".join(filter(None, parts)))
    if not state.workers:
        print("process   none at work")
    if state.open_cells and not any(worker.is_working for worker in state.workers):
        print(
            f"open      {plural(state.open_cells, 'cell')}: the same `niah run`, or another shard's, goes on"
        )
