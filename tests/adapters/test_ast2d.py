"""AST's positions taken apart: two dimensions, renumbering, repetition, log-length attention; and the hub's own AST."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import niah
from niah.adapters.ast import Ast as Adapter
from niah.errors import NiahError
from niah.networks.ast import Ast, AstConfig
from niah.networks.layers.positions import sinusoid, sinusoid_at

CARD = """
name = "mine"
adapter = "niah.adapters.ast:Ast"
labels = "esc-10"
[config]
width = 32
heads = 2
depth = 2
"""


def network_of(positions: str, **options: object) -> Ast:
    torch.manual_seed(3)
    config = AstConfig(width=32, heads=2, depth=2, classes=10, positions=positions, **options)  # type: ignore[arg-type]
    return Ast(config).eval().requires_grad_(False)


def by_place(network: Ast, frames: int) -> Tensor:
    """(rows, columns, D) positions of the patches."""
    rows, columns = network.config.grid(frames)
    return network.v.positions(frames)[0, 2:].view(rows, columns, -1)


def test_two_dimensions_are_a_sinusoid_of_the_column_and_one_of_the_row() -> None:
    network = network_of("sinusoidal-2d")
    table = by_place(network, 3000)
    for row, column in ((0, 0), (5, 17), (11, 298)):
        expected = torch.cat([sinusoid_at(torch.tensor([i]), 16)[0] for i in (column, row)])
        assert torch.equal(table[row, column], expected)
    assert not network.v.positions(3000)[0, :2].any()
    assert "v.pos_embed" not in network.state_dict()


def test_a_longer_input_keeps_every_old_position_in_two_dimensions_and_one_row_in_one() -> None:
    two, one = network_of("sinusoidal-2d"), network_of("sinusoidal")
    assert torch.equal(by_place(two, 5000)[:, :101], by_place(two, 1024))
    long, short = by_place(one, 5000)[:, :101], by_place(one, 1024)
    assert torch.equal(long[0], short[0])
    assert all(not torch.allclose(long[row], short[row], atol=0.1) for row in range(1, 12))


def test_renumbering_alone_gives_a_short_input_the_positions_of_a_long_one() -> None:
    as_if = network_of("sinusoidal", positions_as_if_s=50.0)
    plain = network_of("sinusoidal")
    assert torch.equal(by_place(as_if, 1024), by_place(plain, 5000)[:, :101])
    assert torch.equal(as_if.v.positions(1024)[:, :2], plain.v.positions(1024)[:, :2])
    assert torch.equal(as_if.v.positions(5000), plain.v.positions(5000))
    x = torch.randn(1, 1024, 128)
    assert not torch.allclose(as_if(x), plain(x), atol=1e-3)
    two = network_of("sinusoidal-2d", positions_as_if_s=50.0)
    assert torch.equal(two.v.positions(1024), network_of("sinusoidal-2d").v.positions(1024))


def test_renumbering_works_on_interpolated_positions_too() -> None:
    as_if, plain = network_of("interpolated", positions_as_if_s=50.0), network_of("interpolated")
    assert torch.equal(by_place(as_if, 1024), by_place(plain, 5000)[:, :101])


def test_an_input_longer_than_what_it_is_taken_for_is_told() -> None:
    with pytest.raises(
        NiahError, match="positions_as_if_s = 20 has 199 patch columns, the input 499"
    ):
        network_of("sinusoidal", positions_as_if_s=20.0)(torch.zeros(1, 5000, 128))


@pytest.mark.parametrize("kind", ["learned", "interpolated", "sinusoidal", "sinusoidal-2d"])
def test_repeated_positions_start_again_every_trained_length(kind: str) -> None:
    network = network_of(kind, repeat_positions=True)
    once, table = by_place(network, 1024), by_place(network, 3000)
    assert torch.equal(once, by_place(network_of(kind), 1024))
    assert torch.equal(table[:, :101], once)
    assert torch.equal(table[:, 101:202], once)
    assert torch.equal(table[:, 202:], once[:, :97])
    assert torch.equal(network.v.positions(3000)[:, :2], network.v.positions(1024)[:, :2])
    assert torch.equal(by_place(network, 500), once[:, :49])


def test_log_length_attention_scales_the_logits_of_attention() -> None:
    network, plain = network_of("sinusoidal", log_length_scale=True), network_of("sinusoidal")
    x = torch.randn(1, 1024, 128)
    assert torch.equal(network(x), plain(x))  # the trained length is left as it is
    tokens = torch.randn(1, 2426, 32)
    attention = network.v.blocks[0].attn
    found = attention(tokens)  # type: ignore[operator]
    q, k, v = attention.qkv(tokens).view(1, 2426, 3, 2, 16).permute(2, 0, 3, 1, 4)  # type: ignore[operator, union-attr]
    logits = q @ k.transpose(-2, -1) / 4 * (math.log(2426) / math.log(1214))
    by_hand = (logits.softmax(-1) @ v).transpose(1, 2).reshape(1, 2426, 32)
    torch.testing.assert_close(found, attention.proj(by_hand), atol=1e-5, rtol=0)  # type: ignore[operator, union-attr]
    assert network.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"positions": "spiral"}, "'spiral' is none of"),
        ({"positions": "learned", "positions_as_if_s": 50.0}, "no positions_as_if_s"),
        ({"positions_as_if_s": 50.0, "repeat_positions": True}, "exclude each other"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AstConfig(**{"positions": "sinusoidal", **options})  # type: ignore[arg-type]


def test_a_card_sets_the_options(tmp_path: Path) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD + 'positions = "sinusoidal"\nrepeat_positions = true\n')
    adapter = niah.load_model(card, checkpoint="random")
    assert isinstance(adapter, Adapter)
    assert adapter.network.config.repeat_positions
    card.write_text(CARD + 'positions = "spiral"\n')
    with pytest.raises(NiahError, match=r"mine.toml: \[config\] does not fit"):
        niah.load_model(card, checkpoint="random")


def test_the_two_dimensional_card_refuses_learned_positions(tmp_path: Path) -> None:
    card = tmp_path / "mine.toml"
    card.write_text(CARD + 'positions = "sinusoidal-2d"\n')
    made = network_of("sinusoidal-2d")
    kept = {**made.state_dict(), "v.pos_embed": made.v.positions(1024)}
    save_file(kept, tmp_path / "kept.safetensors")
    assert niah.load_model(card, checkpoint=tmp_path / "kept.safetensors").name == "mine"
    for wrong in (torch.randn(1, 1214, 32), sinusoid(1214, 32)[None]):
        save_file({**kept, "v.pos_embed": wrong}, tmp_path / "wrong.safetensors")
        with pytest.raises(NiahError, match="not the sinusoid"):
            niah.load_model(card, checkpoint=tmp_path / "wrong.safetensors")


def test_the_card_is_ast_base_with_two_dimensional_positions() -> None:
    from niah.cards import find_model

    card, weights = find_model("ast-sin2d")
    assert card.config == {"positions": "sinusoidal-2d"}
    assert card.parameters == find_model("ast-sin-base")[0].parameters
    assert weights == ""


@pytest.mark.parametrize("frames", [512, 1024])
def test_the_hub_layout_gives_what_transformers_gives(tmp_path: Path, frames: int) -> None:
    """transformers' AST, with the official LayerNorm eps (its own 1e-12 differs by 6e-4)."""
    transformers = pytest.importorskip(
        "transformers", reason="optional oracle: pip install transformers"
    )
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_length=frames,
        num_labels=10,
        layer_norm_eps=1e-6,
    )
    theirs = transformers.ASTForAudioClassification(config).eval()
    theirs.classifier.layernorm.eps = 1e-5
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    card = tmp_path / "mine.toml"
    card.write_text(CARD + f"trained_frames = {frames}\n")
    ours = niah.load_model(card, checkpoint=tmp_path / "model.safetensors")
    x = torch.randn(2, frames, 128)
    with torch.no_grad():
        expected = theirs(input_values=x).logits
    torch.testing.assert_close(ours.logits(x), expected, atol=1e-5, rtol=0)
