"""EAT and SSLAM: the official logits from both layouts, the fixed sinusoid at every length, and refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.eat import Eat
from niah.adapters.network_adapter import NetworkAdapter
from niah.cards import find_model
from niah.errors import NiahError
from niah.frontends.kaldi import EAT
from niah.networks.eat import Eat as Network
from niah.networks.eat import sinusoid_2d
from tests.helpers.goldens import Golden, filled, golden_document, load_golden
from tests.helpers.tiny_vit import WIDTH, official, random_features, tiny

TOLERANCE = 1e-4
MODEL = "eat:Eat"
STORED = 768  # time columns of the released table
HUB_POSITIONS = "model.fixed_positional_encoder.positions"


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("eat-base")


@pytest.fixture(scope="module")
def hub_model(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> NetworkAdapter:
    """From the hub's layout, with the sinusoid that its files hold."""
    state = filled(golden.document["hf"]["state"])
    state[HUB_POSITIONS] = sinusoid_2d(STORED, 8, 768).flatten(0, 1)[None]
    return official("sslam", tmp_path_factory.mktemp("eat"), state)


@pytest.mark.slow  # a whole ViT-B; `.ci/run` has a line for all official logits
def test_logits_are_the_official_ones_from_fairseqs_layout(golden: Golden, tmp_path: Path) -> None:
    model = official("eat-base-e10", tmp_path, {"cfg": {"task": {}}, "model": golden.state})
    for features, expected in golden.cases():
        found = model.logits(features).numpy()
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.slow  # a whole ViT-B; `.ci/run` has a line for all official logits
@pytest.mark.parametrize("frames", [512, 1024, 3008])
def test_logits_are_the_official_ones_from_the_hubs_layout(
    golden: Golden, hub_model: NetworkAdapter, frames: int
) -> None:
    expected = golden.arrays[f"hf_logits_{frames}"]
    found = hub_model.logits(golden.features(frames)).numpy()
    assert np.abs(found - expected).max() <= TOLERANCE


def test_positions_are_the_released_table() -> None:
    found = float(sinusoid_2d(STORED, 8, 768).double().sum())
    assert found == pytest.approx(golden_document("eat-base")["positions"]["sum"], abs=0.05)


def test_positions_by_their_formula() -> None:
    table = sinusoid_2d(5, 3, 8)
    for column in range(5):
        for row in range(3):
            angles = [index * 10000 ** (-i / 2) for index in (row, column) for i in (0, 1)]
            expected = [
                *np.sin(angles[:2]), *np.cos(angles[:2]), *np.sin(angles[2:]), *np.cos(angles[2:])
            ]  # fmt: skip
            np.testing.assert_allclose(table[column, row], expected, atol=1e-6)


def test_a_longer_table_begins_with_the_shorter_and_goes_on() -> None:
    long = sinusoid_2d(56_250, 8, WIDTH)  # 2.5 h
    assert torch.equal(long[:STORED], sinusoid_2d(STORED, 8, WIDTH))
    last = np.sin(56_249 * 10000.0 ** (-np.arange(16) / 16))
    np.testing.assert_allclose(long[-1, 0, 32:48], last, atol=1e-6)


def test_it_runs_past_what_the_authors_table_holds(tmp_path: Path) -> None:
    adapter = tiny(tmp_path, MODEL, depth=1)
    features = random_features(12_304)  # their first length that fails
    logits = adapter.logits(features)
    changed = features.clone()
    changed[:, -4:] += 3
    assert not torch.equal(adapter.logits(changed), logits)
    assert bool(logits.isfinite().all())


def test_frames_that_fill_no_patch_are_padded_with_the_mean_log_mel(tmp_path: Path) -> None:
    adapter = tiny(tmp_path, MODEL)
    features = random_features(1000)
    padded = torch.cat([features, torch.zeros(1, 8, 128)], dim=1)
    assert torch.equal(adapter.logits(features), adapter.logits(padded))


def hub_layout(adapter: NetworkAdapter) -> dict[str, Tensor]:
    return {f"model.{key}": value for key, value in adapter.network.state_dict().items()}


