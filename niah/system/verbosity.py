"""The amount that a command says beside its results: nothing, notes and progress (the default), or tracebacks too."""

from contextvars import ContextVar
from typing import Literal

Verbosity = Literal["quiet", "normal", "verbose"]
_verbosity: ContextVar[Verbosity] = ContextVar("verbosity", default="normal")


def set_verbosity(value: Verbosity) -> None:
    """Choose how much is said from now on."""
    _verbosity.set(value)


def is_quiet() -> bool:
    """Return whether notes and progress are left out."""
    return _verbosity.get() == "quiet"


def is_verbose() -> bool:
    """Return whether errors come with their traceback, and progress in a log every few seconds."""
    return _verbosity.get() == "verbose"
