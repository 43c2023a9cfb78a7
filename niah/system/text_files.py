"""Text and JSON files from strangers: of bounded size, UTF-8, and refused in one line when they are not."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.system.lfs_pointer import POINTER, is_lfs_pointer

MOST_BYTES = 512 * 1024 * 1024  # AudioSet's list of 2 million segments has 100 MB
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


def read_text(path: Path) -> str:
    """Return a file's text without a byte order mark, its lines ended by a newline alone.

    Raises:
        NiahError: it is missing, no regular file, too large, empty, or not UTF-8 text.
    """
    try:
        state = os.stat(path)  # noqa: PTH116 - a path with a NUL byte raises ValueError here
        if not stat.S_ISREG(state.st_mode):
            raise NiahError(f"{path}: is not a regular file")
        if state.st_size > MOST_BYTES:
            raise NiahError(f"{path}: is larger than {MOST_BYTES >> 20} MiB")
        content = path.read_bytes()
    except ValueError as error:
        raise NiahError(f"{str(path)!r}: is no file name") from error
    except OSError as error:
        raise NiahError(f"{path}: {error.strerror}") from error
    if is_lfs_pointer(content[:64]):
        raise NiahError(f"{path}: {POINTER}")
    if content.startswith((*_UTF16, *_UTF32)):
        name = "UTF-32" if content.startswith(_UTF32) else "UTF-16"
        raise NiahError(f"{path}: is not UTF-8 text but {name}: save it as UTF-8")
    if b"\0" in content:
        raise NiahError(
            f"{path}: holds NUL bytes, so it is not UTF-8 text (UTF-16, perhaps): save it as UTF-8"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NiahError(
            f"{path}, line {line}: is not UTF-8 text (Latin-1, perhaps): save it as UTF-8"
        ) from error
    if not text.strip():
        raise NiahError(f"{path}: is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        NiahError: as `read_text`, or it is not JSON; the line is named.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise NiahError(f"{path}, line {error.lineno}: is not JSON ({error.msg})") from error
    except UnicodeEncodeError as error:
        raise NiahError(f"{path}: holds a half of a surrogate pair, which is no text") from error
    except RecursionError as error:
        raise NiahError(f"{path}: is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise NiahError(f"{path}: holds a number that is too long") from error
    return content
