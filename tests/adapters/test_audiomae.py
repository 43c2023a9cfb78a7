"""Audio-MAE: the official logits, timm's rule at other lengths, and the refusal of what is not its checkpoint."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from niah.adapters.audiomae import AudioMae
from niah.adapters.network_adapter import NetworkAdapter
from niah.cards import find_model
from niah.frontends.kaldi import AST
from niah.networks.audiomae import AudioMae as Network
from niah.networks.audiomae import AudioMaeConfig
from tests.helpers.goldens import Golden, load_golden
from tests.helpers.tiny_vit import (
    DEPTH,
    HEADS,
    WIDTH,
    official,
    random_features,
    tiny,
)

TOLERANCE = 1e-4
MODEL = "audiomae:AudioMae"


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("audiomae-b")


@pytest.fixture(scope="module")
def model(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> NetworkAdapter:
    """From a file as released: under `model`, beside the epoch."""
    content = {"model": golden.state, "epoch": 60}
    return official("audiomae-base", tmp_path_factory.mktemp("audiomae"), content)


@pytest.mark.slow  # a whole ViT-B; `.ci/run` has a line for all official logits
def test_logits_are_the_official_ones(golden: Golden, model: NetworkAdapter) -> None:
    for features, expected in golden.cases():
        found = model.logits(features).numpy()
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.slow  # a whole ViT-B; `.ci/run` has a line for all official logits
@pytest.mark.parametrize("frames", [512, 2048, 5008])
def test_logits_of_other_lengths_are_the_official_ones_by_timms_rule(
    golden: Golden, model: NetworkAdapter, frames: int
) -> None:
    expected = golden.arrays[f"timm_dynamic_{frames}"]
    found = model.logits(golden.features(frames)).numpy()
    assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.parametrize("frames", [1, 16, 64, 90, 128, 1000])
def test_any_length_is_timms_vision_transformer(frames: int) -> None:
    """An independent oracle, also where frames do not fill a patch."""
    torch.manual_seed(0)
    network = Network(
        AudioMaeConfig(WIDTH, DEPTH, HEADS, mels=32, trained_frames=128, classes=5)
    ).eval()
    timms = VisionTransformer(
        img_size=(128, 32), in_chans=1, num_classes=5, global_pool="avg", embed_dim=WIDTH, depth=DEPTH,
        num_heads=HEADS, dynamic_img_size=True, dynamic_img_pad=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    ).eval()  # fmt: skip
    timms.load_state_dict(network.state_dict())
    x = random_features(frames, batch=2, mels=32)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), timms(x[:, None]), atol=1e-5, rtol=0)


def test_frames_that_fill_no_patch_are_padded_with_the_mean_log_mel(tmp_path: Path) -> None:
    adapter = tiny(tmp_path, MODEL)
    features = random_features(1000)
    padded = torch.cat([features, torch.zeros(1, 8, 128)], dim=1)
    assert torch.equal(adapter.logits(features), adapter.logits(padded))
    changed = features.clone()
    changed[:, -1] += 3  # the last frame counts: nothing is cut
    assert not torch.allclose(adapter.logits(changed), adapter.logits(features), atol=1e-4)


def test_the_class_token_is_not_pooled_but_attended(tmp_path: Path) -> None:
    adapter = tiny(tmp_path, MODEL, depth=1)
    features = random_features(64)
    before = adapter.logits(features)
    with (
        torch.no_grad()
    ):  # with one block and attention that copies nothing, the class token can have no effect
        network = adapter.network
        assert isinstance(network, Network)
        network.cls_token.add_(1)
        assert not torch.equal(adapter.logits(features), before)
        network.blocks[0].attn.proj.weight.zero_()  # type: ignore[union-attr, operator]
        alone = adapter.logits(features)
        network.cls_token.add_(1)
        assert torch.equal(adapter.logits(features), alone)


def test_its_front_end_is_asts() -> None:
    assert AudioMae.default_frontend == AST


def test_the_card_says_non_commercial() -> None:
    card, weights = find_model("audiomae-base")
    assert "NC" in card.licence
    assert "Non-commercial" in card.note
    assert card.weights[weights].file_name == "finetuned.pth"
