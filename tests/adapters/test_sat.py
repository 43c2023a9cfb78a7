"""SAT: the official logits, chunks that hear those before them and none after, and the frames that are dropped."""

from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.loading import make_adapter
from niah.adapters.sat import Sat
from niah.cards import model_cards
from niah.networks import sat
from niah.networks.sat import SatConfig
from tests.adapters.test_contract import FAMILIES, features_of
from tests.helpers.goldens import load_golden
from tests.helpers.small_card import small_card

CARDS = [card for card in model_cards() if card.family == "SAT"]
OFFICIAL_PARAMETERS = {
    "sat-tiny-2s": 5495695,
    "sat-tiny-1s": 5493391,
    "sat-small-2s": 21608335,
    "sat-small-1s": 21603727,
    "sat-base-2s": 85681807,
    "sat-base-1s": 85672591,
}


def small(folder: Path, family: str) -> Sat:
    card = small_card(folder, "niah.adapters.sat:Sat", FAMILIES[family].config)
    adapter = niah.load_model(card, "random")
    assert isinstance(adapter, Sat)
    return adapter


@pytest.mark.parametrize("name", ["sat", "sat-token"])
def test_logits_are_the_official_ones(tmp_path: Path, name: str) -> None:
    """From a file as released, with the front end's window and mel bank, which the adapter makes anew."""
    golden = load_golden(name)
    kept = {key: torch.zeros(golden.document["state"][key]) for key in golden.document["kept"]}
    torch.save(golden.state | kept, tmp_path / "released.pt")
    config = "\n".join(f"{key} = {value}" for key, value in golden.document["config"].items())
    card = small_card(
        tmp_path, "niah.adapters.sat:Sat", config.replace("True", "true").replace("False", "false"),
        labels="audioset-527",
    )  # fmt: skip
    adapter = niah.load_model(card, tmp_path / "released.pt")
    assert isinstance(adapter, Sat)
    mean = golden.state["init_bn.1.running_mean"]
    torch.testing.assert_close(torch.tensor(adapter.frontend.zero_row), mean)
    cases = list(golden.cases())
    for features, expected in cases:
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= 2e-5
    assert np.abs(cases[0][1] - cases[-1][1]).max() > 1  # the input matters


def test_cards_count_the_parameters_of_the_official_networks() -> None:
    assert {card.name for card in CARDS} == set(OFFICIAL_PARAMETERS)
    for card in CARDS:
        adapter = make_adapter(card)
        assert adapter.parameters == card.parameters == OFFICIAL_PARAMETERS[card.name]
        assert (adapter.sample_rate, adapter.frontend.needle_frames) == (16000, 1001)
    assert {alias for card in CARDS for alias in card.aliases} >= {"SAT_T_2s", "SAT_B_1s"}


@pytest.mark.parametrize(
    ("frames", "chunks", "tokens"),
    [(16, 1, 4), (191, 1, 44), (192, 1, 48), (383, 1, 48), (384, 2, 48), (900_001, 4687, 48)],
)
def test_chunks_of_an_input(frames: int, chunks: int, tokens: int) -> None:
    config = SatConfig()
    assert (config.chunks(frames), config.chunk_tokens(frames)) == (chunks, tokens)


@pytest.mark.parametrize("family", ["sat", "sat-token"])
def test_chunks_together_have_the_logits_of_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    adapter = small(tmp_path, family)
    features = features_of(FAMILIES[family], 2500)
    together = adapter.logits(features)
    for at_once in (1, 6):
        monkeypatch.setattr(sat, "CHUNKS_AT_ONCE", at_once)
        torch.testing.assert_close(adapter.logits(features), together, atol=1e-5, rtol=1e-5)


def test_a_chunk_hears_as_many_before_it_as_there_are_blocks_and_none_after(tmp_path: Path) -> None:
    network = small(tmp_path, "sat").network  # of two blocks
    features = torch.randn(1, 6 * 192, 64, generator=torch.Generator().manual_seed(2))
    changed = features.clone()
    changed[:, 2 * 192 : 3 * 192] += 1

    def of_chunks(x: torch.Tensor) -> torch.Tensor:  # (chunks, classes)
        first, inputs = network._first_chunk(x[:, :192])
        rest, _ = network._chunks(x[:, 192:], inputs)
        return torch.cat([first, rest[0]])

    with torch.inference_mode():
        differs = (of_chunks(changed) - of_chunks(features)).abs().amax(dim=1) > 1e-4
    assert differs.tolist() == [False, False, True, True, True, False]


def test_frames_that_do_not_fill_the_last_chunk_are_dropped(tmp_path: Path) -> None:
    adapter = small(tmp_path, "sat")
    features = features_of(FAMILIES["sat"], 500)
    cut = features[:, :384]
    features[:, 384:] = cut.amin()  # not the loudest
    assert torch.equal(adapter.logits(features), adapter.logits(cut))
