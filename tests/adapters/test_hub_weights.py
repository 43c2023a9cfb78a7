"""Weights of a hub, played by a server of this machine: pinned, checked, and one line where it cannot be believed."""

import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import niah
from niah.adapters.weights import resolve
from niah.errors import NiahError
from niah.system import addresses
from niah.system import hub as hub_module
from niah.system.download import sha256_of
from niah.training.recipes import Recipe
from niah.training.teachers import load_teachers
from tests.helpers.weight_server import card, hub_lies_at, refused, serving

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
    told = "checksum differs from what the hub names it after; it is removed"
    with pytest.raises(NiahError, match=told):
        resolve(mine, "own")
    assert resolve(mine, "own").read_bytes() == weights.read_bytes()  # fetched again


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
    stored = (tmp_path / "hub").rglob("blobs/?*")
    assert not [each for each in stored if each.suffix != ".incomplete"]


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
    assert "holds no weights: it is a web page; it is removed" in told


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
        load_teachers(recipe, torch.device("cpu"))

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
