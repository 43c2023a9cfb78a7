"""Fixtures of this folder's tests."""

import functools
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from tests.helpers import tiny
from tests.helpers.weight_server import Server, serving


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tiny.checkpoint(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: ARG002
            asked.append(self.path)

    with serving(functools.partial(Handler, directory=str(tmp_path))) as url:
        yield Server(url, asked)
