"""The one exception that reaches the user as a sentence, and what ends a command from outside.

The command line prints a `NiahError` as a single line and exits with status 2. Its message says what is
wrong, where (file, key, value), and what to do about it. Anything else that escapes is a bug.
"""

import difflib
from collections.abc import Iterable

_LISTED = 30  # names in a message


class NiahError(Exception):
    """Wrong input, in one line: what, where, and the fix."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end at once (SIGTERM): a batch system kills it soon."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x' or 'y'?"` for a misspelt name, else a list of what there is, unless that is long.

    Args:
        name: the misspelt name.
        known: names that exist.
    """
    known = sorted(set(known))
    lower = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not close:  # in capitals, or without any
        close = [
            lower[each] for each in difflib.get_close_matches(name.casefold(), lower, cutoff=0.5)
        ]
    if close:
        return " Did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return f" Known: {', '.join(known)}." if 0 < len(known) <= _LISTED else ""


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether an exception is Ctrl-C, or was raised from it, as Python does in the middle of an import."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def one_line(error: BaseException) -> str:
    """Return the first line of another library's error, at most 300 letters, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
