"""Starts from ImageNet weights: VMamba's file and DeiT's, with seeded values in their own layouts."""

import time
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from niah.errors import NiahError
from niah.networks.ast import Ast, AstConfig
from niah.networks.aum import Aum, AumConfig
from niah.networks.dass.network import Dass, DassConfig
from niah.training.initial_weights import (
    forward_scan,
    resize_positions,
    start_ast,
    start_dass,
    start_from_imagenet,
)
from tests.helpers.weight_server import hub_lies_at

SMALL = {"depths": (1, 1, 1, 1), "dims": (8, 16, 16, 16), "stem": (4, 8)}


def vmamba_state(network: Dass) -> dict[str, Tensor]:
    """A state dict as VMamba's trainer saves it: colours, 1 x 1 convolutions, 1000 classes."""
    generator = torch.Generator().manual_seed(0)
    state = {k: torch.randn(v.shape, generator=generator) for k, v in network.state_dict().items()}
    first = state["patch_embed.0.weight"]
    state["patch_embed.0.weight"] = torch.randn(first.shape[0], 3, 3, 3, generator=generator)
    state["classifier.head.weight"] = torch.randn(1000, 16, generator=generator)
    state["classifier.head.bias"] = torch.randn(1000, generator=generator)
    for key, value in state.items():
        if key.endswith(("in_proj.weight", "out_proj.weight", "fc1.weight", "fc2.weight")):
            state[key] = value[..., None, None]
    return state


def test_dass_starts_from_vmamba(tmp_path: Path) -> None:
    network = Dass(DassConfig(classes=5, **SMALL))  # type: ignore[arg-type]
    head = network.state_dict()["classifier.head.weight"].clone()
    state = vmamba_state(network)
    torch.save({"model": state, "epoch": 3}, tmp_path / "vmamba.pth")
    start_from_imagenet(network, str(tmp_path / "vmamba.pth"), "dass")
    own = network.state_dict()
    torch.testing.assert_close(
        own["patch_embed.0.weight"], state["patch_embed.0.weight"].sum(1, keepdim=True)
    )
    assert torch.equal(own["classifier.head.weight"], head)
    for key in ("layers.0.blocks.0.op.in_proj.weight", "layers.3.blocks.0.mlp.fc2.weight"):
        assert torch.equal(own[key], state[key][..., 0, 0])
    assert torch.equal(own["classifier.norm.weight"], state["classifier.norm.weight"])


def test_older_names_of_vmamba_are_known() -> None:
    network = Dass(DassConfig(classes=5, **SMALL))  # type: ignore[arg-type]
    state = vmamba_state(network)
    older = {
        key.replace("patch_embed.0.", "patch_embed.proj.")
        .replace("patch_embed.2.", "patch_embed.norm.")
        .replace(".op.", ".self_attention.")
        .replace("blocks.0.norm.", "blocks.0.ln_1.")
        .replace("classifier.", ""): value
        for key, value in state.items()
    }
    start_dass(network, older, "older")
    assert torch.equal(
        network.state_dict()["layers.1.blocks.0.op.Ds"], state["layers.1.blocks.0.op.Ds"]
    )
    del state["layers.0.blocks.0.op.Ds"]
    with pytest.raises(
        NiahError, match=r"cut does not fit this model: 1 missing \(layers\.0\.blocks\.0\.op\.Ds"
    ):
        start_dass(network, state, "cut")


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_ast_starts_from_timms_deit(positions: str) -> None:
    deit = timm.create_model("deit_tiny_distilled_patch16_224", pretrained=False)
    torch.manual_seed(0)
    state: dict[str, Tensor] = {k: torch.randn(v.shape) for k, v in deit.state_dict().items()}
    network = Ast(AstConfig(width=192, heads=3, classes=7, positions=positions))  # type: ignore[arg-type]
    head = network.state_dict()["mlp_head.1.weight"].clone()
    start_ast(network, state, "deit")
    own = network.state_dict()
    torch.testing.assert_close(
        own["v.patch_embed.proj.weight"], state["patch_embed.proj.weight"].sum(1, keepdim=True)
    )
    assert torch.equal(own["v.blocks.11.attn.qkv.weight"], state["blocks.11.attn.qkv.weight"])
    assert torch.equal(own["mlp_head.1.weight"], head)
    assert ("v.pos_embed" in own) == (positions == "learned")


def test_positions_of_a_square_become_those_of_a_map() -> None:
    """24 x 24 to 12 x 101, as AST: the middle rows, and columns on a line between their neighbours."""
    row, column = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    table = torch.stack([row, column], dim=-1).reshape(1, 576, 2)
    classes = torch.full((1, 2, 2), -7.0)
    resized = resize_positions(torch.cat([classes, table], dim=1), (12, 101))
    assert torch.equal(resized[:, :2], classes)
    grid = resized[0, 2:].reshape(12, 101, 2)
    torch.testing.assert_close(grid[:, 40, 0], torch.arange(6.0, 18.0))
    # align_corners=False: column j of 101 lies at (j + 1/2) 24 / 101 - 1/2
    expected = ((torch.arange(101) + 0.5) * 24 / 101 - 0.5).clamp(0, 23)
    torch.testing.assert_close(grid[3, :, 1], expected, atol=1e-4, rtol=0)


def test_what_cannot_be_had_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path))
    dead = "http://127.0.0.1:9"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub_lies_at(dead, monkeypatch)
    monkeypatch.setattr("niah.training.initial_weights._RELEASES", f"{dead}/")
    begin = time.monotonic()
    with pytest.raises(NiahError, match=r"9/vssm1_tiny_0230s\S* cannot be fetched .*start_file"):
        start_from_imagenet(Dass(DassConfig()), "", "dass-small")
    with pytest.raises(NiahError, match=r"timm/deit_tiny\S*: http://127.0.0.1:9 .*start_file"):
        start_from_imagenet(Ast(AstConfig(width=192, depth=1, heads=3)), "", "ast-tiny")
    assert time.monotonic() - begin < 5
    odd = Dass(DassConfig(**SMALL))  # type: ignore[arg-type]
    with pytest.raises(NiahError, match="VMamba has no weights of depths"):
        start_from_imagenet(odd, "", "odd")
    with pytest.raises(NiahError, match="has no ImageNet weights"):
        start_from_imagenet(torch.nn.Linear(2, 2), "", "other")


def test_a_causal_aum_starts_from_the_forward_scan() -> None:
    other = Aum(AumConfig(width=8, depth=2, mels=32, trained_frames=64, classes=5))
    causal = Aum(AumConfig(width=8, depth=2, mels=32, classes=5, design="fo-fo", causal=True))
    state = other.state_dict()
    taken = forward_scan(state, causal)
    causal.load_state_dict(taken)  # strict
    table = state["pos_embed.pos_embed"]
    assert torch.equal(taken["pos_embed.pos_embed"][:, 0], table[:, 0])
    torch.testing.assert_close(taken["pos_embed.pos_embed"][:, 2], table[:, 5:].mean(dim=1))
    assert torch.equal(taken["layers.1.mixer.A_log"], state["layers.1.mixer.A_log"])
    assert forward_scan(taken, causal) is taken
