"""Downloads: into the cache alone, over http(s) alone, whole or not at all, gone on from, and given up in time."""

import hashlib
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import pytest
from filelock import FileLock

from niah.errors import NiahError
from niah.system.addresses import Redirects, quoted
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
        self.site.asked.append((self.path, self.headers.get("Range", "")))
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
        self.give(len(self.site.content) // 2 if len(self.site.asked) == 1 else None)

    def give_tagged(self) -> None:
        half = len(self.site.content) // 2 if len(self.site.asked) == 1 else None
        self.give(half, etag=self.site.etag)

    def give_whole(self) -> None:
        self.give(len(self.site.content) // 2 if len(self.site.asked) == 1 else None, ranges=False)

    def give_elsewhere(self) -> None:
        """A range that was not asked for."""
        if self.headers.get("Range"):
            self.head(206, Content_Range=f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.wfile.write(CONTENT[7:])
        else:
            self.give_cut()

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
    """The site's server: what it gives, and what it was asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Site)
        self.content, self.etag, self.location = CONTENT, ETAG, ""
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def site() -> Iterator[Content]:
    with Content() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file below a cache of the test's own, not there yet."""
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights" / "file"


def refused(url: str, sha256: str, target: Path) -> str:
    """What `fetch` says, which must be one line, with nothing placed."""
    with pytest.raises(NiahError) as caught:
        fetch(url, sha256, target, instead="Or do that instead")
    told = str(caught.value)
    assert told.isprintable()
    assert not target.exists()
    return told


def parts() -> list[str]:
    """Endings of what lies in the cache's folder of parts, locks left out."""
    found = (file.name.partition(".")[2] for file in (cache_folder() / "parts").iterdir())
    return sorted(name for name in found if name != "lock")


def test_fetch_verifies_and_keeps(site: Content, target: Path) -> None:
    assert fetch(f"{site.url}/file", SHA256, target).read_bytes() == CONTENT
    assert fetch("http://127.0.0.1:9/unreachable", SHA256, target) == target  # no second time
    target.write_bytes(b"damaged")
    assert fetch(f"{site.url}/file", SHA256.upper(), target).read_bytes() == CONTENT
    assert parts() == []


@pytest.mark.parametrize("path", ["gone", "file"])
def test_fetch_leaves_nothing_when_it_fails(site: Content, target: Path, path: str) -> None:
    assert "Or do that instead" in refused(f"{site.url}/{path}", "0" * 64, target)
    assert parts() == []


# --- where to


def test_a_file_outside_of_the_cache_is_never_written(
    site: Content, target: Path, tmp_path: Path
) -> None:
    target.parent.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "cache" / "folder").symlink_to(tmp_path)
    target.symlink_to(victim)
    (tmp_path / "cache" / "circle").symlink_to(tmp_path / "cache" / "circle")
    for path in (
        victim,
        target,
        tmp_path / "cache" / "folder" / "victim",
        tmp_path / "cache" / ".." / "victim",
        tmp_path / "cache" / "folder" / "new",
    ):
        with pytest.raises(NiahError, match="leads out of"):
            fetch(f"{site.url}/file", SHA256, path)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "new").exists()
    assert not site.asked


def test_a_cache_that_is_itself_a_link_is_taken(
    site: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    assert fetch(f"{site.url}/file", SHA256, tmp_path / "cache" / "a" / "b").is_file()


# --- where from


@pytest.mark.parametrize(
    "url",
    ["x", "/", "//", "file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "http://[::1"],
)
def test_only_http_addresses_are_opened(target: Path, url: str) -> None:
    assert "must be an http:// or https:// address" in refused(url, "", target)


@pytest.mark.parametrize(
    "location",
    ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "http://[::1", "http://"],
)
def test_a_redirect_to_something_else_is_refused(
    site: Content, target: Path, location: str
) -> None:
    site.location = location
    assert "cannot be fetched" in refused(f"{site.url}/redirect", "", target)


def test_a_redirect_to_http_is_followed(site: Content, target: Path) -> None:
    site.location = f"{site.url}/file"
    assert fetch(f"{site.url}/redirect", SHA256, target).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("start", "end", "followed"),
    [
        ("https://a/x", "https://b/x", True),
        ("http://a/x", "https://a/x", True),
        ("http://a/x", "http://b/x", True),
        ("https://a/x", "http://a/x", False),
        ("https://a/x", "file:///x", False),
        ("http://a/x", "ftp://a/x", False),
    ],
)
def test_a_redirect_never_goes_from_https_to_http(start: str, end: str, followed: bool) -> None:
    headers = HTTPMessage()
    assert isinstance(headers, Message)
    request = urllib.request.Request(start)

    def ask() -> urllib.request.Request | None:
        return Redirects().redirect_request(request, BytesIO(), 302, "Found", headers, end)

    if followed:
        found = ask()
        assert found is not None
        assert found.full_url == end
    else:
        with pytest.raises(URLError):
            ask()


def test_letters_outside_ascii_are_quoted(site: Content, target: Path) -> None:
    assert fetch(f"{site.url}/\u00e9 \u732b.pth", SHA256, target).is_file()
    assert site.asked[0][0] == "/%C3%A9%20%E7%8C%AB.pth"
    assert quoted("https://b\u00fccher.example/a%20b?q=\u00e9#x") == (
        "https://xn--bcher-kva.example/a%20b?q=%C3%A9"
    )


# --- what comes


@pytest.mark.parametrize(
    "path", ["length/abc", "length/-5", "length/99999999999999999", "chunked", "noise"]
)
@pytest.mark.parametrize("sha256", ["", SHA256])
def test_a_broken_answer_is_one_line(site: Content, target: Path, path: str, sha256: str) -> None:
    assert "cannot be fetched" in refused(f"{site.url}/{path}", sha256, target)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html><title>Log in</title>\xff", "it is a web page"),
        (b"<html>\xe9</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b'{"error": "not today"}', "it is text"),
    ],
)
def test_without_a_checksum_no_text_is_taken(
    site: Content, target: Path, body: bytes, told: str
) -> None:
    site.content = body
    assert told in refused(f"{site.url}/file", "", target)
    assert parts() == []
    site.content = CONTENT  # the server is right again
    assert fetch(f"{site.url}/file", "", target).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("page", "limit", "message"),
    [
        ("drip", "niah.system.transfer.WINDOW_S", "too slow: "),
        ("headers", "niah.system.addresses.HEADERS_S", "no whole answer in 0.2 s"),
    ],
)
def test_a_server_that_drips_is_abandoned(
    site: Content,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    limit: str,
    message: str,
) -> None:
    monkeypatch.setattr(limit, 0.2)
    begin = time.monotonic()
    assert message in refused(f"{site.url}/{page}", "", target)
    assert time.monotonic() - begin < 1
    assert parts() == []


