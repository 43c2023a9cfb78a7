"""Fetch one file over http(s) into a part file, which a later call resumes.

A part is resumable where its content is known to be unchanged: the card has a checksum, which is verified at the end,
or the server sent an ETag, which is stored beside the part in `<part>.tag`. Any other part is fetched anew.
A server that is silent for `TIMEOUT_S`, or sends less than `LEAST_BYTES_PER_S` over `WINDOW_S`, is abandoned.
"""

import errno
import os
import re
import shutil
import time
from http.client import HTTPResponse
from pathlib import Path
from urllib.error import HTTPError

from niah.system.addresses import opened
from niah.system.verbosity import is_quiet

TIMEOUT_S = 30.0
WINDOW_S = 60.0
LEAST_BYTES_PER_S = 1000.0
_CHUNK_BYTES = 1 << 18
_RANGE_REFUSED = 416
_PARTIAL = 206


def transfer(url: str, part: Path, *, verified: bool, shown: str) -> bool:
    """Fetch the content of `url` into `part`, resuming it; return whether it was resumed.

    Args:
        url: http(s) address.
        part: file; it stays when the connection breaks, if it is resumable.
        verified: the caller verifies the checksum.
        shown: name in the progress bar.

    Raises:
        OSError, HTTPException, ValueError: no connection, a refusal, a body cut short, or too slow.
    """
    had, tag = _begun(part, verified)
    headers = {"Range": f"bytes={had}-"} if had else {}
    if had and tag:
        headers["If-Range"] = tag
    try:
        response = opened(url, headers, TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if not had or error.code != _RANGE_REFUSED:
            raise
        discard(part)  # longer than what the server has now
        return transfer(url, part, verified=verified, shown=shown)
    with response:
        if had and response.status == _PARTIAL and _first_byte(response) != had:
            discard(part)
            return transfer(url, part, verified=verified, shown=shown)
        had = had if response.status == _PARTIAL else 0
        _note_tag(part, response, verified)
        try:
            _receive(response, part, had, shown)
        except BaseException:  # Ctrl-C too
            if not is_resumable(part):
                discard(part)
            raise
    return had > 0


def discard(part: Path) -> None:
    """Remove a part and its ETag."""
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def is_resumable(part: Path) -> bool:
    """Return whether a later call would resume this part."""
    return _tag(part).is_file() and part.is_file() and part.stat().st_size > 0


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _begun(part: Path, verified: bool) -> tuple[int, str]:
    """Return the number of bytes to resume from, and their ETag."""
    if not is_resumable(part):
        discard(part)
        return 0, ""
    tag = _tag(part).read_text("latin-1")
    if not tag and not verified:
        discard(part)
        return 0, ""
    return part.stat().st_size, tag


def _note_tag(part: Path, response: HTTPResponse, verified: bool) -> None:
    """Write the ETag beside the part: "" where only a checksum is known, no file where neither is."""
    tag = response.headers.get("ETag", "")
    strong = tag if re.fullmatch(r'"[!-~]*"', tag) else ""
    if strong or verified:
        _tag(part).write_text(strong, "latin-1")
    else:
        _tag(part).unlink(missing_ok=True)


def _receive(response: HTTPResponse, part: Path, had: int, shown: str) -> None:
    """Append the body to the first `had` bytes of `part`."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    size = _size(response)
    if size is not None and size > shutil.disk_usage(part.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    received, pace = 0, _Pace()
    with (
        part.open("r+b" if had else "wb") as file,
        Progress(console=Console(stderr=True), transient=True, disable=is_quiet()) as progress,
    ):
        file.seek(had)
        task = progress.add_task(
            f"fetching {escape(shown)}", total=None if size is None else had + size, completed=had
        )
        while chunk := response.read1(_CHUNK_BYTES):  # read() would wait for a whole chunk
            file.write(chunk)
            received += len(chunk)
            progress.update(task, advance=len(chunk))
            pace.check(received)
        file.flush()
        os.fsync(file.fileno())
    if size is not None and received != size:
        raise OSError(f"connection closed after {had + received} of {had + size} bytes")


class _Pace:
    """Abandon a body that comes too slowly."""

    def __init__(self) -> None:
        self.since_s = time.monotonic()
        self.received = 0

    def check(self, received: int) -> None:
        """Check the rate once every `WINDOW_S`."""
        passed_s = time.monotonic() - self.since_s
        if passed_s < WINDOW_S:
            return
        rate = (received - self.received) / passed_s
        if rate < LEAST_BYTES_PER_S:
            raise TimeoutError(f"too slow: {rate:.0f} bytes a second over {passed_s:.0f} s")
        self.since_s, self.received = time.monotonic(), received


def _size(response: HTTPResponse) -> int | None:
    """Return the size that the headers state; None without one."""
    length = response.headers.get("Content-Length")
    if length is None or response.chunked:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", length.strip()):
        raise ValueError(f"the server's Content-Length {length[:20]!r} is no number")
    return int(length)


def _first_byte(response: HTTPResponse) -> int:
    """Return the byte where a partial answer begins; -1 if the headers do not state it."""
    match = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1
