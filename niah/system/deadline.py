"""A limit of time for a call that takes none itself, as looking up a host's name or trying its addresses in turn."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from typing import TypeVar

Result = TypeVar("Result")


def within(limit_s: float, call: Callable[[], Result]) -> Result:
    """Return what `call` returns, or raise what it raises, within a time.

    A call that is late goes on in a thread that does not keep the process alive; its result is dropped.

    Args:
        limit_s: longest time to wait.
        call: without arguments.

    Raises:
        TimeoutError: the time is over.
    """
    future: Future[Result] = Future()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:  # it is raised where the result is waited for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=work, daemon=True).start()
    try:
        return future.result(limit_s)
    except NotDone:
        if future.done():  # the call's own
            raise
        raise TimeoutError(f"no answer in {limit_s:g} s") from None
