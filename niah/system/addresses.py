"""Open an http(s) address, and nothing else: other schemes are refused, also where a server redirects to.

A host that does not answer is abandoned after `CONNECT_S`, a silent server after `timeout_s`; one that sends its
headers drop by drop, after `HEADERS_S`.
"""

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPMessage, HTTPResponse
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit, urlunsplit

from niah.system.deadline import within

CONNECT_S = 4.0  # in which a host's name must have been found and the connection made
HEADERS_S = 60.0  # in which a server's headers must have come
_LEFT_AS_THEY_ARE = "/%:@!$&'()*+,;=~"


def opened(url: str, headers: Mapping[str, str], timeout_s: float) -> HTTPResponse:
    """Send a GET request and return the answer, its body unread.

    Args:
        url: http or https.
        headers: of the request.
        timeout_s: seconds without any bytes after which a server is abandoned.

    Raises:
        OSError: no connection, a refusal by the server, or another scheme (`URLError` is one).
        HTTPException, ValueError: an answer that is not HTTP, or no address.
    """
    request = urllib.request.Request(quoted(url), headers=dict(headers))
    _only_http(request.full_url)
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(),
        _Https(),
        Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    response: HTTPResponse = director.open(request, timeout=timeout_s)
    return response


def quoted(url: str) -> str:
    """Return the address in ASCII: a host in its international form, other letters percent-quoted."""
    split = urlsplit(url)
    host = split.netloc if split.netloc.isascii() else split.netloc.encode("idna").decode()
    path = quote(split.path, safe=_LEFT_AS_THEY_ARE)
    return urlunsplit((split.scheme, host, path, quote(split.query, _LEFT_AS_THEY_ARE + "?"), ""))


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http(s) only, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request that follows a redirection; see `urllib.request`."""
        _only_http(newurl)
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise URLError("the server redirects from https to http, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _only_http(url: str) -> None:
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname:
        raise URLError(f"{url[:60]!r} is no http:// or https:// address")


def _connected(address: tuple[str, int], *args: Any) -> socket.socket:
    """Look up a host's name and connect to one of its addresses, all within `CONNECT_S`."""
    return within(CONNECT_S, lambda: socket.create_connection(address, *args))


class _Bounded(http.client.HTTPConnection):
    """A connection that is made in `CONNECT_S`, and whose headers come in `HEADERS_S`, or not at all."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._create_connection = _connected

    def getresponse(self) -> HTTPResponse:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            with suppress(OSError, AttributeError):  # closed at this moment
                self.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(HEADERS_S, give_up)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException):
            if not late.is_set():
                raise
        finally:
            timer.cancel()
        if late.is_set():
            raise TimeoutError(f"no whole answer in {HEADERS_S:g} s")
        return response


class _BoundedSecure(_Bounded, http.client.HTTPSConnection):
    """The same over TLS."""


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_Bounded, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        settings: dict[str, Any] = {"context": ssl.create_default_context()}
        return self.do_open(_BoundedSecure, req, **settings)
