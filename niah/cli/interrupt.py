"""Ctrl-C in one line, also while the commands are still being imported."""

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


sys.excepthook = print_interrupt
