"""Weights: beside the card, fetched whole or not at all, checked; and what is said when they cannot be had."""

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import niah
from niah.cards import ModelCard, Weights, model_cards
from niah.download import sha256_of
from niah.errors import NiahError
from niah.weights import is_cached, local_path, resolve
from tests import tiny


def card(folder: Path, **given: str) -> ModelCard:
    return ModelCard(
        name="mine",
        adapter="tests.tiny:Tiny",
        labels="labels.csv",
        weights={"own": Weights(**given)},
        path=folder / "mine.toml",
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tiny.checkpoint(tmp_path)


@dataclass(frozen=True)
class Server:
    """A server of one folder, and the paths that were asked of it."""

    url: str
    asked: list[str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: ARG002
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield Server(f"http://127.0.0.1:{http.server_address[1]}", asked)
        http.shutdown()


def test_embedded_weights_lie_beside_their_card(weights: Path) -> None:
    mine = card(weights.parent, file=weights.name, sha256=sha256_of(weights))
    assert resolve(mine, "own") == weights
    assert is_cached(mine, "own")


def test_embedded_weights_that_were_changed_are_refused(weights: Path) -> None:
    mine = card(weights.parent, file=weights.name, sha256="0" * 64)
    with pytest.raises(NiahError, match="checksum differs from the card of 'mine'"):
        resolve(mine, "own")


def test_a_model_without_released_weights_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="no released weights: give --checkpoint FILE"):
        resolve(replace(card(tmp_path), weights={}), "")


def test_weights_that_a_person_must_fetch_say_where_and_where_to(tmp_path: Path) -> None:
    mine = card(tmp_path, by_hand="https://example.org/x?dl=1", file_name="x.pth")
    with pytest.raises(NiahError) as caught:
        resolve(mine, "own")
    told = str(caught.value)
    assert "https://example.org/x?dl=1" in told
    assert "called x.pth" in told
    target = local_path(mine, mine.weights["own"])
    assert target is not None
    assert str(target) in told
    target.parent.mkdir(parents=True)
    target.write_bytes(b"here now")
    assert resolve(mine, "own") == target


def test_weights_are_fetched_once(weights: Path, server: Server) -> None:
    mine = card(weights.parent, url=f"{server.url}/{weights.name}", sha256=sha256_of(weights))
    assert not is_cached(mine, "own")
    fetched = resolve(mine, "own")
    assert fetched.read_bytes() == weights.read_bytes()
    assert is_cached(mine, "own")
    assert resolve(mine, "own") == fetched
    assert len(server.asked) == 1
    fetched.unlink()


def test_fetched_weights_of_another_checksum_are_not_kept(weights: Path, server: Server) -> None:
    mine = card(weights.parent, url=f"{server.url}/{weights.name}", sha256="0" * 64)
    with pytest.raises(NiahError, match=r"has sha256 .*, not the expected 000000000000"):
        resolve(mine, "own")
    assert not is_cached(mine, "own")


def test_a_fetched_file_that_was_damaged_later_is_told(weights: Path, server: Server) -> None:
    mine = card(weights.parent, url=f"{server.url}/{weights.name}", sha256=sha256_of(weights))
    fetched = resolve(mine, "own")
    fetched.write_bytes(b"rotten")
    with pytest.raises(NiahError, match="checksum differs"):
        resolve(mine, "own")
    fetched.unlink()


@pytest.mark.parametrize("path", ["nowhere.safetensors", "../x"])
def test_an_address_that_does_not_answer(tmp_path: Path, server: Server, path: str) -> None:
    mine = card(tmp_path, url=f"{server.url}/{path}", sha256="0" * 64)
    with pytest.raises(NiahError, match="cannot be fetched"):
        resolve(mine, "own")


def test_the_hub_out_of_reach_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no network\nand more lines")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    mine = card(tmp_path, hub="someone/something")
    with pytest.raises(NiahError) as caught:
        resolve(mine, "own")
    told = str(caught.value)
    assert told.startswith("the weights of 'mine' (model.safetensors of huggingface.co/someone/so")
    assert "give it with --checkpoint" in told
    assert "\n" not in told


def test_shipped_weights_are_there_and_small() -> None:
    shipped = [(each, name) for each in model_cards() for name, w in each.weights.items() if w.file]
    for each, name in shipped:
        path = resolve(each, name)
        assert path.stat().st_size < 6_000_000
        adapter = niah.load_model(each.name)
        assert torch.isfinite(adapter.logits(torch.zeros(1, 1024, 128))).all()
        assert each.weights[name].sha256 == sha256_of(path)
