"""Files written whole or not at all, and errors of the disk in one line.

The content goes to a hidden file beside the target, is flushed to the disk, and is renamed over
the target: a reader, or a kill at any moment, meets the old file or the new one, never a part.
"""

import errno
import hashlib
import io
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from niah.errors import NiahError
from niah.system.lfs_pointer import refuse_lfs_pointer
from niah.system.process_table import is_hidden, place, started_s
from niah.system.unreadable import UnreadableError, unreadable

SUFFIX = ".tmp"
_MOST_LINKS = 40  # one after another: as many as the system follows
_FULL = {errno.ENOSPC, errno.EDQUOT}
_START_SLACK_S = 1.0  # of a process' start, which is known to a clock tick, by the clock of files
_ABANDONED_S = 3600.0  # without a write, after which another machine's writer is taken for dead
_PLACE_DIGITS = 8  # of the name's last part; the others are random
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


@contextmanager
def atomic_write(file: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a binary file that takes `file`'s place when the block ends well, and leaves no trace if not.

    A link of the user's is written through: what it points to is replaced, the link stays. So is what is no file (a
    device, a pipe, /dev/stdout): it gets the bytes when the block ends well, and is never replaced by a file.

    Args:
        file: the target.
        sync: wait until the disk has it, for power cuts; a cache whose readers check what they read needs no such wait.

    Raises:
        NiahError: the disk is full, the folder cannot be written to, or `file` is a folder or a disk.
    """
    with one_line_os_errors(file.parent):
        if _is_special(file):
            content = io.BytesIO()
            yield content
            with content.getbuffer() as whole:  # released on an error too
                _pass_through(file, whole)
            return
        target = Path(os.path.realpath(file)) if file.is_symlink() else file
        with _beside(target, sync) as stream:
            yield stream


@contextmanager
def _beside(target: Path, sync: bool) -> Iterator[IO[bytes]]:
    """Open a hidden file beside the target, which is renamed over it, flushed before if `sync`."""
    temporary = _temporary(target)
    try:
        with temporary.open("wb") as stream:
            yield stream
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if sync:
        _sync_folder(target.parent)


def _temporary(target: Path) -> Path:
    """Return a hidden name that no other writer has, and that says on which machine it is."""
    unique = _place_digits() + secrets.token_hex(4)
    return target.with_name(f".{target.name}.{os.getpid()}.{unique}{SUFFIX}")


def _place_digits() -> str:
    """Return digits that two processes share which see each other: elsewhere the number of a process says nothing."""
    return hashlib.sha256(repr(place()).encode()).hexdigest()[:_PLACE_DIGITS]


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, or that it can be made; nothing is left behind.

    Args:
        folder: there or not.

    Raises:
        NiahError: the disk is full or read-only, or the folder, or the nearest one above it, may not be changed.
    """
    nearest = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
    with one_line_os_errors(folder):
        trial = _temporary(nearest / "trial")
        trial.mkdir()
        trial.rmdir()


def check_target(file: Path) -> None:
    """Check that a file can be written by `atomic_write`; nothing is left behind, and an old file stays.

    Args:
        file: the target.

    Raises:
        NiahError: as `atomic_write`.
    """
    with one_line_os_errors(file.parent):
        if not _is_special(file):
            trial = _temporary(Path(os.path.realpath(file)) if file.is_symlink() else file)
            trial.touch()
            trial.unlink()


def create_json(file: Path, content: Mapping[str, object]) -> bool:
    """Create a JSON file unless there is one of that name; of many processes on many machines exactly one succeeds.

    A hard link to a complete file is atomic on local file systems and on NFS of any version; where there are no hard
    links, the file is opened exclusively.

    Args:
        file: target.
        content: an object of JSON's types.

    Returns:
        Whether this call created it.

    Raises:
        NiahError: the disk is full, or the folder cannot be written to.
    """
    text = json.dumps(content, ensure_ascii=True).encode()
    temporary = _temporary(file)
    with one_line_os_errors(file.parent):
        try:
            temporary.write_bytes(text)
            return _linked(temporary, file, text)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _linked(temporary: Path, file: Path, text: bytes) -> bool:
    try:
        os.link(temporary, file)
    except FileExistsError:
        # a server's answer may be lost and the request sent again: the link is then there, and ours
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            with file.open("xb") as stream:
                stream.write(text)
        except FileExistsError:
            return False
    return True


