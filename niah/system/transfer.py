"""Fetch one file over http(s) into a part file, which a later call resumes.

A part is resumable where its content is known to be unchanged: the card has a checksum, which is verified at the end,
or the server sent an ETag, which is stored beside the part in `<part>.tag`. Any other part is fetched anew.
A busy server (429, 503 and the like) is asked again twice, after the few seconds that it may state in Retry-After.
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

TIMEOUT_S = 30.0
WINDOW_S = 60.0
LEAST_BYTES_PER_S = 1000.0
WAITS_S = (1.0, 3.0)  # before a busy server is asked again
LONGEST_WAIT_S = 10.0  # that a server may state
MOST_UNSTATED_BYTES = 64 << 30  # of a body whose size no header states: it may have no end
_CHUNK_BYTES = 1 << 18
_RANGE_REFUSED = 416
_PARTIAL = 206
BUSY = (429, 502, 503, 504)


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
        response = _opened(url, headers)
    except HTTPError as error:
        error.close()
        if not had or error.code != _RANGE_REFUSED:
            raise
        discard(part)  # longer than what the server has now
        return transfer(url, part, verified=verified, shown=shown)
    with response:
        is_partial = response.status == _PARTIAL
        if is_partial and (_range(response)[0] != had or _is_another(response, tag)):
            if not had:
                raise ValueError("the server gives a part that was not requested")
            discard(part)
            return transfer(url, part, verified=verified, shown=shown)
        had = had if is_partial else 0
        if not verified:
            _check_plain(response, url)
        _note_tag(part, response, verified)
        try:
            _receive(response, part, had, shown)
        except BaseException:  # Ctrl-C too
            if not is_resumable(part):
                discard(part)
            raise
    return had > 0


def status_text(error: HTTPError) -> str:
    """Return a server's refusal in words: "status 429 Too Many Requests, to be tried again in 3600 s"."""
    wait_s = _retry_after_s(error)
    later = f", to be tried again in {wait_s} s" if wait_s else ""
    return f"status {error.code} {error.reason}".strip() + later


def discard(part: Path) -> None:
    """Remove a part and its ETag."""
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def is_resumable(part: Path) -> bool:
    """Return whether a later call would resume this part."""
    return _tag(part).is_file() and part.is_file() and part.stat().st_size > 0


def _opened(url: str, headers: dict[str, str]) -> HTTPResponse:
    """Send a request, again where the server is busy."""
    for wait_s in WAITS_S:
        try:
            return opened(url, headers, TIMEOUT_S)
        except HTTPError as error:
            stated_s = _retry_after_s(error)
            if error.code not in BUSY or stated_s > LONGEST_WAIT_S:
                raise
            error.close()
            time.sleep(max(wait_s, stated_s))
    return opened(url, headers, TIMEOUT_S)


def _retry_after_s(error: HTTPError) -> int:
    """Return the seconds of Retry-After; 0 for none, or a date."""
    stated = str(error.headers.get("Retry-After") or "").strip()
    return int(stated) if re.fullmatch(r"[0-9]{1,9}", stated) else 0


def _check_plain(response: HTTPResponse, url: str) -> None:
    """Refuse a body that is packed for the way, though none was asked for: it is not the file.

    Raises:
        ValueError: it is.
    """
    coding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if coding != "identity" and not url.partition("?")[0].endswith((".gz", ".tgz")):
        raise ValueError(f"the server packs it ({coding[:20]}), though it was not asked to")


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


def _is_another(response: HTTPResponse, tag: str) -> bool:
    """Return whether a partial answer is of another file than the part's: not every server heeds If-Range."""
    return bool(tag) and response.headers.get("ETag", tag) != tag


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
    from rich.markup import escape

    from niah.system.progress import download_bar

    size, whole = _size(response), _range(response)[1]
    if size is not None and size > shutil.disk_usage(part.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    received, pace = 0, _Pace()
    with (
        part.open("r+b" if had else "wb") as file,
        download_bar() as bar,
    ):
        file.seek(had)
        task = bar.add_task(
            f"fetching {escape(shown)}",
            total=None if size is None else had + size,
            completed=had,
            detail="",
        )
        while chunk := response.read1(_CHUNK_BYTES):  # read() would wait for a whole chunk
            file.write(chunk)
            received += len(chunk)
            bar.advance(task, len(chunk))
            pace.check(received)
            if size is None and received > MOST_UNSTATED_BYTES:
                raise ValueError(f"more than {MOST_UNSTATED_BYTES >> 30} GiB, and no end stated")
        file.flush()
        os.fsync(file.fileno())
    if size is not None and received != size:
        raise OSError(f"connection closed after {had + received} of {had + size} bytes")
    if whole is not None and had + received != whole:
        raise OSError(f"the server gave {had + received} of {whole} bytes")


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
    stated = {length.strip() for length in response.headers.get_all("Content-Length") or ()}
    if not stated or response.chunked:
        return None
    if len(stated) > 1:
        raise ValueError("the server states several lengths")
    (length,) = stated
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise ValueError(f"the server's Content-Length {length[:20]!r} is no number")
    return int(length)


def _range(response: HTTPResponse) -> tuple[int, int | None]:
    """Return the byte where a partial answer begins, -1 if the headers do not state it, and the size of the whole."""
    stated = response.headers.get("Content-Range", "") if response.status == _PARTIAL else ""
    match = re.match(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", stated)
    if not match:
        return -1, None
    return int(match[1]), None if match[2] == "*" else int(match[2])