# --- going on


@pytest.mark.parametrize(
    ("path", "sha256", "second"),
    [
        ("cut", SHA256, f"bytes={len(CONTENT) // 2}-"),
        ("whole", SHA256, f"bytes={len(CONTENT) // 2}-"),  # and gets all of it
        ("tagged", SHA256, f"bytes={len(CONTENT) // 2}-"),
        ("tagged", "", f"bytes={len(CONTENT) // 2}-"),
        ("cut", "", ""),  # nothing says that it is the same file still
    ],
)
def test_a_download_that_was_cut_is_gone_on_from(
    site: Content, target: Path, path: str, sha256: str, second: str
) -> None:
    told = refused(f"{site.url}/{path}", sha256, target)
    assert f"connection closed after {len(CONTENT) // 2} of {len(CONTENT)} bytes" in told
    assert parts() == (["part", "part.tag"] if second else [])
    assert fetch(f"{site.url}/{path}", sha256, target).read_bytes() == CONTENT
    assert [each[1] for each in site.asked] == ["", second]
    assert parts() == []


def test_another_file_under_the_same_address_is_not_mixed_in(site: Content, target: Path) -> None:
    refused(f"{site.url}/tagged", "", target)
    site.content, site.etag = CONTENT[::-1], '"second"'
    assert fetch(f"{site.url}/tagged", "", target).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("path", ["cut", "elsewhere"])
def test_a_wrong_part_is_fetched_anew(site: Content, target: Path, path: str) -> None:
    refused(f"{site.url}/{path}", SHA256, target)
    (part,) = (cache_folder() / "parts").glob("*.part")
    part.write_bytes(b"x" * (len(CONTENT) // 2))
    assert fetch(f"{site.url}/{path}", SHA256, target).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_fetched_anew(site: Content, target: Path) -> None:
    refused(f"{site.url}/cut", SHA256, target)
    (part,) = (cache_folder() / "parts").glob("*.part")
    part.write_bytes(b"x" * (len(CONTENT) + 9))
    assert fetch(f"{site.url}/cut", SHA256, target).read_bytes() == CONTENT


def test_a_whole_part_is_taken_without_asking(site: Content, target: Path) -> None:
    """Of a process that was killed before it could rename it."""
    refused(f"{site.url}/cut", SHA256, target)
    (part,) = (cache_folder() / "parts").glob("*.part")
    part.write_bytes(CONTENT)
    fetch(f"{site.url}/cut", SHA256, target)
    assert len(site.asked) == 1


# --- leftovers


def leave(name: str, *, tag: bool, days: float = 0.0) -> Path:
    """A part of another address, as a killed process leaves it."""
    folder = cache_folder() / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.part"
    part.write_bytes(b"some")
    if tag:
        (folder / f"{name}.part.tag").write_text(ETAG)
    then = time.time() - 86400 * days
    os.utime(part, (then, then))
    return part


def test_leftovers_of_killed_processes_are_swept(site: Content, target: Path) -> None:
    useless, old = leave("a", tag=False), leave("b", tag=True, days=8)
    useful, live = leave("c", tag=True), leave("d", tag=False)
    orphan = cache_folder() / "parts" / "e.part.tag"
    orphan.write_text("")
    former = target.parent / ".fetch-abc"
    former.mkdir(parents=True)
    (former / "part").write_bytes(b"x")
    os.utime(former, (0, 0))
    with FileLock(live.with_suffix(".lock")):  # another process is at it
        fetch(f"{site.url}/file", SHA256, target)
    assert [part.exists() for part in (useless, old, useful, live)] == [False, False, True, True]
    assert not orphan.exists()
    assert not former.exists()


def test_two_that_want_one_file_fetch_it_once(site: Content, target: Path) -> None:
    threads = [
        threading.Thread(target=fetch, args=(f"{site.url}/file", SHA256, target)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(site.asked) == 1


def test_who_waits_too_long_for_another_is_told(
    site: Content, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niah.system.download.WAIT_S", 0.1)
    refused(f"{site.url}/cut", SHA256, target)
    (lock,) = (cache_folder() / "parts").glob("*.lock")
    with FileLock(lock):
        assert "another process has been fetching it" in refused(f"{site.url}/cut", SHA256, target)
