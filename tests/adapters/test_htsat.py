"""HTS-AT: the official scores, the authors' rule for long input, and the pieces of the folded image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import niah
from niah.adapters.htsat import HtsAt
from niah.cards import find_model
from niah.errors import NiahError
from niah.networks.htsat import (
    Block,
    HtsAtConfig,
    crops,
    fold,
    in_time_order,
    join_windows,
    logit_of_mean,
    position_index,
    shift_mask,
    split_windows,
    stretch,
)
from tests.helpers.goldens import Golden, load_golden
from tests.helpers.small_card import small_card

TOLERANCE = 1e-4
SMALL = "side = 128\npatch = 8\nwidth = 8\ndepths = [2, 1]\nheads = [2, 4]"


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("htsat")


@pytest.fixture(scope="module")
def official(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> HtsAt:
    """From a file as released: Lightning's wrapper, the keys that the authors' code makes itself, the unused head."""
    state = {**golden.state, **constants(golden)}
    assert state.keys() == golden.document["state"].keys()
    file = tmp_path_factory.mktemp("htsat") / "l-epoch=1-mAP=0.471.ckpt"
    torch.save({"epoch": 1, "state_dict": {f"sed_model.{k}": v for k, v in state.items()}}, file)
    adapter = niah.load_model("htsat", checkpoint=file)
    file.unlink()
    assert isinstance(adapter, HtsAt)
    return adapter


def constants(golden: Golden) -> dict[str, Tensor]:
    """The kept keys; their values are the front end's and the masks', which the adapter makes anew."""
    return {
        key: torch.zeros(golden.document["state"][key], dtype=torch.float32)
        for key in golden.document["kept"]
    }


def small(tmp_path: Path) -> HtsAt:
    adapter = niah.load_model(
        small_card(tmp_path, "niah.adapters.htsat:HtsAt", SMALL), checkpoint="random"
    )
    assert isinstance(adapter, HtsAt)
    return adapter


def features_of(frames: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, frames, 64, generator=torch.Generator().manual_seed(0))


def test_logits_are_the_official_ones(golden: Golden, official: HtsAt) -> None:
    for features, expected in golden.cases():
        assert np.abs(official.logits(features).numpy() - expected).max() <= TOLERANCE


@pytest.mark.parametrize("frames", [1400, 2002, 2050])
def test_long_input_follows_the_authors_rule(golden: Golden, official: HtsAt, frames: int) -> None:
    expected = golden.arrays[f"prob_{frames}"]
    found = torch.sigmoid(official.logits(golden.features(frames))).numpy()
    assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.parametrize("frames", [2051, 5001])
def test_past_the_rule_there_is_no_native_mode(official: HtsAt, frames: int) -> None:
    with pytest.raises(NiahError, match=f"no native mode for {frames} frames.*--window 10"):
        official.logits(torch.zeros(1, frames, 64))


def test_the_card_counts_the_parameters_in_use(golden: Golden, official: HtsAt) -> None:
    unused = 527 * 527 + 527
    assert official.parameters == official.card.parameters
    assert official.parameters == golden.document["trainable_params"] - unused


def test_a_file_without_the_constants_loads_too(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    expected = adapter.logits(features_of(100))
    state = adapter.network.state_dict()
    del state["bn0.num_batches_tracked"]
    torch.save(state, tmp_path / "bare.pth")
    adapter.load(tmp_path / "bare.pth")
    assert torch.equal(adapter.logits(features_of(100)), expected)


def test_the_zero_row_is_the_mean_that_the_checkpoint_learned(
    golden: Golden, official: HtsAt
) -> None:
    mean = golden.state["bn0.running_mean"]
    torch.testing.assert_close(torch.tensor(official.frontend.zero_row), mean)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("norm.weight"), "1 missing (norm.weight)"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 not known (extra)"),
        (lambda s: s.update({"norm.bias": torch.zeros(3)}), "norm.bias is (3,), not (16,)"),
        (
            lambda s: s.update({"layers.0.blocks.1.attn_mask": torch.zeros(4, 9, 9)}),
            "attn_mask is (4, 9, 9), not (4, 64, 64)",
        ),
        (
            lambda s: s.update({"logmel_extractor.melW": torch.zeros(513, 128)}),
            "melW is (513, 128), not (513, 64)",
        ),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    adapter = small(tmp_path)
    state = {key: value.clone() for key, value in adapter.network.state_dict().items()}
    torch.save(state, tmp_path / "own.pth")
    adapter.load(tmp_path / "own.pth")
    change(state)
    torch.save(state, tmp_path / "changed.pth")
    with pytest.raises(NiahError) as refused:
        adapter.load(tmp_path / "changed.pth")
    assert told in str(refused.value)


def test_folding_and_the_time_order_undo_each_other() -> None:
    x = torch.arange(2 * 12 * 3.0).view(2, 12, 3)
    image = fold(x, 4)
    assert image.shape == (2, 9, 4)
    assert torch.equal(image[0, 3:6], x[0, 4:8].T)  # the second chunk, its mels from low to high
    assert torch.equal(in_time_order(image[..., None], 3)[:, 0].transpose(1, 2), x)


def test_stretching_keeps_the_ends_and_a_straight_line() -> None:
    line = torch.linspace(-1, 1, 1001)[None, :, None].expand(1, 1001, 2)
    longer = stretch(line, 1024)
    torch.testing.assert_close(longer[0, :, 1], torch.linspace(-1, 1, 1024), atol=1e-3, rtol=0)
    assert torch.equal(longer[:, [0, -1]], line[:, [0, -1]])
    assert stretch(line, 1001) is line


@pytest.mark.parametrize("frames", [30, 100, 200])
def test_short_input_is_stretched_as_the_card_says(tmp_path: Path, frames: int) -> None:
    """As in the authors' evaluation; their predict.py repeats the sound instead."""
    adapter = small(tmp_path)
    whole = adapter.network.config.frames
    assert whole == 256
    features = features_of(frames)
    expected = adapter.logits(stretch(features, whole))
    torch.testing.assert_close(adapter.logits(features), expected, atol=1e-4, rtol=0)
    note = find_model("htsat")[0].note
    assert "is stretched to them, as the authors' evaluation does; their predict.py repeats" in note


