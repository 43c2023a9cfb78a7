"""EfficientAT's MobileNets: the official logits, sizes of all widths, and a context that is each clip's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.efficientat import DynamicMobileNet, MobileNet
from niah.adapters.loading import make_adapter
from niah.cards import model_cards
from niah.networks.mobilenet import block_shapes, divisible, halved, largest_map
from tests.helpers.goldens import load_golden

CARDS = [card for card in model_cards() if card.family == "EfficientAT"]
CONSTANTS = {"lambdas": [1.0, 1.0, 0.5, 0.5], "init_v": [1.0, 0.0, 0.0, 0.0]}  # of a Dy-ReLU


@pytest.mark.parametrize(("name", "kind"), [("mn04", MobileNet), ("dymn04", DynamicMobileNet)])
def test_logits_are_the_official_ones(tmp_path: Path, name: str, kind: type[MobileNet]) -> None:
    golden = load_golden(name)
    constants = {
        key: torch.tensor(CONSTANTS.get(key.rpartition(".")[2], 0))
        for key in golden.document["kept"]
    }
    torch.save(golden.state | constants, tmp_path / "released.pt")
    adapter = niah.load_model(name, tmp_path / "released.pt")
    assert type(adapter) is kind
    assert adapter.parameters == adapter.card.parameters == golden.document["trainable_params"]
    for features, expected in golden.cases():
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= 1e-5
    few, many = (logits for _, logits in golden.cases())
    assert np.abs(few - many).max() > 0.05  # the input matters


def test_cards_count_the_parameters_of_their_widths() -> None:
    assert len(CARDS) == 10
    published = {
        "mn04": 0.983,
        "mn05": 1.43,
        "mn10": 4.88,
        "mn20": 17.91,
        "mn30": 39.09,
        "mn40": 68.43,
    }
    published |= {"mn40-ext": 68.43, "dymn04": 1.97, "dymn10": 10.57, "dymn20": 40.02}  # millions
    for card in CARDS:
        adapter = make_adapter(card)
        assert isinstance(adapter, MobileNet)
        assert adapter.parameters == card.parameters
        assert card.parameters / 1e6 == pytest.approx(published[card.name], rel=0.005)
        assert adapter.frontend.needle_frames == 1000


def test_the_authors_names_find_the_cards() -> None:
    aliases = {alias for card in CARDS for alias in card.aliases}
    assert {"mn10_as", "mn40_as_ext", "dymn20_as"} <= aliases


@pytest.mark.parametrize(
    ("channels", "rounded"), [(1.6, 8), (12, 16), (16, 16), (18, 24), (28.8, 32), (73.6, 72)]
)
def test_channels_are_multiples_of_8_and_never_fall_by_a_tenth(
    channels: float, rounded: int
) -> None:
    assert divisible(channels) == rounded


def test_a_block_that_needs_no_more_channels_does_not_widen() -> None:
    first, second, *_ = block_shapes(1.0)
    assert (first.inputs, first.widened, first.keeps_shape) == (16, 16, True)
    assert (second.inputs, second.widened, second.keeps_shape) == (16, 64, False)
    assert largest_map(1.0, 1000, 128) == 64 * 500 * 64
    assert [halved(size) for size in (1, 2, 3, 1001)] == [1, 1, 2, 501]
