"""The shared block: equal to timm's and to torch's own layers, by stretches or whole, and never N x N."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from timm.layers.drop import DropPath as TimmDropPath
from timm.models.vision_transformer import Block as TimmBlock
from torch import nn

import niah
from niah.networks.ast import Block as AstBlock
from niah.networks.layers import vit
from niah.networks.layers.drop_path import DropPath
from niah.networks.layers.vit import (
    TOKENS_READ,
    Attention,
    Block,
    embed_patches,
    first_tokens,
    largest_tensor,
)
from tests.helpers.tiny_vit import HEADS, WIDTH, LargestTensor, random_features, tiny


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_the_pre_norm_block_is_timms() -> None:
    block = Block(WIDTH, HEADS)
    norm = partial(nn.LayerNorm, eps=1e-6)
    timms = TimmBlock(WIDTH, HEADS, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]
    timms.load_state_dict(block.state_dict())
    x = torch.randn(2, 37, WIDTH)
    torch.testing.assert_close(block(x), timms(x), atol=1e-6, rtol=0)


def test_the_ast_block_is_timms_to_the_last_bit() -> None:
    """Same initial weights from the same draws, same output, same gradients."""
    norm = partial(nn.LayerNorm, eps=1e-6)
    torch.manual_seed(3)
    timms = TimmBlock(WIDTH, HEADS, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]
    torch.manual_seed(3)
    block = AstBlock(WIDTH, HEADS)
    x = torch.randn(2, 37, WIDTH)
    states = []
    for each in (block, timms):
        y = each(x)
        y.square().sum().backward()
        gradients = {name: value.grad for name, value in each.named_parameters()}
        states.append((y, each.state_dict(), gradients))
    (ours, weights, gradients), (theirs, their_weights, their_gradients) = states
    assert torch.equal(ours, theirs)
    assert list(weights) == list(their_weights)
    for name, value in weights.items():
        assert torch.equal(value, their_weights[name])
        if name in gradients:
            torch.testing.assert_close(gradients[name], their_gradients[name], atol=0, rtol=0)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_dropped_paths_are_timms_draws(rate: float) -> None:
    x = torch.randn(9, 3, 2)
    outputs = []
    for layer in (DropPath(rate), TimmDropPath(rate)):
        torch.manual_seed(5)
        outputs.append(layer.train()(x))
        assert layer.eval()(x) is x
    assert torch.equal(*outputs)


def test_the_post_norm_block_is_torchs_encoder_layer() -> None:
    block = Block(WIDTH, HEADS, eps=1e-6, post_norm=True)
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True
    )
    theirs = {
        "self_attn.in_proj_weight": "attn.qkv.weight",
        "self_attn.in_proj_bias": "attn.qkv.bias",
        "self_attn.out_proj.weight": "attn.proj.weight",
        "self_attn.out_proj.bias": "attn.proj.bias",
        **{f"linear{i}.{part}": f"mlp.fc{i}.{part}" for i in (1, 2) for part in ("weight", "bias")},
        **{f"norm{i}.{part}": f"norm{i}.{part}" for i in (1, 2) for part in ("weight", "bias")},
    }
    state = block.state_dict()
    layer.load_state_dict({their: state[ours] for their, ours in theirs.items()})
    x = torch.randn(2, 37, WIDTH)
    torch.testing.assert_close(block(x), layer(x), atol=2e-6, rtol=0)


@pytest.mark.parametrize("post_norm", [False, True])
@pytest.mark.parametrize("tokens", [1, 7, 8, 50])
def test_stretches_of_tokens_equal_the_whole(
    monkeypatch: pytest.MonkeyPatch, post_norm: bool, tokens: int
) -> None:
    block = Block(WIDTH, HEADS, post_norm=post_norm).eval()
    x = torch.randn(3, tokens, WIDTH)
    with_gradients = block(x)
    with torch.inference_mode():
        whole = block(x)
        monkeypatch.setattr(vit, "TOKENS_AT_ONCE", 7)
        given = x.clone()
        by_stretches = block(x)
    assert torch.equal(x, given)  # the caller's tensor is left alone
    torch.testing.assert_close(by_stretches, whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(with_gradients, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("post_norm", [False, True])
def test_no_tensor_is_larger_than_said(monkeypatch: pytest.MonkeyPatch, post_norm: bool) -> None:
    monkeypatch.setattr(vit, "TOKENS_AT_ONCE", 32)
    block = Block(WIDTH, HEADS, post_norm=post_norm)
    with torch.inference_mode(), LargestTensor() as seen:
        block(torch.randn(2, 1000, WIDTH))
    assert seen.elements == largest_tensor(2, 1000, WIDTH, 1) == 2 * 1000 * WIDTH


@pytest.mark.parametrize("stride", [16, 10])
@pytest.mark.parametrize("mel_first", [False, True])
def test_patches_are_the_convolution(stride: int, mel_first: bool) -> None:
    projection = nn.Conv2d(1, WIDTH, 16, stride=stride)
    x = torch.randn(2, 75, 48)
    image = x.transpose(1, 2) if mel_first else x
    expected = projection(image[:, None]).permute(0, 2, 3, 1)
    found = embed_patches(x, projection, mel_first=mel_first)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width 64 is no multiple of heads 7"):
        Attention(64, 7)


@pytest.mark.parametrize("adapter", ["audiomae:AudioMae", "eat:Eat", "passt:Passt"])
def test_batches_equal_single_clips_at_any_length(tmp_path: Path, adapter: str) -> None:
    model = tiny(tmp_path, adapter)
    for frames in (16, 1000, 1025):
        features = random_features(frames, batch=3)
        single = torch.cat([model.logits(clip[None]) for clip in features])
        torch.testing.assert_close(model.logits(features), single, atol=1e-5, rtol=0)


@pytest.mark.parametrize("adapter", ["audiomae:AudioMae", "eat:Eat", "passt:Passt"])
def test_half_precision_stays_close(tmp_path: Path, adapter: str) -> None:
    expected = tiny(tmp_path, adapter).logits(random_features(1500))
    half = niah.load_model(tmp_path / "tiny.toml", checkpoint="random", seed=1, dtype="bfloat16")
    found = half.logits(random_features(1500))
    assert found.dtype == torch.float32
    assert 0 < float((found - expected).abs().max()) < 0.05


@pytest.mark.parametrize("length", [TOKENS_READ - 3, 157, 2498])
@pytest.mark.parametrize("kind", ["ast", "pre-norm", "post-norm"])
def test_the_first_tokens_have_the_bits_that_they_have_among_all(kind: str, length: int) -> None:
    width, heads = 128, 2
    made: list[nn.Module] = [
        AstBlock(width, heads)
        if kind == "ast"
        else Block(width, heads, post_norm=kind == "post-norm")
        for _ in range(2)
    ]
    blocks = nn.Sequential(*made)
    x = torch.randn(2, length, width)
    with torch.no_grad():
        assert torch.equal(first_tokens(blocks, x.clone(), 2), blocks(x.clone())[:, :2])


def test_gradients_through_the_first_tokens_are_those_through_all() -> None:
    blocks = nn.Sequential(*[AstBlock(WIDTH, HEADS) for _ in range(2)])
    x = torch.randn(2, 37, WIDTH)
    both = []
    for read in (first_tokens(blocks, x, 2), blocks(x)[:, :2]):
        blocks.zero_grad()
        read.square().sum().backward()
        both.append([p.grad.clone() for p in blocks.parameters() if p.grad is not None])
    assert len(both[0]) == len(both[1])
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
