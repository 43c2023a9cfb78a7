"""PaSST: the official logits, hear21passt's at every length that it takes whole, and what happens past its table."""

from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.passt import Passt
from niah.cards import find_model
from niah.errors import NiahError
from niah.frontends.stft import PASST
from niah.networks.passt import Passt as Network
from niah.networks.passt import PasstConfig
from tests.helpers.goldens import load_golden
from tests.helpers.tiny_vit import (
    DEPTH,
    HEADS,
    WIDTH,
    official,
    random_features,
    tiny,
)

TOLERANCE = 1e-4
MODEL = "passt:Passt"


@pytest.mark.slow  # a whole ViT-B; `.ci/run` has a line for all official logits
def test_logits_are_the_official_ones(tmp_path: Path) -> None:
    golden = load_golden("passt-s")
    assert {"head_dist.weight", "head_dist.bias"} < set(golden.state)
    model = official("passt-s", tmp_path, golden.state)
    for features, expected in golden.cases():
        found = model.logits(features).numpy()
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.filterwarnings("ignore:Input image size")
@pytest.mark.parametrize("frames", [16, 25, 500, 998, 1000, 1005])
def test_logits_are_those_of_hear21passt(frames: int) -> None:
    """An independent oracle for all lengths up to the table's; past it that code cuts."""
    theirs = pytest.importorskip("hear21passt.models.passt")
    torch.manual_seed(0)
    network = Network(PasstConfig(WIDTH, DEPTH, HEADS, classes=5)).eval()
    oracle = theirs.PaSST(
        img_size=(128, 998), stride=(10, 10), num_classes=5, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS,
        distilled=True,
    ).eval()  # fmt: skip
    oracle.load_state_dict({**oracle.state_dict(), **network.state_dict()})
    x = random_features(frames, batch=2)
    with torch.inference_mode():
        expected, _ = oracle(x.transpose(1, 2)[:, None])
        torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=0)


def network_of(adapter: NetworkAdapter) -> Network:
    assert isinstance(adapter.network, Network)
    return adapter.network


def test_a_longer_input_is_not_cut(tmp_path: Path) -> None:
    adapter = tiny(tmp_path, MODEL)
    features = random_features(1500)
    changed = features.clone()
    changed[:, -20:] += 3
    assert not torch.allclose(adapter.logits(changed), adapter.logits(features), atol=1e-4)
    assert not torch.allclose(adapter.logits(features[:, :996]), adapter.logits(features), atol=1e-3)  # fmt: skip


def test_the_time_table_is_cut_for_less_and_stretched_for_more(tmp_path: Path) -> None:
    network = network_of(tiny(tmp_path, MODEL))
    table = network.time_new_pos_embed
    assert torch.equal(network.time_positions(40), table[..., :40])
    assert torch.equal(network.time_positions(99), table)
    ramp = torch.arange(99.0).expand(table.shape)
    with torch.no_grad():
        table.copy_(ramp)
        stretched = network.time_positions(396)[0, 0, 0]
    expected = (torch.arange(396) + 0.5) / 4 - 0.5  # a straight line stays one, but at its ends
    torch.testing.assert_close(stretched[8:-8], expected[8:-8], atol=0.05, rtol=0)
    assert stretched.shape == (396,)


@pytest.mark.parametrize(
    ("name", "columns"), [("passt-s", 99), ("passt-s-kd", 99), ("passt-s-20s", 200), ("passt-s-30s", 300)]
)  # fmt: skip
def test_each_checkpoint_has_the_table_of_its_length(name: str, columns: int) -> None:
    """The official rule: input frames // stride; the released files' sizes differ by just 101 and 201 columns."""
    card, _ = find_model(name)
    with torch.device("meta"):
        network = Passt.build(card.config, 527)
    assert network.state_dict()["time_new_pos_embed"].shape == (1, 768, 1, columns)
    assert card.trained_on_s == pytest.approx(card.config["trained_frames"] / 100, abs=0.03)


def test_a_table_of_another_length_is_refused(tmp_path: Path) -> None:
    state = tiny(tmp_path, MODEL).network.state_dict()
    torch.save(state, tmp_path / "ten.pt")
    tiny(tmp_path, MODEL, trained_frames=2000)
    with pytest.raises(NiahError, match=r"time_new_pos_embed is \(1, 64, 1, 99\), not"):
        niah.load_model(tmp_path / "tiny.toml", checkpoint=tmp_path / "ten.pt")


def test_only_the_unused_head_is_dropped(tmp_path: Path) -> None:
    state = tiny(tmp_path, MODEL).network.state_dict()
    unused = {"head_dist.weight": torch.zeros(1), "head_dist.bias": torch.zeros(1)}
    torch.save({**state, **unused}, tmp_path / "official.pt")
    niah.load_model(tmp_path / "tiny.toml", checkpoint=tmp_path / "official.pt")
    torch.save({**state, **unused, "head_dist.scale": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(NiahError, match=r"1 not known \(head_dist.scale\)"):
        niah.load_model(tmp_path / "tiny.toml", checkpoint=tmp_path / "more.pt")


def test_its_front_end_is_its_own() -> None:
    assert Passt.default_frontend == PASST
