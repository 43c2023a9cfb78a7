"""Gradient checkpointing: the gradients are the same bits, also of a copy, and drop path draws the same."""

import copy

import pytest
import torch
from torch import nn

from niah.adapters.ast import Ast
from niah.adapters.aum import Aum
from niah.adapters.dass import Dass
from niah.adapters.ssamba import Ssamba
from niah.errors import NiahError
from niah.training.recomputing import recompute_blocks

NETWORKS = {
    "dass": lambda: Dass.build(
        {"depths": [1, 2], "dims": [8, 16], "patch": 8, "drop_path": 0.5}, 3
    ),
    "ast": lambda: Ast.build(
        {"width": 16, "depth": 2, "heads": 2, "positions": "sinusoidal", "patch": [16, 32], "stride": [16, 32]}, 3
    ),
    "aum": lambda: Aum.build({"width": 16, "depth": 2, "patch": [16, 32], "drop_path": 0.5}, 3),
    "ssamba": lambda: Ssamba.build(
        {"width": 16, "depth": 2, "patch": [16, 32], "stride": [16, 32], "drop_path": 0.5}, 3
    ),
}  # fmt: skip


def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    network.train().zero_grad()
    network(torch.randn(2, 96, 128)).square().sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", NETWORKS)
def test_gradients_are_the_same_bits(family: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[family]()
    plain = gradients(network)
    assert recompute_blocks(network) >= 2
    copied = copy.deepcopy(network)
    for each in (network, copied):
        found = gradients(each)
        assert found.keys() == plain.keys()
        assert all(torch.equal(found[name], plain[name]) for name in plain)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
        assert not copied.eval()(torch.randn(1, 96, 128)).any()  # its own blocks
        assert network.eval()(torch.randn(1, 96, 128)).any()


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(NiahError, match="gradient_checkpointing: Linear has no blocks"):
        recompute_blocks(nn.Linear(2, 2))
