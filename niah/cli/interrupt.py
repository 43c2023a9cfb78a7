"""Ctrl-C in one line, also while the commands are still being imported."""

import _thread
import sys
from types import TracebackType

from niah.errors import is_interrupt

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
    """Raise Ctrl-C again that came in a callback of Python's own, which swallows exceptions; print any other."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _thread.interrupt_main()
    else:
        _print_unraisable(unraisable)


_print_unraisable = sys.unraisablehook
sys.excepthook = print_interrupt
sys.unraisablehook = raise_again
