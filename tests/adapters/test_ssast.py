"""SSAST: the official logits at both strides, pooling, frame patches, and the memory of its blocks."""

from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.ssast import Ssast
from niah.errors import NiahError
from niah.networks.ssast import Ssast as Network
from niah.networks.ssast import SsastConfig
from tests.helpers.goldens import load_golden

TOLERANCE = 1e-4
CARD = """
name = "mine"
adapter = "niah.adapters.ssast:Ssast"
labels = "esc-10"
[config]
width = 32
heads = 2
depth = 2
"""


def network_of(**options: object) -> Network:
    torch.manual_seed(2)
    config = SsastConfig(width=32, heads=2, depth=2, classes=10, **options)  # type: ignore[arg-type]
    return Network(config).eval().requires_grad_(False)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    return path


@pytest.mark.slow  # a whole ViT-B; `.ci/run` has a line for all official logits
@pytest.mark.parametrize(
    ("model", "key"),
    [("ssast-base-s10", "logits_1024_ft_avgtok_s10"), ("ssast-base", "logits_1024")],
)
def test_logits_are_the_official_ones(tmp_path: Path, model: str, key: str) -> None:
    official = load_golden("ssast-base")
    file = tmp_path / "audio_model.pth"
    torch.save({f"module.{k}": value for k, value in official.state.items()}, file)
    found = niah.load_model(model, checkpoint=file).logits(official.features(1024)).numpy()
    assert np.abs(found - official.arrays[key]).max() <= TOLERANCE


@pytest.mark.parametrize("pooling", ["avgtok", "cls"])
def test_the_score_is_read_from_patches_or_class_tokens(pooling: str) -> None:
    network = network_of(pooling=pooling)
    x = torch.randn(2, 200, 128)
    v = network.v
    y = v.norm(v.blocks(v.embed(x)))
    read = y[:, 2:].mean(1) if pooling == "avgtok" else (y[:, 0] + y[:, 1]) / 2
    torch.testing.assert_close(network(x), network.mlp_head(read))


def test_a_frame_model_has_two_frames_a_token() -> None:
    network = network_of(patch=(128, 2), stride=(128, 2))
    assert network.v.pos_embed.shape == (1, 514, 32)
    x = torch.randn(1, 1024, 128)
    tokens = network.v.embed(x)
    kernel, bias = network.v.patch_embed.proj.weight[:, 0], network.v.patch_embed.proj.bias
    assert bias is not None
    for place in (0, 300, 511):
        expected = (kernel * x[0, 2 * place : 2 * place + 2].T).sum((1, 2)) + bias
        expected = expected + network.v.pos_embed[0, 2 + place]
        torch.testing.assert_close(tokens[0, 2 + place], expected, atol=1e-5, rtol=0)
    assert network(torch.randn(1, 3001, 128)).shape == (1, 10)


def test_a_self_supervised_file_is_told_to_need_a_head_and_starts_fine_tuning(
    tmp_path: Path, card: Path
) -> None:
    body = network_of()
    extra = {"mask_embed": torch.zeros(1), "v.head_dist.weight": torch.zeros(1000, 32)}
    state = {k: v for k, v in body.state_dict().items() if not k.startswith("mlp_head.")} | extra
    file = tmp_path / "SSAST-Base-Patch-400.pth"
    torch.save({f"module.{k}": v for k, v in state.items()}, file)
    with pytest.raises(NiahError, match=r"SSAST-Base.*needs a fine-tuned head.*mlp_head.0.weight"):
        niah.load_model(card, checkpoint=file)
    fresh = network_of(stride=(10, 10))
    Ssast.load_body(fresh, file)
    assert torch.equal(fresh.v.cls_token, body.v.cls_token)
    assert torch.equal(fresh.v.pos_embed[:, :2], body.v.pos_embed[:, :2])
    assert fresh.v.pos_embed.shape[1] == 2 + 12 * 101


@pytest.mark.parametrize("pooling", ["mean", ""])
def test_another_pooling_is_told_as_the_cards_fault(card: Path, pooling: str) -> None:
    card.write_text(CARD + f'pooling = "{pooling}"\n')
    with pytest.raises(NiahError, match=r"\[config\] does not fit .* none of avgtok, cls"):
        niah.load_model(card, checkpoint="random")
