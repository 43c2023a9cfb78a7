"""A lock that another process may hold for long: waiting is noted, with its title.

The system frees its own locks when their process ends. Some file systems have none (Lustre, as clusters may mount it):
there a file stands for the lock, and stays when the machine of its process dies, so it is named.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from niah.errors import NiahError
from niah.system.verbosity import is_quiet

NOTE_S = 5.0  # of waiting, after which it is noted


@contextmanager
def waited_lock(file: Path, title: str, most_s: float | None = None) -> Iterator[None]:
    """Hold a lock, after the processes that hold it.

    Args:
        file: of the lock; its folder exists.
        title: what the lock is for, for messages.
        most_s: seconds to wait; None for as long as it takes.

    Raises:
        NiahError: another process has held it for `most_s`.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    def advice() -> str:
        is_file_alone = isinstance(lock, SoftFileLock)  # becomes one where the system has no locks
        return f", or remove {file} if none is at work on any machine" if is_file_alone else ""

    lock = FileLock(file)
    try:
        lock.acquire(timeout=NOTE_S if most_s is None else min(NOTE_S, most_s))
    except Timeout:
        if not is_quiet():
            print(f"note: {title}: waiting for another process{advice()}", file=sys.stderr)
        try:
            lock.acquire(timeout=-1 if most_s is None else most_s)
        except Timeout:
            raise NiahError(
                f"{title}: another process has been at it for {most_s:.0f} s; try again when it has ended"
                f"{advice()}"
            ) from None
    try:
        yield
    finally:
        lock.release()
