"""One thing ahead: the next is made by a thread while the present one is worked on."""

from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

T = TypeVar("T")


def one_ahead(items: Iterable[T], alone: int = 0) -> Generator[T, None, None]:
    """The same items in the same order, each made while the one before it is with the caller.

    The first `alone` items are made when they are asked for. Never more than two are alive, if the caller lets go of
    one before it asks for the next. What goes wrong in the making is raised where the item would have come; the thread
    is over when the generator is closed or has ended. Where no thread can be started, items are made when asked for.
    """
    iterator = iter(items)
    yield from islice(iterator, alone)
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(1, thread_name_prefix="niah-ahead")
    end = object()
    pending: Future[T | object] | None = None
    try:
        try:
            # its torch keeps to itself: a second team of threads would disturb the caller's work
            pool.submit(torch.set_num_threads, 1).result()
        except RuntimeError:  # can't start new thread: memory or a limit
            yield from iterator
            return
        pending = pool.submit(next, iterator, end)
        while (item := pending.result()) is not end:
            pending = pool.submit(next, iterator, end)
            yield item  # type: ignore[misc]  # no sentinel
    finally:
        item = pending = None  # an exception that is on its way out holds this frame
        pool.shutdown(cancel_futures=True)
        # the thread's own call had set the default of threads yet to start
        torch.set_num_threads(threads)
