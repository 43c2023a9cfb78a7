"""Work in numpy on all cores, for what runs without torch (`niah.system.threads` is for what runs with it)."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of threads to use: OMP_NUM_THREADS, as torch takes it, else this process's cores."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isascii() and named.isdigit() and int(named) > 0:
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return a function's result for each item, in order; the first error is raised.

    Args:
        function: spends its time in numpy, which lets other threads run meanwhile.
        items: its arguments.
    """
    threads = cores()
    if threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="niah-numpy") as pool:
        return list(pool.map(function, items))
