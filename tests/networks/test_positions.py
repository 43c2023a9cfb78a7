"""Position tables: sinusoids by their formula, resizing against filters written out in numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from niah.networks.layers.positions import cut_or_resize, resize_smoothly, sinusoid, sinusoid_at


def filtered(x: NDArray[np.float64], size: int, antialias: bool) -> NDArray[np.float64]:
    """Along the last axis: a triangle around each new place, as wide as the step where antialias widens it."""
    scale = x.shape[-1] / size
    width = max(scale, 1.0) if antialias else 1.0
    out = np.empty((*x.shape[:-1], size))
    for i in range(size):
        centre = (i + 0.5) * scale - 0.5
        places = np.arange(np.floor(centre - width), np.ceil(centre + width) + 1).astype(int)
        weights = np.maximum(0, 1 - np.abs(places - centre) / width)
        if antialias:  # what hangs over the end is left out
            weights[(places < 0) | (places >= x.shape[-1])] = 0
        places = places.clip(0, x.shape[-1] - 1)  # without it the end is repeated
        out[..., i] = (x[..., places] * weights).sum(-1) / weights.sum()
    return out


@pytest.mark.parametrize("columns", [1, 32, 63, 64, 65, 101, 312])
def test_aum_resizes_with_antialias(columns: int) -> None:
    table = torch.randn(1, 8 * 64, 5, dtype=torch.float64)
    by_hand = filtered(table.view(8, 64, 5).numpy().transpose(2, 0, 1), columns, antialias=True)
    found = resize_smoothly(table, (8, 64), (8, columns)).view(8, columns, 5)
    np.testing.assert_allclose(found.numpy().transpose(2, 0, 1), by_hand, atol=1e-12)


@pytest.mark.parametrize("wanted", [(8, 65), (8, 101), (12, 101), (12, 64), (8, 312), (1, 80)])
def test_ast_and_ssast_resize_time_then_mel(wanted: tuple[int, int]) -> None:
    table = torch.randn(1, 8 * 64, 5, dtype=torch.float64)
    places = table.view(8, 64, 5).numpy().transpose(2, 0, 1)
    by_hand = filtered(places, wanted[1], antialias=False)
    by_hand = filtered(by_hand.swapaxes(1, 2), wanted[0], antialias=False).swapaxes(1, 2)
    found = cut_or_resize(table, (8, 64), wanted).view(*wanted, 5)
    np.testing.assert_allclose(found.numpy().transpose(2, 0, 1), by_hand, atol=1e-12)


@pytest.mark.parametrize(("columns", "first"), [(32, 16), (31, 17), (63, 1), (1, 32)])
def test_fewer_columns_are_cut_from_the_middle(columns: int, first: int) -> None:
    table = torch.arange(8 * 64.0).view(1, -1, 1)
    found = cut_or_resize(table, (8, 64), (8, columns)).view(8, columns)
    assert torch.equal(found, table.view(8, 64)[:, first : first + columns])


def test_a_sinusoid_is_the_formula_at_every_place() -> None:
    table = sinusoid(70_000, 6)  # more than a block
    for place in (0, 1, 777, 65_535, 65_536, 69_999):
        for i in range(3):
            angle = place * 10000 ** (-2 * i / 6)
            assert float(table[place, 2 * i]) == pytest.approx(np.sin(angle), abs=1e-6)
            assert float(table[place, 2 * i + 1]) == pytest.approx(np.cos(angle), abs=1e-6)
    places = torch.tensor([69_999, 3, 3])
    assert torch.equal(sinusoid_at(places, 6), table[places])
