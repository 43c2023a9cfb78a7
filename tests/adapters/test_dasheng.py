"""Dasheng: the official logits from a file as released, and the tokens of long inputs, whose parts are averaged."""

from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.dasheng import Dasheng
from niah.adapters.loading import make_adapter
from niah.cards import find_model
from niah.errors import NiahError
from tests.adapters.test_contract import FAMILIES, features_of
from tests.helpers.goldens import golden_document, load_golden
from tests.helpers.small_card import small_card

SMALL = FAMILIES["dasheng"]


def small(folder: Path) -> Dasheng:
    adapter = niah.load_model(
        small_card(folder, "niah.adapters.dasheng:Dasheng", SMALL.config), "random"
    )
    assert isinstance(adapter, Dasheng)
    return adapter


def test_logits_are_the_official_ones(tmp_path: Path) -> None:
    """Less than a part, the trained length, whole parts, and a short last part."""
    golden = load_golden("dasheng")
    kept = {key: torch.zeros(golden.document["state"][key]) for key in golden.document["kept"]}
    torch.save(golden.state | kept, tmp_path / "released.pt")
    config = "\n".join(f"{key} = {value}" for key, value in golden.document["config"].items())
    card = small_card(tmp_path, "niah.adapters.dasheng:Dasheng", config, labels="audioset-527")
    adapter = niah.load_model(card, tmp_path / "released.pt")
    assert isinstance(adapter, Dasheng)
    mean = golden.state["init_bn.1.running_mean"]
    torch.testing.assert_close(torch.tensor(adapter.frontend.zero_row), mean)
    cases = list(golden.cases())
    for features, expected in cases:
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= 2e-5
    assert np.abs(cases[0][1] - cases[-1][1]).max() > 1  # the input matters


def test_the_card_counts_the_official_parameters() -> None:
    card = find_model("dasheng-base")[0]
    adapter = make_adapter(card)
    official = golden_document("dasheng")["trainable_params"]["base"]
    assert adapter.parameters == card.parameters == official
    assert (adapter.sample_rate, adapter.frontend.needle_frames) == (16000, 1001)
    assert find_model("dasheng_base")[0] == card


def test_the_card_says_which_public_version_it_equals_past_a_part() -> None:
    note = find_model("dasheng-base")[0].note
    assert "RicherMans/Dasheng v0.0.8" in note
    assert "XiaoMi/dasheng, 711a6da" in note


def test_long_input_has_the_mean_of_the_tokens_of_its_parts(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    frames = (
        18 * 1008 + 43
    )  # more parts than go through the blocks together, and a last one of 10 strips
    features = features_of(SMALL, frames)
    network = adapter.network
    with torch.inference_mode():
        normed = network.init_bn(features)
        tokens = torch.cat([network._tokens(part) for part in normed.split(1008, dim=1)], dim=1)
        expected = network.outputlayer(tokens.mean(dim=1))
    assert tokens.shape[1] == adapter.tokens(frames) == frames // 4
    torch.testing.assert_close(adapter.logits(features), expected, atol=1e-6, rtol=1e-5)
    with pytest.raises(NiahError, match="needs at least 4 frames"):
        adapter.logits(features[:, :3])
