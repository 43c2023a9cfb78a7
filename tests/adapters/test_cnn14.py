"""Cnn14: the official logits, long inputs in parts, and files of the other sample rate."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.loading import make_adapter
from niah.adapters.panns import Cnn14
from niah.cards import find_model
from niah.errors import NiahError
from niah.networks import cnn14
from tests.adapters.test_contract import FAMILIES, features_of
from tests.helpers.goldens import Golden, load_golden
from tests.helpers.small_card import small_card

SMALL = FAMILIES["cnn14"]


def small(folder: Path, name: str = "Cnn14", checkpoint: str | Path = "random") -> Cnn14:
    card = small_card(folder, f"niah.adapters.panns:{name}", SMALL.config)
    adapter = niah.load_model(card, checkpoint)
    assert isinstance(adapter, Cnn14)
    return adapter


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("cnn14")


def test_logits_are_the_official_ones(golden: Golden, tmp_path: Path) -> None:
    """From a file as released: a container, and the front end's kernels, which the adapter makes anew."""
    kept = {key: torch.zeros(golden.document["state"][key]) for key in golden.document["kept"]}
    torch.save({"iteration": 1, "model": golden.state | kept}, tmp_path / "Cnn14.pth")
    config = "\n".join(f"{key} = {value}" for key, value in golden.document["config"].items())
    card = small_card(tmp_path, "niah.adapters.panns:Cnn14", config, labels="audioset-527")
    adapter = niah.load_model(card, tmp_path / "Cnn14.pth")
    assert isinstance(adapter, Cnn14)
    mean = golden.state["bn0.running_mean"]
    torch.testing.assert_close(torch.tensor(adapter.frontend.zero_row), mean)
    for features, expected in golden.cases():
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= 1e-4
    few, many = (logits for _, logits in golden.cases())
    assert np.abs(few - many).max() > 0.5  # the input matters


@pytest.mark.parametrize("name", ["cnn14", "cnn14-16k"])
def test_cards_have_the_weights_of_the_released_network(golden: Golden, name: str) -> None:
    card, _ = find_model(name)
    adapter = make_adapter(card)
    assert isinstance(adapter, Cnn14)
    shapes = {key: list(value.shape) for key, value in adapter.network.state_dict().items()}
    official = golden.document["full_state"]
    assert shapes == {key: official[key] for key in official if "extractor" not in key}
    assert adapter.parameters == card.parameters == golden.document["trainable_params"]


def test_long_input_in_parts_has_the_logits_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = small(tmp_path)
    inputs = [features_of(SMALL, frames) for frames in (32, 300, 416, 447)]
    whole = [adapter.logits(features) for features in inputs]
    for part in (1, 3):
        monkeypatch.setattr(cnn14, "PART", part)
        for features, expected in zip(inputs, whole, strict=True):
            torch.testing.assert_close(adapter.logits(features), expected, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(cnn14, "SEEN", 2)
    assert float((adapter.logits(inputs[-1]) - whole[-1]).abs().max()) > 1e-4


def test_parts_cover_every_position_once_and_no_more_frames_than_they_need() -> None:
    for frames in (32, 4095, 4096, 4128, 900_001):
        parts = list(cnn14.parts_of(frames, 32))
        firsts = [part.start // 32 + own.start for part, own in parts]
        lasts = [part.start // 32 + own.stop for part, own in parts]
        assert (firsts[0], lasts[-1], parts[-1][0].stop) == (0, frames // 32, frames)
        assert all(last == first for last, first in zip(lasts, firsts[1:], strict=False))
        most = (cnn14.PART + 2 * cnn14.SEEN + 1) * 32
        assert all(part.stop - part.start <= most for part, _ in parts)
        assert all(earlier[0].start < later[0].start for earlier, later in pairwise(parts))


def test_fewer_frames_than_a_position_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="needs at least 32 frames, got 31"):
        small(tmp_path).logits(torch.zeros(1, 31, 64))


def test_a_file_of_the_other_sample_rate_is_refused(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    kernel = "spectrogram_extractor.stft.conv_real.weight"
    state = adapter.network.state_dict() | {kernel: torch.zeros(257, 1, 512)}
    torch.save({"model": state}, tmp_path / "16k.pth")
    with pytest.raises(NiahError, match=r"\(257, 1, 512\), not .* front end than that of 32000 Hz"):
        small(tmp_path, checkpoint=tmp_path / "16k.pth")
    taken = small(tmp_path, "Cnn14At16k", tmp_path / "16k.pth")
    assert (taken.sample_rate, taken.frontend.needle_frames) == (16000, 1001)
    features = features_of(SMALL, 100)
    assert torch.equal(taken.logits(features), adapter.logits(features))


def test_a_file_without_counters_loads_too(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    state = adapter.network.state_dict()
    bare = {key: value for key, value in state.items() if "num_batches" not in key}
    torch.save(bare, tmp_path / "bare.pth")
    features = features_of(SMALL, 100)
    loaded = small(tmp_path, checkpoint=tmp_path / "bare.pth")
    assert torch.equal(loaded.logits(features), adapter.logits(features))
