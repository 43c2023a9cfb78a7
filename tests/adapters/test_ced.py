"""CED: the official logits, parts of long inputs, the range of 120 dB, and the two layouts of checkpoints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.ced import Ced
from niah.adapters.loading import make_adapter
from niah.cards import model_cards
from niah.errors import NiahError
from niah.networks.ced import CedConfig
from niah.networks.layers.decibel_patches import logit_of_mean_probability
from tests.adapters.test_contract import FAMILIES, features_of
from tests.helpers.goldens import Golden, load_golden
from tests.helpers.small_card import small_card

CARDS = [card for card in model_cards() if card.family == "CED"]
SMALL = FAMILIES["ced"]


def small(folder: Path, checkpoint: str | Path = "random") -> Ced:
    adapter = niah.load_model(small_card(folder, "niah.adapters.ced:Ced", SMALL.config), checkpoint)
    assert isinstance(adapter, Ced)
    return adapter


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("ced")


def test_logits_are_the_official_ones(golden: Golden, tmp_path: Path) -> None:
    """From a file as released, with the front end's window and mel bank, which the adapter makes anew."""
    kept = {key: torch.zeros(golden.document["state"][key]) for key in golden.document["kept"]}
    torch.save(golden.state | kept, tmp_path / "released.pt")
    config = "\n".join(f"{key} = {value}" for key, value in golden.document["config"].items())
    card = small_card(tmp_path, "niah.adapters.ced:Ced", config, labels="audioset-527")
    adapter = niah.load_model(card, tmp_path / "released.pt")
    assert isinstance(adapter, Ced)
    mean = golden.state["init_bn.1.running_mean"]
    torch.testing.assert_close(torch.tensor(adapter.frontend.zero_row), mean)
    cases = list(golden.cases())
    for features, expected in cases:
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= 2e-5
    assert np.abs(cases[0][1] - cases[-1][1]).max() > 1  # the input matters


def test_cards_count_the_parameters_of_their_widths(golden: Golden) -> None:
    assert len(CARDS) == 4
    for card in CARDS:
        adapter = make_adapter(card)
        official = golden.document["trainable_params"][card.name.removeprefix("ced-")]
        assert adapter.parameters == card.parameters == official
        assert (adapter.sample_rate, adapter.frontend.needle_frames) == (16000, 1001)
    assert {alias for card in CARDS for alias in card.aliases} >= {"ced_tiny", "ced_base"}


@pytest.mark.parametrize(
    ("frames", "parts", "tokens"),
    [
        (16, 1, 4),
        (1001, 1, 248),
        (1012, 1, 252),
        (1013, 2, 504),
        (2024, 1, 252),  # the last of whole parts is left out, as in the official code
        (2025, 3, 756),
        (25_300, 24, 24 * 252),  # a scene of 253 s
        (25_301, 26, 26 * 252),  # the authors' front end of 253 s
        (900_001, 890, 890 * 252),
    ],
)
def test_parts_of_an_input(frames: int, parts: int, tokens: int) -> None:
    config = CedConfig()
    assert (config.parts(frames), config.tokens(frames)) == (parts, tokens)


def test_the_cards_say_which_scenes_lose_their_last_part() -> None:
    config = CedConfig()
    lengths_s = range(11, 600)
    lost = [s for s in lengths_s if config.parts(100 * s) * config.part_frames < 100 * s]
    assert lost == [253, 506]
    assert CARDS
    for card in CARDS:
        assert "two or more (20.24 s, 253 s), so that its last 10.12 s are not heard" in card.note


def test_long_input_has_the_mean_probability_of_its_parts(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    features = features_of(SMALL, 18 * 1012 + 40)  # more parts than go through the blocks together
    parts = list(torch.split(features, 1012, dim=1))
    mean = adapter.network.init_bn.running_mean
    assert mean is not None
    parts[-1] = torch.cat([parts[-1], mean.expand(2, 1012 - 40, 64)], dim=1)
    expected = torch.stack([adapter.logits(part).sigmoid() for part in parts]).mean(dim=0)
    torch.testing.assert_close(adapter.logits(features).sigmoid(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_mean_of_certain_parts_is_exact(sign: int) -> None:
    logits = sign * torch.tensor([[200.0], [300.0]])  # probabilities that round to 0 or 1
    expected = sign * (200 + np.log(2))  # half of the odds of the less certain part
    assert logit_of_mean_probability(logits).item() == pytest.approx(expected, abs=1e-3)


def test_nothing_is_more_than_120_db_under_the_loudest_of_its_own_clip(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    features = features_of(SMALL, 200)
    features[0, 50, 3] = 40.0

    def with_quiet(level: float) -> Tensor:
        quiet = features.clone()
        quiet[:, 100:, :] = level
        return adapter.logits(quiet)

    torch.testing.assert_close(with_quiet(-100)[0], with_quiet(-80)[0])  # 120 dB under 40
    assert not torch.equal(with_quiet(-100)[1], with_quiet(-80)[1])


def test_a_checkpoint_of_the_hub_has_the_same_logits(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    state = adapter.network.state_dict()
    state.pop("init_bn.num_batches_tracked")
    hub = {key if "outputlayer" in key else f"encoder.{key}": value for key, value in state.items()}
    torch.save(hub, tmp_path / "hub.bin")
    features = features_of(SMALL, 100)
    assert torch.equal(
        small(tmp_path, tmp_path / "hub.bin").logits(features), adapter.logits(features)
    )


def test_a_checkpoint_of_another_front_end_is_refused(tmp_path: Path) -> None:
    state = small(tmp_path).network.state_dict()
    torch.save(state | {"front_end.0.mel_scale.fb": torch.zeros(257, 128)}, tmp_path / "wide.pt")
    with pytest.raises(NiahError, match=r"fb is \(257, 128\), not \(257, 64\): .* front end"):
        small(tmp_path, tmp_path / "wide.pt")
    with pytest.raises(NiahError, match="needs at least 16 frames"):
        small(tmp_path).logits(torch.zeros(1, 15, 64))
