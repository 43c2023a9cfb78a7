"""Making a network without drawing its weights: none of a checkpoint's are lost, and other networks still draw."""

import torch
from torch import nn

from niah.networks.layers.init import without_random_start


def test_nothing_is_drawn_within_and_everything_after() -> None:
    torch.manual_seed(0)
    expected = nn.Linear(4, 4).weight
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with without_random_start():
        nn.Linear(4, 4)
        nn.init.trunc_normal_(torch.empty(3))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(nn.Linear(4, 4).weight, expected)


def test_what_is_not_random_is_set_all_the_same() -> None:
    with without_random_start():
        norm = nn.LayerNorm(3)
        nn.init.zeros_(norm.bias)
    assert torch.equal(norm.weight, torch.ones(3))
    assert torch.equal(norm.bias, torch.zeros(3))
