"""Worker threads whose jobs do not start threads of their own.

A tile of work runs on one thread from end to end, so that what it makes stays in that thread's cache. torch and numba
let go of the interpreter lock inside a kernel; BLAS inside a job is held to one thread, otherwise two jobs on two
cores would ask for four.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

Job = tuple[Any, ...]


def run_jobs(function: Callable[..., None], jobs: Iterable[Job]) -> None:
    """Call `function` with each job's arguments, on as many threads as torch would use; the first error is raised.

    Jobs must not depend on each other. Every job that has begun is over when this returns or raises, so that memory
    they write to may be freed.
    """
    listed = list(jobs)
    threads = torch.get_num_threads()
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


def _run(mode: tuple[bool, bool], function: Callable[..., None], job: Job) -> None:
    inference, gradients = mode  # torch keeps both per thread
    with torch.inference_mode(inference), torch.set_grad_enabled(gradients and not inference):
        function(*job)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Workers, each with torch and BLAS held to one thread; kept for the life of the process."""
    ready = threading.Barrier(threads + 1)

    def alone() -> None:
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="niah", initializer=alone)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)  # the workers' calls set the default of threads yet to start
    return pool