def fairseq_layout(adapter: NetworkAdapter) -> dict[str, Tensor]:
    state = {}
    for key, value in adapter.network.state_dict().items():
        image = "model.modality_encoders.IMAGE."
        for ours, theirs in (
            ("extra_tokens", f"{image}extra_tokens"),
            ("local_encoder", f"{image}local_encoder"),
            ("pre_norm", f"{image}context_encoder.norm"),
            ("blocks", "model.blocks"),
        ):
            if key.startswith(ours):
                state[theirs + key.removeprefix(ours)] = value
        if key.startswith(("fc_norm", "head")):
            state[key] = value
    return state


def as_it_is(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state


def under_model(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    return {"model": state}


def distributed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{key}": value for key, value in state.items()}


@pytest.mark.parametrize("wrap", [as_it_is, under_model, distributed])
@pytest.mark.parametrize("layout", [hub_layout, fairseq_layout])
def test_layouts_and_wrappers_load_alike(
    tmp_path: Path,
    layout: Callable[[NetworkAdapter], dict[str, Tensor]],
    wrap: Callable[[dict[str, Tensor]], Any],
) -> None:
    adapter = tiny(tmp_path, MODEL)
    torch.save(wrap(layout(adapter)), tmp_path / "file.pt")
    loaded = niah.load_model(tmp_path / "tiny.toml", checkpoint=tmp_path / "file.pt")
    features = random_features(96)
    assert torch.equal(loaded.logits(features), adapter.logits(features))


def released_table(columns: int = 4) -> Tensor:
    return sinusoid_2d(columns, 8, WIDTH).flatten(0, 1)[None]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("model.pre_norm.bias", None, r"1 missing \(pre_norm.bias\)"),
        ("model.decoder.weight", torch.zeros(1), r"1 not known \(decoder.weight\)"),
        ("head.weight", torch.zeros(527, WIDTH), r"'head.weight' in both of EAT's layouts"),
        (HUB_POSITIONS, released_table() + 0.1, "not EAT's fixed two-dimensional sinusoid"),
        (HUB_POSITIONS, released_table()[:, :30], "not EAT's fixed two-dimensional sinusoid"),
        (HUB_POSITIONS, released_table()[..., :32], "not EAT's fixed two-dimensional sinusoid"),
        (HUB_POSITIONS, released_table()[0], "not EAT's fixed two-dimensional sinusoid"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    tmp_path: Path, key: str, value: Tensor | None, told: str
) -> None:
    adapter = tiny(tmp_path, MODEL)
    state = {k: v for k, v in hub_layout(adapter).items() if k != key}
    if value is not None:
        state[key] = value
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(NiahError, match=told):
        niah.load_model(tmp_path / "tiny.toml", checkpoint=tmp_path / "other.pt")


def test_the_released_table_is_accepted_also_in_half_precision(tmp_path: Path) -> None:
    adapter = tiny(tmp_path, MODEL)
    table, features = released_table(STORED), random_features(96)
    for dtype in (torch.float32, torch.float16):
        torch.save({**hub_layout(adapter), HUB_POSITIONS: table.to(dtype)}, tmp_path / "file.pt")
        loaded = niah.load_model(tmp_path / "tiny.toml", checkpoint=tmp_path / "file.pt")
        assert torch.equal(loaded.logits(features), adapter.logits(features))


def test_its_front_end_has_its_own_statistics() -> None:
    assert Eat.default_frontend == EAT
    assert (EAT.mean, EAT.std) == (-4.268, 4.569)


@pytest.mark.parametrize(
    ("name", "width", "eps", "file_parameters"),
    [
        ("eat-base", 768, 1e-5, 90_379_535),
        ("eat-base-e10", 768, 1e-6, 90_379_535),
        ("eat-large", 1024, 1e-5, 309_409_295),
        ("sslam", 768, 1e-5, 90_379_535),
    ],
)
def test_cards_and_the_size_of_their_files(
    name: str, width: int, eps: float, file_parameters: int
) -> None:
    """EAT-large's released file is 1,237,667,364 bytes: 4 bytes for each of these and a 30 kB header."""
    card, _ = find_model(name)
    with torch.device("meta"):
        network = Eat.build(card.config, 527)
    assert isinstance(network, Network)
    assert network.fc_norm.eps == eps
    assert card.parameters + STORED * 8 * width == file_parameters
    assert sum(p.numel() for p in network.parameters()) == card.parameters
