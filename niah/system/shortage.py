"""Shortage of memory or threads, as opposed to a damaged file: on a busy machine whole files fail to read."""

import errno

_ERRORS = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
_TEXTS = (
    "Failed to launch worker thread",
    "Resource temporarily unavailable",
    "Cannot allocate memory",
    "can't start new thread",
    "Too many open files",
    "malloc of size",
    "realloc of size",
    "out of memory",
    "failed to map segment",  # of a library, under `ulimit -v` or a batch system's limit
)


def is_shortage(error: BaseException) -> bool:
    """Return whether an exception means that memory, threads or open files ran out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno in _ERRORS:
        return True
    return any(text in str(error) for text in _TEXTS)