def _is_special(file: Path) -> bool:
    """Return whether writing must go through `file`: no regular file, or a name of an open stream."""
    try:
        kind = file.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(kind):
        raise NiahError(f"{file} is a folder: give the name of a file")
    if stat.S_ISBLK(kind):
        raise NiahError(f"{file} is a disk: give the name of a file")
    return not stat.S_ISREG(kind) or _is_open_stream(file)


def _is_open_stream(file: Path) -> bool:
    """Return whether a name, or one that it links to, is of an open stream: /dev/stdout, /dev/fd/3, /proc/7/fd/1."""
    for _ in range(_MOST_LINKS):
        place = Path(os.path.realpath(file.parent), file.name)
        if place.parts[1:2] == ("proc",) and place.parent.name == "fd":
            return True
        if not place.is_symlink():
            return False
        file = place.parent / place.readlink()
    return False


def _pass_through(file: Path, content: memoryview) -> None:
    """Write to a device, a pipe or an open stream; a pipe that nobody reads is not waited for."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)


def replace_json(file: Path, content: Mapping[str, object]) -> None:
    """Replace a small JSON file at once, without a flush to the disk: for what a power cut makes void anyway.

    Args:
        file: target.
        content: an object of JSON's types.

    Raises:
        NiahError: the disk is full, or the folder cannot be written to.
    """
    temporary = _temporary(file)
    with one_line_os_errors(file.parent):
        try:
            temporary.write_text(json.dumps(content))
            temporary.replace(file)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_json(file: Path, content: Mapping[str, object]) -> None:
    """Write indented UTF-8 JSON, whole or not at all.

    Args:
        file: target.
        content: an object of JSON's types.
    """
    with atomic_write(file) as stream:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        # a byte of a file name that is not UTF-8 becomes an escape of JSON
        stream.write(text.encode(errors="backslashreplace"))


def read_json(file: Path) -> dict[str, Any]:
    """Read the JSON object in `file`.

    Raises:
        UnreadableError: the system does not give the file.
        NiahError: a file that is missing, is no JSON, or is nested too deep.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise NiahError(f"{file} cannot be read: it is nested too deep") from error
    except (OSError, ValueError) as error:
        if reason := unreadable(file, error):
            raise UnreadableError(reason) from error
        refuse_lfs_pointer(file)
        raise NiahError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise NiahError(f"{file} must hold a JSON object")
    return content


def is_leftover(name: str) -> bool:
    """Return whether a file name is that of a killed writer's temporary file."""
    return name.startswith(".") and name.endswith(SUFFIX)


def remove_leftovers(folder: Path, before: float | None = None) -> None:
    """Delete the leftovers of killed writers in `folder` and one level below, not what a process is writing.

    A process of another machine, or one that the system hides, cannot be looked up: what it wrote to within the last
    hour is left to it.

    Args:
        folder: of the targets.
        before: time by the file system's clock; files that were written later are left to their writers. None
            where there is no other writer.
    """
    for file in [*folder.glob(f".*{SUFFIX}"), *folder.glob(f"*/.*{SUFFIX}")]:
        with suppress(FileNotFoundError):
            written = file.stat().st_mtime
            if (before is None or written < before) and not _is_being_written(file, written):
                file.unlink()


def _is_being_written(file: Path, written: float) -> bool:
    """Return whether the process of a temporary file runs, and did so when the file was last written to."""
    *_, pid, unique = ("", "", *file.name.removesuffix(SUFFIX).split("."))
    has_place = re.fullmatch(r"[0-9a-f]{16}", unique) is not None  # of earlier versions none
    number = int(pid) if re.fullmatch(r"[0-9]{1,9}", pid) else None
    is_elsewhere = has_place and not unique.startswith(_place_digits())
    if is_elsewhere or (number is not None and is_hidden(number)):
        return _clock(file.parent) - written < _ABANDONED_S
    started = None if number is None else started_s(number)
    return started is not None and started <= written + _START_SLACK_S


def _clock(folder: Path) -> float:
    """Return the present time by the file system's clock; this machine's where the folder cannot be written to."""
    trial = _temporary(folder / "clock")
    with suppress(OSError):
        trial.touch()
        now = trial.stat().st_mtime
        trial.unlink()
        return now
    return time.time()


@contextmanager
def one_line_os_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into one line about `folder`.

    Raises:
        NiahError: an `OSError` in the block.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise NiahError(f"cannot write to a pipe in {folder}: nothing reads from it") from error
        if error.errno in _FULL:
            raise NiahError(
                f"no space left for {folder}: free some and run the same command again "
                "(what is finished is kept)"
            ) from error
        raise NiahError(f"cannot write to {folder}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can sync a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
