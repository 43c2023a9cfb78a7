"""Addresses: http and https alone, also where a server redirects to."""

import urllib.request
from email.message import Message
from http.client import HTTPMessage
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import pytest

from niah.system.addresses import Redirects, quoted
from niah.system.download import fetch
from tests.helpers.file_site import CONTENT, SHA256, Content, refused


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
    assert site.requests[0][0] == "/%C3%A9%20%E7%8C%AB.pth"
    assert quoted("https://b\u00fccher.example/a%20b?q=\u00e9#x") == (
        "https://xn--bcher-kva.example/a%20b?q=%C3%A9"
    )
