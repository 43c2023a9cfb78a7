"""Ctrl-C in one line, also while the commands are still being imported."""

import _thread
import signal
import sys
import threading
from contextlib import suppress
from types import TracebackType

from niah.errors import Terminated, is_interrupt

_SOON_S = 0.02  # until the hook is over

MESSAGE = "interrupted; the same command goes on from what is finished"


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
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        _print_unraisable(unraisable)
        return
    ended = isinstance(unraisable.exc_value, Terminated)
    again = threading.Timer(_SOON_S, _send, [signal.SIGTERM if ended else signal.SIGINT])
    again.daemon = True
    with suppress(RuntimeError):  # the interpreter is ending anyway
        again.start()


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
