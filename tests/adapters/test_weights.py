"""Weights: beside the card, fetched whole or not at all, checked; and what is said when they cannot be had."""

import argparse
import functools
import socket
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
import niah.training.command as train_command
from niah.adapters.checkpoints import read_state
from niah.adapters.weights import is_cached, local_path, resolve
from niah.cards import ModelCard, Weights, find_model, model_cards
from niah.errors import NiahError
from niah.system import addresses
from niah.system import hub as hub_module
from niah.system.download import sha256_of
from niah.training.recipes import Recipe
from tests.helpers import tiny
from tests.helpers.bad_names import BAD_NAMES


def card(folder: Path, **given: str) -> ModelCard:
    return ModelCard(
        name="mine",
        adapter="tests.helpers.tiny:TinyTagger",
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
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
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
    monkeypatch.setattr("niah.system.transfer.TIMEOUT_S", 0.3)
    with serving(Mute) as url:
        mine = card(tmp_path / "silent", url=f"{url}/silent.pth", sha256="0" * 64)
        begin = time.monotonic()
        with pytest.raises(NiahError, match=r"silent\.pth: cannot be fetched \(timed out\)"):
            resolve(mine, "own")
        assert time.monotonic() - begin < 1.5
    target = local_path(mine, mine.weights["own"])
    assert target is not None
    assert not list(target.parent.iterdir())  # what came lies apart, to go on from


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
    commit = COMMIT
    location = ""
    sent = 0  # bytes of the body before the connection ends
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()
        self.wfile.write(self.content[: self.sent])

    def answer(self) -> None:
        if "/resolve/" in self.path:  # the library also asks for what is no file
            type(self).asked.append(f"{self.command} {self.path}")
        self.send_response(302 if self.location else 200)
        if self.location:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{self.etag}"')
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def hub_lies_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the endpoint, as `HF_ENDPOINT` does when the library is imported."""
    rest = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + rest)


@pytest.fixture
def hub(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    Hub.content, Hub.etag, Hub.asked = weights.read_bytes(), sha256_of(weights), []
    Hub.commit, Hub.location, Hub.sent = COMMIT, "", len(Hub.content)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving(Hub) as url:
        hub_lies_at(url, monkeypatch)
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


def refused(mine: ModelCard) -> str:
    """Return the refusal of `resolve`, which must be one line."""
    with pytest.raises(NiahError) as caught:
        resolve(mine, "own")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("etag", "../../../../../evil", "no ETag to name a file after"),
        ("etag", "..", "no ETag"),
        ("etag", "/abs", "no ETag"),
        ("commit", "../../../evil", "is no commit"),
        ("commit", "main", "is no commit"),
        ("location", "file:///etc/hostname", ""),
        ("location", "ftp://127.0.0.1/x", ""),
        ("sent", 10, ""),
    ],
)
def test_a_hub_that_cannot_be_believed_is_one_line(
    hub: type[Hub],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    value: str | int,
    told: str,
) -> None:
    monkeypatch.setattr(hub, part, value)
    said = refused(card(tmp_path, hub="someone/something"))
    assert "could not be fetched" in said
    assert told in said
    assert not list(tmp_path.rglob("*evil*"))
    assert not list((tmp_path / "hub").rglob("blobs/?*"))


def test_a_file_that_leads_out_of_the_hubs_cache_is_refused(
    hub: type[Hub], tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del hub
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(weights))
    assert "leads out of" in refused(card(tmp_path, hub="someone/something"))


def test_a_page_in_place_of_hub_weights_is_refused(hub: type[Hub], tmp_path: Path) -> None:
    hub.content = b"<!doctype html><title>Log in</title>"
    hub.etag, hub.sent = "a" * 40, 1000
    told = refused(card(tmp_path, hub="someone/something"))
    assert "holds no weights: it is a web page; remove the file" in told


def test_the_hub_out_of_reach_is_told_at_once(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = card(tmp_path, hub="someone/something")
    resolve(card(tmp_path, hub="someone/else"), "own")
    asked = len(hub.asked)
    hub_lies_at("http://127.0.0.1:9", monkeypatch)
    begin = time.monotonic()
    told = refused(mine)
    assert time.monotonic() - begin < 2
    assert told.startswith("the weights of 'mine' (model.safetensors of huggingface.co/someone/so")
    assert "127.0.0.1:9 does not give it" in told
    assert told.endswith(". Download the file elsewhere and give it with --checkpoint")
    assert ".." not in told
    assert resolve(card(tmp_path, hub="someone/else"), "own").is_file()  # from the cache
    assert len(hub.asked) == asked


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_hub_that_never_answers_is_told_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def load() -> None:
        if command == "run":
            niah.load_model("dass-medium")
        recipe = Recipe(model="dass-small", teacher=("ast",))
        train_command.load_teachers(recipe, torch.device("cpu"))

    assert hub_module._PATIENCE_S < 5
    assert addresses.CONNECT_S < 5
    monkeypatch.setattr("niah.system.hub._PATIENCE_S", 0.3)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    begin = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        hub_lies_at(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        with pytest.raises(
            NiahError, match=r"does not give it: (no answer in 0\.3 s|timed out)\. "
        ) as told:
            load()
    assert time.monotonic() - begin < 3
    fix = "--checkpoint" if command == "run" else "--set teacher_file=FILE"
    assert str(told.value).endswith(f"Download the file elsewhere and give it with {fix}")


def test_a_host_that_drops_packets_is_told_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niah.system.addresses.CONNECT_S", 0.2)
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: time.sleep(3))
    begin = time.monotonic()
    told = refused(card(tmp_path, url="http://198.51.100.1/w.pth", sha256="0" * 64))
    assert time.monotonic() - begin < 2
    assert "cannot be fetched (no answer in 0.2 s)" in told


def test_offline_mode_asks_nobody(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = card(tmp_path, hub="someone/else")
    resolve(here, "own")
    asked = len(hub.asked)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert resolve(here, "own").is_file()
    assert "HF_HUB_OFFLINE is set" in refused(card(tmp_path, hub="someone/something"))
    assert len(hub.asked) == asked


# --- names that lead elsewhere, on a card that did not come through the door


@pytest.mark.parametrize(
    ("place", "bad"),
    [
        (place, bad)
        for place in ("name", "key", "file_name")
        for bad in BAD_NAMES
        if bad or place == "name"  # the other two are then not given
    ],
)
def test_no_name_leads_a_fetch_out_of_the_cache(
    weights: Path, server: Server, place: str, bad: str
) -> None:
    file_name = bad if place == "file_name" else "x.pth"
    own = Weights(url=f"{server.url}/{weights.name}", file_name=file_name)
    twin = Weights(by_hand="https://example.org", file_name=file_name)  # so that the key counts
    key = bad if place == "key" else "own"
    mine = replace(card(weights.parent), weights={key: own, "twin": twin})
    mine = replace(mine, name=bad) if place == "name" else mine
    with pytest.raises(NiahError, match="a name that becomes a file's"):
        resolve(mine, key)
    assert not server.asked


@pytest.mark.parametrize("bad", ["../outside.safetensors", "link.safetensors", "folder/x"])
def test_embedded_weights_stay_below_their_cards_folder(weights: Path, bad: str) -> None:
    folder = weights.parent / "card"
    folder.mkdir()
    outside = weights.rename(weights.with_name("outside.safetensors"))
    (folder / "link.safetensors").symlink_to(outside)
    (folder / "folder").symlink_to(outside.parent)
    assert "leads out of" in refused(card(folder, file=bad))


def test_a_strangers_card_does_not_fill_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    shipped = find_model("ast")[0]
    own = shipped.weights["official"]
    stranger = replace(shipped, path=tmp_path / "ast.toml")
    assert local_path(stranger, own) != local_path(shipped, own)
    other = replace(own, url="https://example.org/other")
    assert local_path(replace(stranger, weights={"official": other}), other) != local_path(
        stranger, own
    )


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/b.pth", "b.pth"),
        ("https://example.org/a/b.pth?dl=1", "b.pth"),
        ("https://example.org/a/..", "weights"),
        ("https://example.org/.hidden", "weights"),
        ("https://example.org", "weights"),
        ("https://example.org/" + "x" * 300, "weights"),
    ],
)
def test_a_file_is_called_as_its_address_ends(tmp_path: Path, url: str, name: str) -> None:
    mine = card(tmp_path, url=url)
    path = local_path(mine, mine.weights["own"])
    assert path is not None
    assert path.name == name


def test_a_fetched_file_that_does_not_load_says_how_to_fetch_it_again(
    weights: Path, server: Server
) -> None:
    weights.write_bytes(weights.read_bytes()[:200] + b"\x80")  # cut: no checksum, no length told
    mine = card(weights.parent, url=f"{server.url}/{weights.name}")
    fetched = resolve(mine, "own")
    with pytest.raises(NiahError, match=r"remove .* to fetch it again") as caught:
        read_state(fetched)
    assert str(fetched) in str(caught.value)
    with pytest.raises(NiahError) as caught:
        read_state(weights)
    assert "fetch it again" not in str(caught.value)  # a file of the user's own
    fetched.unlink()


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
