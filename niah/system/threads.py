"""Worker threads whose jobs do not start threads of their own.

A tile of work runs on one thread from end to end, so that what it makes stays in that thread's cache. torch and numba
release the interpreter lock inside a kernel; BLAS inside a job is limited to one thread, otherwise two jobs on two
cores would ask for four.

torch's own OpenMP threads spin for a while after each parallel operation (`niah.system.openmp`), on the cores that the
jobs then wait for. So the work between successive calls runs on one thread, under `single_threaded_torch`.

Whole passes of small networks are such jobs too (`results_in_order`): two at a time, each on one core, take half the
time of one after the other on both.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
Job = tuple[Any, ...]
_LENT = threading.local()  # .threads: number of jobs at a time while torch is limited to one


def threads_of_jobs() -> int:
    """Return the number of threads of `run_jobs` now: those that torch would use without our limit."""
    return int(getattr(_LENT, "threads", 0)) or torch.get_num_threads()


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Limit torch to this thread within the block, and leave its other threads to the jobs."""
    threads = threads_of_jobs()
    before, own = getattr(_LENT, "threads", 0), torch.get_num_threads()
    if threads == own == 1:
        yield
        return
    _pool(threads)  # its making sets torch's number
    _LENT.threads = threads
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _LENT.threads = before
        torch.set_num_threads(own)


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Run torch on one CPU thread within the block, jobs too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run_jobs(function: Callable[..., None], jobs: Iterable[Job]) -> None:
    """Call a function with each job's arguments in parallel; the first error is raised.

    Jobs must not depend on each other. Every job that has begun is over when this returns or raises, so that memory
    they write to may be freed.

    Args:
        function: runs in the threads of `threads_of_jobs`.
        jobs: its arguments, a tuple each.
    """
    listed = list(jobs)
    threads = threads_of_jobs()
    if threads == 1 or len(listed) <= 1:
        for job in listed:
            function(*job)
        return
    mode = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    futures = [_pool(threads).submit(_run, mode, function, job) for job in listed]
    failed = None
    for future in futures:
        if failed is not None:
            future.cancel()
        if not future.cancelled() and (error := future.exception()) is not None:
            failed = failed or error
    if failed is not None:
        raise failed


def results_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """Yield a function's result for each item, in order, each computed on one thread beside others.

    Items are made in the caller's thread, one more than there are threads. When the generator ends, by an error too,
    every call that has begun is over.

    Args:
        function: runs in threads of its own, with torch and BLAS on one thread.
        items: its arguments.
        threads: calls at a time; a single one is in the caller's thread.
    """
    if threads == 1:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(_pool(threads).submit(function, item))
            del item  # the pool's alone
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        wait(pending)


def _run(mode: tuple[bool, bool], function: Callable[..., None], job: Job) -> None:
    inference, gradients = mode  # torch keeps both per thread
    with torch.inference_mode(inference), torch.set_grad_enabled(gradients and not inference):
        function(*job)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Workers that live as long as the process, each with torch and BLAS limited to one thread."""
    ready, own = threading.Barrier(threads + 1), torch.get_num_threads()

    def alone() -> None:
        torch.get_num_threads()  # a thread's first look at the number resets it to the process's
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="niah", initializer=alone)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(own)  # the workers' calls set the default of threads yet to start
    return pool


os.register_at_fork(
    after_in_child=_pool.cache_clear
)  # a forked child has none of the workers' threads
