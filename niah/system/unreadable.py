"""Files that the system does not give: of another user, on a disk with errors, or while memory or handles are short.

That says nothing of their content: such a file is never taken for damaged, and never removed or made again.
"""

from pathlib import Path

from niah.errors import NiahError
from niah.system.shortage import is_shortage


class UnreadableError(NiahError):
    """A file that is there, and may be whole, cannot be read at present, or by this user."""


def unreadable(file: Path, error: BaseException) -> str | None:
    """Return the sentence on a file that the system did not give; None where it is missing, or its content is at fault.

    Args:
        file: that was read.
        error: what reading it raised.
    """
    if is_shortage(error):
        return (
            f"{file} could not be read for want of memory or threads ({error}); the file is not the cause: free some "
            "and run the same command again"
        )
    if isinstance(error, FileNotFoundError) or not isinstance(error, OSError) or not error.errno:
        return None  # pyarrow raises OSError without a number for a damaged file
    if isinstance(error, PermissionError):
        return f"{file} may not be read by this user: its owner can allow it (chmod a+r)"
    return f"{file} cannot be read: {error.strerror}"
