"""One writer a run: a lock on `.lock` that the operating system frees when its process dies (flock on Unix).

On a network file system the lock holds between machines where the server supports it (NFS 4 does; NFS 2 and 3 need
lockd). On one without locks a run is refused: write to a local folder and copy it.
"""

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from niah.errors import NiahError
from niah.records.run_parts import LOCK
from niah.system import atomic


def acquire_lock(run: Path, command: str = "niah run") -> BaseFileLock:
    """Lock the run directory `run` for writing, without waiting.

    Args:
        run: the folder, which exists.
        command: that writes to it, for the message.

    Raises:
        NiahError: another process writes to it, or its file system has no locks.
    """
    lock = FileLock(run / LOCK, thread_local=False, preserve_lock_file=True, fallback_to_soft=False)
    with atomic.one_line_os_errors(run):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise NiahError(
                f"another {command} is writing to {run}: wait for it, or give another folder"
            ) from error
        except NotImplementedError as error:
            raise NiahError(
                f"the file system of {run} has no locks, so two runs could write there at once: give a local folder"
            ) from error
    return lock
