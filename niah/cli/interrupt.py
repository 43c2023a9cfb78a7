"""Ctrl-C in one line, also while the commands are still being imported, and again where its exception is dropped.

A signal's exception is raised in whatever Python function runs. Where code in C called that function, it may drop the
exception and go on: numpy does, when it compares types, and so pandas in the middle of a table. An exception that is
dropped is freed, which is seen by a weak reference.
"""

import _thread
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType

from niah.errors import Terminated, is_interrupt

_SOON_S = 0.02  # until the hook is over
_ENDS_S = 0.1  # until a command whose exception was caught has ended

MESSAGE = "interrupted; the same command goes on from what is finished"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; unlike Python's own exception it can be referenced weakly."""


@dataclass(frozen=True, eq=False)
class _Block:
    """One use of `raised_again`; a fork of its process has its own ways to end."""

    process: int

    def is_at_work(self) -> bool:
        return _block is self and self.process == os.getpid()


_block: _Block | None = None
_watched: set[weakref.ref[KeyboardInterrupt]] = set()


@contextmanager
def raised_again() -> Iterator[None]:
    """Within the block, send a signal again whose exception (Ctrl-C, or `watched`) was dropped on its way."""
    global _block
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs here
        return
    # else ignored, as of a shell's background jobs, or another's
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    _block = _Block(os.getpid())
    if is_pythons:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        _block = None
        if is_pythons:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(*_: object) -> None:
    raise watched(Interrupted, signal.SIGINT)


def watched(kind: type[KeyboardInterrupt], number: signal.Signals) -> KeyboardInterrupt:
    """Return an exception for a signal's handler to raise; within `raised_again` the signal comes again if it is lost.

    The caller must not keep it in a variable: its traceback holds the caller's frame, and so would never be freed.

    Args:
        kind: class of the exception.
        number: the signal.
    """
    error, block = kind(), _block
    if block is not None and block.is_at_work():

        def freed(reference: weakref.ref[KeyboardInterrupt]) -> None:
            _watched.discard(reference)
            _later(_ENDS_S, number, block.is_at_work)

        _watched.add(weakref.ref(error, freed))
    return error


def print_interrupt(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an uncaught exception: Ctrl-C in one line, any other with its traceback."""
    if is_interrupt(error):
        print(f"niah: {MESSAGE}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Send a signal again whose exception came in a callback of Python's own, which swallows it; print any other.

    A hook's own exceptions are swallowed too, so a thread sends it when the hook is over.
    """
    error = unraisable.exc_value
    if not is_interrupt(error):
        _print_unraisable(unraisable)
        return
    number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
    is_watched = number is signal.SIGTERM or signal.getsignal(number) is _interrupt
    if not (is_watched and _block is not None and _block.is_at_work()):
        _later(_SOON_S, number)  # else it comes again when it is freed


def _later(
    seconds: float, number: signal.Signals, is_wanted: Callable[[], bool] = lambda: True
) -> None:
    """Send a signal after a while, if it is still wanted, without `threading`, whose locks the main thread may hold."""

    def send() -> None:
        time.sleep(seconds)
        if is_wanted():
            _send(number)

    with suppress(RuntimeError):  # the interpreter is ending anyway
        _thread.start_new_thread(send, ())


def _send(number: signal.Signals) -> None:
    """Send a signal to the main thread, which wakes from a wait in C too where the system has threads' signals."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:  # Windows
        _thread.interrupt_main(number)


_print_unraisable = sys.unraisablehook
sys.excepthook = print_interrupt
sys.unraisablehook = raise_again
