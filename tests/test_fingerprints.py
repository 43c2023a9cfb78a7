"""Hashes in cell keys, feature caches and training checkpoints stay as they were: old results stay findable."""

import hashlib
import json
from pathlib import Path

import pytest

from niah.adapters.importing import import_adapter
from niah.cards import cards_folder, model_cards
from niah.haystacks import load_haystack
from niah.training.recipes import read_recipe

GOLDEN = json.loads((Path(__file__).parent / "golden" / "fingerprints.json").read_text("utf-8"))


def test_cards_keep_their_fingerprints() -> None:
    known = {card.name: card.fingerprint for card in model_cards()}
    assert {name: known[name] for name in GOLDEN["cards"]} == GOLDEN["cards"]


def test_front_ends_keep_their_fingerprints() -> None:
    cards = {card.name: card for card in model_cards()}
    known = {
        name: _short(import_adapter(cards[name]).default_frontend.fingerprint)
        for name in GOLDEN["frontends"]
    }
    assert known == GOLDEN["frontends"]


@pytest.mark.parametrize("name", sorted(GOLDEN["haystacks"]))
def test_haystacks_keep_their_fingerprints(name: str) -> None:
    assert load_haystack(name).fingerprint == GOLDEN["haystacks"][name]


def test_recipes_keep_their_fields_and_values() -> None:
    """A checkpoint of a recipe is taken up by what the recipe holds."""
    folder = cards_folder("models") / "recipes"
    known = {}
    for name in GOLDEN["recipes"]:
        recipe = read_recipe(folder / f"{name}.toml")
        known[name] = recipe.fingerprint[:16]
    assert known == GOLDEN["recipes"]


def _short(fingerprint: str) -> str:
    """Return a fingerprint as the golden file has it: long ones by their checksum."""
    if len(fingerprint) <= 40:
        return fingerprint
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