def test_crops_are_two_or_three_and_half_overlap() -> None:
    assert list(crops(2050)) == [slice(0, 1024), slice(512, 1536), slice(1024, 2048)]
    assert list(crops(1400)) == [slice(0, 699), slice(349, 1048), slice(698, 1397)]
    assert list(crops(1025)) == [slice(0, 512), slice(256, 768)]  # as theirs: the end is not heard
    for frames in range(1025, 2051):
        assert len(list(crops(frames))) in (2, 3)
        assert max(crop.stop for crop in crops(frames)) <= frames


def test_the_logit_of_a_mean_of_sigmoids_does_not_saturate() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)) * 4
    mean = torch.sigmoid(logits.double()).mean(0)
    torch.testing.assert_close(logit_of_mean(logits), torch.logit(mean).float())
    sure = torch.tensor([[60.0, -90.0], [60.0, -90.0]])
    torch.testing.assert_close(logit_of_mean(sure), sure[0])


def test_windows_join_to_the_map_they_were_split_from() -> None:
    x = torch.randn(2, 12, 8, 3)
    windows = split_windows(x, 4)
    assert windows.shape == (2, 6, 16, 3)
    assert torch.equal(windows[:, 1, :4], x[:, 0, 4:8])
    assert torch.equal(join_windows(windows, 12, 8), x)


def test_the_position_index_tells_offsets_apart() -> None:
    index = position_index(3)
    for query in range(9):
        for key in range(9):
            dy, dx = query // 3 - key // 3, query % 3 - key % 3
            assert index[query, key] == (dy + 2) * 5 + dx + 2


def test_shifted_windows_join_only_neighbours() -> None:
    """Tokens may see each other where the cyclic shift left both on their side of the seam."""
    mask = shift_mask(8, 4, 2)
    rows = torch.roll(torch.arange(8), -2)
    places = torch.stack(torch.meshgrid(rows, rows, indexing="ij"), dim=-1)[None]
    tokens = split_windows(places, 4)[0]  # (windows, N, 2): where each token truly lies
    near = (tokens[:, :, None] - tokens[:, None]).abs().amax(-1) < 4
    assert torch.equal(mask == 0, near)
    assert set(mask.flatten().tolist()) == {-100.0, 0.0}


def test_the_last_stage_is_one_window_and_shifts_nothing() -> None:
    config = HtsAtConfig()
    blocks = [
        module.shift for module in niah_network(config).modules() if isinstance(module, Block)
    ]
    assert blocks == [0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 0]


def niah_network(config: HtsAtConfig) -> nn.Module:
    from niah.networks.htsat import HtsAt as Network

    with torch.device("meta"):
        return Network(config)
