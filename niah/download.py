"""Fetch one file by URL and checksum, whole or not at all."""

import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from niah.errors import NiahError

_CHUNK_BYTES = 1 << 18
_TIMEOUT_S = 30


def cache_folder() -> Path:
    """Where fetched files and caches go: `$NIAH_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("NIAH_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "niah"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "niah"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, sha256: str, destination: Path, *, instead: str = "") -> Path:
    """Bring `url` to `destination`, unless a file with that checksum is there already.

    Without a checksum (`""`) any complete file is taken, and a file that is there already is kept.

    The file appears under its name only when complete and verified. A progress bar goes to stderr.

    Args:
        url: http(s) address.
        sha256: hexadecimal checksum that the content must have; "" where none is known.
        destination: where it goes; folders are made.
        instead: what else the user can do, appended to errors.

    Raises:
        NiahError: no connection, a server's refusal, another checksum, or no room to write.
    """
    if destination.is_file() and sha256 in ("", sha256_of(destination)):
        return destination
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".fetch-") as folder:
            part = Path(folder) / "part"
            found = _stream(url, part)
            if sha256 and found != sha256:
                raise NiahError(
                    f"{url}: has sha256 {found[:12]}.., not the expected {sha256[:12]}..; {instead}"
                )
            part.replace(destination)
    except (urllib.error.URLError, HTTPException, OSError) as error:
        told = getattr(error, "reason", None) or error
        raise NiahError(f"{url}: cannot be fetched ({told}). {instead}".rstrip()) from error
    return destination


def _stream(url: str, part: Path) -> str:
    """Write the response to `part`, and return its SHA-256."""
    from rich.console import Console
    from rich.progress import Progress

    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response,
        part.open("wb") as file,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        size = _size(response)
        task = progress.add_task(f"fetching {url.rsplit('/', 1)[-1]}", total=size)
        received = 0
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            progress.update(task, advance=len(chunk))
    if size is not None and received != size:
        raise OSError(f"connection closed after {received} of {size} bytes")
    return digest.hexdigest()


def _size(response: HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length")
    return int(length) if length else None
