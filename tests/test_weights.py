"""Weights: beside the card, fetched whole or not at all, checked; and what is said when they cannot be had."""

import argparse
import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import niah
from niah.cards import ModelCard, Weights, model_cards
from niah.checkpoints import read_state
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


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of this machine for as long as the block lasts; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: ARG002
            asked.append(self.path)

    with serving(functools.partial(Handler, directory=str(tmp_path))) as url:
        yield Server(url, asked)


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
    assert "Get x.pth at " in told
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


def test_an_address_without_a_known_checksum_is_fetched_whole(
    weights: Path, server: Server
) -> None:
    mine = card(weights.parent, url=f"{server.url}/{weights.name}")
    fetched = resolve(mine, "own")
    assert sha256_of(fetched) == sha256_of(weights)
    assert resolve(mine, "own") == fetched
    assert len(server.asked) == 1
    fetched.unlink()


class Mute(BaseHTTPRequestHandler):
    """Promises a file, sends some of it and falls silent."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"some")
        self.wfile.flush()
        time.sleep(2)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_server_that_falls_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niah.download._TIMEOUT_S", 0.3)
    with serving(Mute) as url:
        mine = card(tmp_path / "silent", url=f"{url}/silent.pth", sha256="0" * 64)
        begin = time.monotonic()
        with pytest.raises(NiahError, match=r"silent\.pth: cannot be fetched \(timed out\)"):
            resolve(mine, "own")
        assert time.monotonic() - begin < 1.5
    target = local_path(mine, mine.weights["own"])
    assert target is not None
    assert not list(target.parent.glob("*silent*"))  # nothing half-fetched is left
    assert not list(target.parent.glob(".fetch-*"))


def test_files_of_one_name_lie_apart(tmp_path: Path) -> None:
    one, two = (Weights(by_hand=f"https://example.org/{n}", file_name="best.pth") for n in "12")
    other = Weights(by_hand="https://example.org/3", file_name="other.pth")
    mine = replace(card(tmp_path), weights={"one": one, "two": two, "other": other})
    paths = [local_path(mine, each) for each in (one, two, other)]
    assert len(set(paths)) == 3
    told = [f"{path.parent.name}/{path.name}" for path in paths if path is not None]
    assert told == ["one/best.pth", "two/best.pth", "mine/other.pth"]


# --- the hub, played by a server of this machine

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """`/OWNER/NAME/resolve/REVISION/FILE` as the hub answers: the checksum is the file's ETag."""

    content = b""
    etag = ""
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()
        self.wfile.write(self.content)

    def answer(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{self.etag}"')
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    import huggingface_hub

    Hub.content, Hub.etag, Hub.asked = weights.read_bytes(), sha256_of(weights), []
    with serving(Hub) as url:
        here = {"endpoint": url, "cache_dir": tmp_path / "hub"}
        real = functools.partial(huggingface_hub.hf_hub_download, **here)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", real)
        yield Hub


def test_the_hub_is_asked_for_the_pinned_revision(
    hub: type[Hub], tmp_path: Path, weights: Path
) -> None:
    mine = card(tmp_path, hub="someone/something", revision=COMMIT, sha256=sha256_of(weights))
    fetched = resolve(mine, "own")
    assert fetched.read_bytes() == weights.read_bytes()
    assert hub.asked[0] == f"HEAD /someone/something/resolve/{COMMIT}/model.safetensors"
    assert COMMIT in str(fetched)
    asked = len(hub.asked)
    assert resolve(mine, "own") == fetched
    assert not [each for each in hub.asked[asked:] if each.startswith("GET")]  # fetched once


def test_a_hub_file_is_checked_against_its_card(hub: type[Hub], tmp_path: Path) -> None:
    del hub
    mine = card(tmp_path, hub="someone/something", sha256="0" * 64)
    with pytest.raises(NiahError, match="checksum differs from the card of 'mine'"):
        resolve(mine, "own")


def test_without_a_checksum_on_the_card_the_hubs_own_counts(
    hub: type[Hub], tmp_path: Path, weights: Path
) -> None:
    mine = card(tmp_path, hub="someone/something")
    fetched = resolve(mine, "own")
    assert fetched.read_bytes() == weights.read_bytes()
    spoilt = fetched.resolve()
    spoilt.write_bytes(b"x" * len(hub.content))
    with pytest.raises(NiahError, match="checksum differs from what the hub names it after"):
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


def test_a_trainers_arguments_beside_the_weights_are_no_code(tmp_path: Path) -> None:
    path = tmp_path / "finetuned.pth"
    given = {"weight": torch.ones(2, 2)}
    torch.save({"model": given, "args": argparse.Namespace(lr=1e-3, mask=[0.2])}, path)
    assert torch.equal(read_state(path)["weight"], given["weight"])
