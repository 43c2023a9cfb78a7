"""Weights: beside the card, fetched whole or not at all, and checked."""

import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from niah.adapters.weights import is_cached, local_path, resolve
from niah.cards import Weights
from niah.errors import NiahError
from niah.system.download import sha256_of
from tests.helpers.weight_server import Server, card, serving


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
