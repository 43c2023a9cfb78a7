"""Git LFS pointers: the few lines that a clone without git-lfs has in place of a large file."""

from pathlib import Path

from niah.errors import NiahError

POINTER = "is a Git LFS pointer, not the file: run `git lfs pull`"
_BEGIN = b"version https://git-lfs"


def is_lfs_pointer(begin: bytes) -> bool:
    """Return whether a file that begins so is a pointer."""
    return begin.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_BEGIN)


def refuse_lfs_pointer(path: Path) -> None:
    """Refuse a pointer in place of a file that is about to be read, or could not be.

    Raises:
        NiahError: it is one.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(64)
    except (OSError, ValueError):  # the reader's own to tell
        return
    if is_lfs_pointer(begin):
        raise NiahError(f"{path}: {POINTER}")
