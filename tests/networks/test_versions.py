"""Weights that change, by whatever means, put what was prepared from them out of date."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from niah.networks.versions import Versions


def stepped(network: nn.Module, **options: Any) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), **options)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()


def added(network: nn.Module) -> None:
    with torch.no_grad():
        next(network.parameters()).add_(1)


CHANGES: dict[str, Callable[[nn.Module], None]] = {
    "fused step": lambda network: stepped(network, fused=True),
    "foreach step": lambda network: stepped(network, foreach=True),
    "in place": added,
    "loaded": lambda network: network.load_state_dict(nn.Linear(2, 2).state_dict()) and None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_a_new_version(change: str) -> None:
    network = nn.Linear(2, 2)
    versions = Versions(network)
    before, weights = versions.now(), network.weight.detach().clone()
    assert versions.now() == before
    CHANGES[change](network)
    assert not torch.equal(network.weight, weights)
    assert versions.now() != before
