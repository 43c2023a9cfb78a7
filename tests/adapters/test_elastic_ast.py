"""ElasticAST: the official logits of several lengths, attention without its scale, and the end of its positions."""

from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.elastic_ast import ElasticAst, official_names
from niah.adapters.loading import make_adapter
from niah.cards import find_model
from niah.errors import NiahError
from niah.networks.elastic_ast import ElasticAstConfig
from tests.helpers.goldens import Golden, golden_document, load_golden
from tests.helpers.small_card import small_card
from tests.helpers.tiny_vit import random_features


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("elastic-ast")


@pytest.fixture
def adapter(golden: Golden, tmp_path: Path) -> ElasticAst:
    """From a file as released: the state of a DataParallel."""
    torch.save(
        {f"module.{key}": value for key, value in golden.state.items()}, tmp_path / "released.pth"
    )
    config = "\n".join(f"{key} = {value}" for key, value in golden.document["config"].items())
    card = small_card(
        tmp_path, "niah.adapters.elastic_ast:ElasticAst", config, labels="audioset-527"
    )
    made = niah.load_model(card, tmp_path / "released.pth")
    assert isinstance(made, ElasticAst)
    return made


def test_logits_are_the_official_ones_at_every_length(golden: Golden, adapter: ElasticAst) -> None:
    """Among them a length that fills no patch, of which the authors' loader drops the rest."""
    cases = list(golden.cases())
    assert [features.shape[1] for features, _ in cases] == [16, 90, 512, 1024]
    for features, expected in cases:
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= 2e-5
    assert np.abs(cases[2][1] - cases[3][1]).max() > 1  # the input matters


def test_the_card_counts_the_parameters_of_the_official_network() -> None:
    card, _ = find_model("elasticast")
    made = make_adapter(card)
    assert made.parameters == card.parameters == golden_document("elastic-ast")["trainable_params"]
    assert (made.frontend.mean, made.frontend.std) == (-4.414, 4.905)


def test_past_its_positions_it_says_what_to_do(adapter: ElasticAst) -> None:
    features = random_features(1040)
    cut = adapter.logits(features[:, :1024])
    assert torch.equal(adapter.logits(features[:, :1039]), cut)  # 15 frames fill no patch
    with pytest.raises(
        NiahError, match=r"no native mode for 1040 frames.*16 to 1024; use --window"
    ):
        adapter.logits(features)


def test_a_checkpoint_with_half_of_a_layer_is_refused(golden: Golden) -> None:
    network = ElasticAst.build(golden.document["config"], 527)
    lacking = dict(golden.state)
    del lacking["blocks.modules_list.1.attn.to_kv.bias"]
    names = official_names(lacking, network)
    assert "blocks.1.attn.qkv.bias" not in names
    assert "blocks.1.attn.to_q.bias" in names  # strict loading reports it


def test_sizes_that_fill_no_patch_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of patch 16"):
        ElasticAstConfig(trained_frames=1000)
