"""A card of the tiny tagger, and a server of its weights."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from niah.adapters.weights import resolve
from niah.cards import ModelCard, Weights
from niah.errors import NiahError


def card(folder: Path, **given: str) -> ModelCard:
    return ModelCard(
        name="mine",
        adapter="tests.helpers.tiny:TinyTagger",
        labels="labels.csv",
        weights={"own": Weights(**given)},
        path=folder / "mine.toml",
    )


@dataclass(frozen=True)
class Server:
    """A server of one folder, and the paths that were asked of it."""

    url: str
    asked: list[str]


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of this machine for as long as the block lasts; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def refused(mine: ModelCard) -> str:
    """Return the refusal of `resolve`, which must be one line."""
    with pytest.raises(NiahError) as caught:
        resolve(mine, "own")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def hub_lies_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the endpoint, as `HF_ENDPOINT` does when the library is imported."""
    rest = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + rest)
