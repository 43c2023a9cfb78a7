"""Fixtures of downloads: the server, and a place in the cache."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.file_site import Content


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
