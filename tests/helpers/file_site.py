"""A server of one file on this machine, whole, cut, dripped or redirected as its paths say; and refused fetches."""

import hashlib
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.system.download import cache_folder, fetch

CONTENT = bytes(range(256)) * 400


SHA256 = hashlib.sha256(CONTENT).hexdigest()


ETAG = '"first"'


class Site(BaseHTTPRequestHandler):
    """One file, `content`, cut or dripped as its path says; ranges are answered unless the path says `whole`."""

    protocol_version = "HTTP/1.0"

    @property
    def site(self) -> "Content":
        assert isinstance(self.server, Content)
        return self.server

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""

    def do_GET(self) -> None:
        self.site.requests.append((self.path, self.headers.get("Range", "")))
        answer: Callable[[], None] = getattr(self, f"give_{self.path.split('/')[1]}", self.give)
        answer()

    def head(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def give(self, cut: int | None = None, ranges: bool = True, etag: str = "") -> None:
        content, tag = self.site.content, {"ETag": etag} if etag else {}
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if ranges else 0
        if etag and self.headers.get("If-Range", etag) != etag:
            start = 0
        if start > len(content):
            self.send_error(416)
            return
        if start:
            tag["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.head(206 if start else 200, Content_Length=str(len(content) - start), **tag)
        self.wfile.write(content[start:] if cut is None else content[start:cut])

    def give_cut(self) -> None:
        """The first half, to those who ask for the first time."""
        self.give(len(self.site.content) // 2 if len(self.site.requests) == 1 else None)

    def give_tagged(self) -> None:
        half = len(self.site.content) // 2 if len(self.site.requests) == 1 else None
        self.give(half, etag=self.site.etag)

    def give_heedless(self) -> None:
        """As `tagged`, without a look at If-Range."""
        del self.headers["If-Range"]
        self.give_tagged()

    def give_whole(self) -> None:
        self.give(
            len(self.site.content) // 2 if len(self.site.requests) == 1 else None, ranges=False
        )

    def give_elsewhere(self) -> None:
        """A range other than the requested one."""
        if self.headers.get("Range"):
            self.head(206, Content_Range=f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.wfile.write(CONTENT[7:])
        else:
            self.give_cut()

    def give_busy(self) -> None:
        """`/busy/STATUS/TIMES/RETRY-AFTER`: the file after so many refusals."""
        _, _, status, times, wait = self.path.split("/")
        if len(self.site.requests) <= int(times):
            self.send_response_only(int(status), "")
            self.send_header("Retry-After", wait)
            self.end_headers()
        else:
            self.give()

    def give_range(self) -> None:
        """A range that was not requested; to those who request one, the first ten bytes of it."""
        start = int(self.headers.get("Range", "bytes=7-")[6:-1])
        end = start + 10 if "Range" in self.headers else len(CONTENT)
        self.head(206, ETag=ETAG, Content_Range=f"bytes {start}-{end - 1}/{len(CONTENT)}")
        self.wfile.write(CONTENT[start:end])

    def give_torn(self) -> None:
        """Half, and then ten bytes of the rest as if it were all."""
        if "Range" in self.headers:
            self.give_range()
        else:
            self.give(len(CONTENT) // 2, etag=ETAG)

    def give_packed(self) -> None:
        self.head(Content_Encoding="gzip")
        self.wfile.write(CONTENT)

    def give_lengths(self) -> None:
        self.send_response(200)
        for length in (5, len(CONTENT)):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(CONTENT)

    def give_endless(self) -> None:
        self.head()
        self.wfile.write(CONTENT)

    def give_gone(self) -> None:
        self.send_error(404)

    def give_length(self) -> None:
        self.head(Content_Length=self.path.split("/")[2])
        self.wfile.write(CONTENT)

    def give_chunked(self) -> None:
        self.protocol_version = "HTTP/1.1"
        self.head(Transfer_Encoding="chunked")
        self.wfile.write(b"64\r\nabc")
        self.close_connection = True

    def give_noise(self) -> None:
        self.wfile.write(b"\x00\x01 not http at all\r\n\r\n")

    def give_redirect(self) -> None:
        self.head(302, Location=self.site.location)

    def give_drip(self) -> None:
        self.head(Content_Length="100000")
        self.drip()

    def give_headers(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        self.drip()

    def drip(self) -> None:
        for _ in range(200):
            time.sleep(0.02)
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                return


class Content(ThreadingHTTPServer):
    """The site's server: its content, and the requests that it got."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Site)
        self.content, self.etag, self.location = CONTENT, ETAG, ""
        self.requests: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def refused(url: str, sha256: str, target: Path) -> str:
    """Return the refusal of `fetch`, which must be one line and leave no file."""
    with pytest.raises(NiahError) as caught:
        fetch(url, sha256, target, instead="Or do that instead")
    message = str(caught.value)
    assert message.isprintable()
    assert not target.exists()
    return message


def parts() -> list[str]:
    """Return the endings of the files in the cache's folder of parts, without locks."""
    found = (file.name.partition(".")[2] for file in (cache_folder() / "parts").iterdir())
    return sorted(name for name in found if name != "lock")
