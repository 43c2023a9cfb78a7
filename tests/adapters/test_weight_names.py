"""Names on cards that lead elsewhere, and files beside weights that are no code."""

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import niah
from niah.adapters.checkpoints import read_state
from niah.adapters.weights import local_path, resolve
from niah.cards import Weights, find_model, model_cards
from niah.errors import NiahError
from niah.system.download import sha256_of
from tests.helpers.bad_names import BAD_NAMES
from tests.helpers.weight_server import Server, card, refused

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
