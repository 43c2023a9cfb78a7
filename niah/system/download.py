"""Fetch one file by URL and checksum into the cache, whole or not at all.

Unfinished files are in `<cache>/parts`, named by a hash of their address, and locked: two processes that want one file
fetch it once. The part of a killed process is resumed, or removed by a later fetch.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError

from platformdirs import user_cache_path

from niah.errors import NiahError
from niah.system.lfs_pointer import POINTER, is_lfs_pointer
from niah.system.plain_names import address, below, checksum
from niah.system.transfer import discard, is_resumable, status_text, transfer
from niah.system.waited_lock import waited_lock

WAIT_S = 3600.0  # limit of waiting for another process that fetches the same file
PART_EXPIRES_S = 7 * 86400.0  # age at which a part that nobody resumed is removed
_HEAD_BYTES = 512
TEXT = "it is text"
_PART, _LOCK = ".part", ".lock"


def cache_folder() -> Path:
    """Return the folder of fetched files and caches: `$NIAH_CACHE`, else the platform's cache folder.

    Raises:
        NiahError: neither is known, as in a container of a user id without an account, and without `$HOME`.
    """
    try:
        if chosen := os.environ.get("NIAH_CACHE"):
            return Path(chosen).expanduser()
        return user_cache_path("niah", appauthor=False)
    except RuntimeError as error:
        raise NiahError(
            "the system knows no home of this user for the cache: set NIAH_CACHE to a folder, or HOME"
        ) from error


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """Return the hexadecimal MD5 of a file's content: it tells damage, not forgery."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def fetch(
    url: str,
    sha256: str,
    destination: Path,
    *,
    md5: str = "",
    instead: str = "",
    text: bool = False,
) -> Path:
    """Fetch `url` into the file `destination`, unless a file with that checksum exists already.

    Without a checksum any complete file that is not text is accepted, and an existing file stays.

    The file appears under its name only when complete and verified. A progress bar goes to stderr.

    Args:
        url: http(s) address.
        sha256: hexadecimal checksum that the content must have; "" where none is known.
        destination: file below the cache folder; folders are made.
        md5: the same of archives that publish MD5 only (Zenodo); for files without `sha256`.
        instead: advice that is appended to errors.
        text: the file is a table; without a checksum only a web page is refused.

    Raises:
        NiahError: no connection, a server's refusal, another checksum, text where no checksum is known, too slow,
            no room to write, or a destination outside of the cache.
    """
    address(url, "the address")
    check = _Checksum(checksum(sha256, url), "" if sha256 else md5.lower())
    below(cache_folder(), destination, url, "what is fetched stays in the cache ($NIAH_CACHE)")
    try:
        if _is_there(destination, check):
            return destination
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _locked_part(url, check.value) as part:
            if not _is_there(destination, check):  # by another process, meanwhile
                _fetch(url, check, part, destination, instead, text)
    except (URLError, HTTPException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.filename and not isinstance(error, URLError):
            raise NiahError(
                f"cannot write to {error.filename}: {error.strerror}. What is fetched goes to {cache_folder()} "
                "(NIAH_CACHE=FOLDER names another)"
            ) from error
        reason = getattr(error, "reason", None) or error
        message = _one_line(status_text(error) if isinstance(error, HTTPError) else reason)
        raise NiahError(f"{url}: cannot be fetched ({message}). {instead}".rstrip()) from error
    return destination


def why_no_binary(path: Path) -> str:
    """Return the reason why a file cannot be weights or sound: empty, a web page, a Git LFS pointer, text; else ""."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "it is empty"
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "it is a web page"
    if is_lfs_pointer(begin):
        return f"it {POINTER}"
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in head) and head.isascii():
        return TEXT
    return ""


def how_to_fetch_again(path: Path) -> str:
    """Return advice for an error about a file in the cache; "" for any other file."""
    with suppress(OSError, RuntimeError, ValueError):
        if path.resolve().is_relative_to(cache_folder().resolve()):
            return f". It is in the cache: remove {path} to fetch it again"
    return ""


class _Checksum(NamedTuple):
    """The stated checksum of a file's content; both are "" where none is known."""

    sha256: str
    md5: str = ""

    @property
    def value(self) -> str:
        return self.sha256 or self.md5

    def of(self, path: Path) -> str:
        """Return the file's own checksum of the same kind; "" where none is stated."""
        if self.sha256:
            return sha256_of(path)
        return md5_of(path) if self.md5 else ""


def _is_there(destination: Path, check: _Checksum) -> bool:
    return destination.is_file() and check.of(destination) == check.value


def _fetch(
    url: str, check: _Checksum, part: Path, destination: Path, instead: str, text: bool
) -> None:
    """Fetch `url` into `part`, check it, and rename it to `destination`."""
    stated = bool(check.value)
    actual = check.of(part) if stated and is_resumable(part) else None
    if actual is None or actual != check.value:
        resumed = transfer(url, part, verified=stated, shown=destination.name)
        actual = check.of(part)
        if resumed and actual != check.value:  # the server has another file now
            discard(part)
            transfer(url, part, verified=True, shown=destination.name)
            actual = check.of(part)
    if actual != check.value:
        discard(part)
        kind = "sha256" if check.sha256 else "md5"
        raise NiahError(
            f"{url}: has {kind} {actual[:12]}.., not the expected {check.value[:12]}. {instead}".rstrip()
        )
    reason = "" if stated else why_no_binary(part)
    if reason and not (text and reason == TEXT):
        discard(part)
        raise NiahError(f"{url}: gives no such file: {reason}. {instead}".rstrip())
    part.replace(destination)
    discard(part)


@contextmanager
def _locked_part(url: str, stated: str) -> Iterator[Path]:
    """Lock the part file of an address for this process; leftovers of others are removed first."""
    folder = cache_folder() / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(f"{url}\x1f{stated}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    part = folder / (name + _PART)
    with waited_lock(folder / (name + _LOCK), url, WAIT_S):
        _remove_old_parts(folder, part)
        yield part


def _remove_old_parts(folder: Path, own: Path) -> None:
    """Remove the parts of ended processes that cannot be resumed, or were not for a week."""
    from filelock import FileLock, Timeout

    names = {file.name.partition(".")[0] for file in folder.glob(f"*{_PART}*")}
    for part in (folder / (name + _PART) for name in names):
        if part == own:
            continue
        with suppress(OSError, Timeout), FileLock(part.with_suffix(_LOCK), timeout=0):
            if not is_resumable(part) or time.time() - part.stat().st_mtime > PART_EXPIRES_S:
                discard(part)
    for former in cache_folder().glob("**/.fetch-*"):  # of the versions that had no locks
        with suppress(OSError):
            if time.time() - former.stat().st_mtime > PART_EXPIRES_S:
                shutil.rmtree(former)


def _one_line(message: object) -> str:
    """Return the first line of an error, without control characters from the server."""
    lines = str(message).splitlines() or [type(message).__name__]
    return "".join(letter if letter.isprintable() else "?" for letter in lines[0])[:200]
