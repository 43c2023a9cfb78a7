"""Processes of this machine by their number: which of them run, and since when; and which machine this is."""

import os
import socket
import time
from functools import cache
from pathlib import Path

_STAT = Path("/proc/self/stat")
_STATE, _START = 0, 19  # of the fields after the name, proc(5)
_ENDED = ("Z", "X")


@cache
def host() -> str:
    """Return the machine's name."""
    return socket.gethostname()


@cache
def place() -> dict[str, str]:
    """Return what two processes share that see each other: host, boot, and the name space of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # macOS
        boot = space = ""
    return {"host": host(), "boot": boot, "pid_space": space}


def process_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state first, start time the 20th; [] if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def process_start(pid: int) -> str:
    """Return the kernel's time of a process's start, which tells it from a later one of the same id; "" if unknown."""
    fields = process_fields(pid)
    return fields[_START] if len(fields) > _START else ""


def process_lives(pid: int, started: object) -> bool:
    """Return whether a process runs.

    Args:
        pid: its number.
        started: its `process_start`; "" where that is not known.
    """
    if not _STAT.exists():  # macOS
        return _answers(pid)
    fields = process_fields(pid)
    return bool(fields) and fields[_STATE] not in _ENDED and started in ("", fields[_START])


def is_hidden(pid: int) -> bool:
    """Return whether a process runs that /proc does not show: another user's, where it is mounted with hidepid.

    Nothing tells it from a later one of its number.
    """
    if process_fields(pid):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False


def started_s(pid: int) -> float | None:
    """Return when a process that runs was started, in seconds since the epoch; None where none of the number does.

    Where the system does not tell, it is 0: it may be older than anything.
    """
    if not process_lives(pid, ""):
        return None
    start = process_start(pid)
    if not start:
        return 0.0
    booted_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted_s + int(start) / os.sysconf("SC_CLK_TCK")


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
