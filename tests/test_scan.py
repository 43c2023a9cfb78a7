"""The selective scan: the reference against a float64 loop, the fast one against the reference."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.scan import DIRECTIONS, Backend, cross_scan
from niah.scan.reference import to_map, to_sequence

# (batch, T, F, channels, rank): odd sizes, one of everything, channels across and beside a block of 48
SHAPES = [(1, 1, 1, 1, 1), (2, 7, 3, 5, 2), (1, 31, 4, 48, 3), (3, 9, 2, 50, 3), (1, 1000, 1, 3, 1)]
TOLERANCE = {"output": 1e-6, "gradient": 1e-5}  # largest error / largest value, float32


def arguments(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0
) -> list[Tensor]:
    batch, columns, rows, channels, rank = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    return [
        normal(batch, columns, rows, channels),
        normal(batch, columns, rows, DIRECTIONS, rank + 2),
        normal(DIRECTIONS, channels, rank) / 2,
        normal(DIRECTIONS, channels) - 3,
        -normal(DIRECTIONS, channels).abs() - 0.1,
        normal(DIRECTIONS, channels),
    ]


def visiting_order(columns: int, rows: int, direction: int) -> list[tuple[int, int]]:
    """(t, f) of each step, from the definition in facts: along rows, along columns, and both reversed."""
    order = [(t, f) for f in range(rows) for t in range(columns)]
    if direction in (1, 3):
        order = [(t, f) for t in range(columns) for f in range(rows)]
    return order[::-1] if direction >= 2 else order


def by_hand(
    u: Tensor, p: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> NDArray[np.float64]:
    """The recurrence written out in float64 with plain loops."""
    U, P, W, bias, a, d = (x.double().numpy() for x in (u, p, dt_weight, dt_bias, A, D))
    batch, columns, rows, channels = U.shape
    rank = W.shape[-1]
    y = np.zeros_like(U)
    for b in range(batch):
        for k in range(DIRECTIONS):
            h = np.zeros(channels)
            for t, f in visiting_order(columns, rows, k):
                z = W[k] @ P[b, t, f, k, :rank] + bias[k]
                delta = np.logaddexp(0, z)
                h = np.exp(delta * a[k]) * h + delta * P[b, t, f, k, rank] * U[b, t, f]
                y[b, t, f] += P[b, t, f, k, rank + 1] * h + d[k] * U[b, t, f]
    return y


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_reference_is_the_recurrence_written_out(shape: tuple[int, ...]) -> None:
    args = arguments(shape, torch.float64)
    found = cross_scan(*args, backend="reference")
    np.testing.assert_allclose(found.numpy(), by_hand(*args), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("direction", range(DIRECTIONS))
def test_sequences_visit_the_map_in_the_official_order(direction: int) -> None:
    """Facts 1.3, measured on H = 2 mel rows, W = 3 columns: 012345 / 031425 / 543210 / 524130."""
    official = ["012345", "031425", "543210", "524130"][direction]
    cells = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]).T[None, ..., None]  # (1, T=3, F=2, 1)
    sequence = to_sequence(cells, direction)
    assert "".join(str(int(v)) for v in sequence.flatten()) == official
    assert torch.equal(to_map(sequence, 3, 2, direction), cells)


FAST: list[Backend] = ["cpu", "chunked"]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shape", SHAPES)
def test_fast_scans_equal_the_reference(shape: tuple[int, ...], backend: Backend) -> None:
    args = arguments(shape)
    expected = cross_scan(*(a.double() for a in args), backend="reference")
    found = cross_scan(*args, backend=backend)
    assert relative_error(found.double(), expected) < TOLERANCE["output"]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_fast_gradients_equal_the_reference(shape: tuple[int, ...], backend: Backend) -> None:
    upstream = torch.randn(
        shape[:4], generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    gradients = []
    cases: list[tuple[torch.dtype, Backend]] = [
        (torch.float64, "reference"),
        (torch.float32, backend),
    ]
    for dtype, used in cases:
        args = [a.to(dtype).requires_grad_() for a in arguments(shape)]
        y = cross_scan(*args, backend=used)
        gradients.append(torch.autograd.grad((y * upstream.to(dtype)).sum(), args))
    for expected, found in zip(*gradients, strict=True):
        assert relative_error(found.double(), expected) < TOLERANCE["gradient"]


def test_reference_gradients_are_those_of_finite_differences() -> None:
    args = [a.requires_grad_() for a in arguments((1, 3, 2, 2, 1), torch.float64)]
    assert torch.autograd.gradcheck(lambda *a: cross_scan(*a, backend="reference"), args)


def test_state_is_handed_from_row_to_row() -> None:
    """With next to no decay, an impulse in the first row must still be heard at the end of the last."""
    u, p, dt_weight, dt_bias, A, D = arguments((1, 40, 3, 2, 1))
    u.zero_()
    u[0, 0, 0] = 1
    p[..., 1:] = 1
    p[..., 1:, :] = 0  # direction 0 alone
    dt_weight.zero_(), dt_bias.fill_(0.0), A.fill_(-1e-4), D.zero_()
    y = cross_scan(u, p, dt_weight, dt_bias, A, D, backend="cpu")
    step = math.log(2)  # softplus(0)
    assert float(y[0, -1, -1, 0]) == pytest.approx(step * math.exp(-1e-4 * step * 119), rel=1e-5)


@pytest.mark.parametrize("step", [-30.0, -10.0, 0.0, 20.0, 21.0, 100.0])
@pytest.mark.parametrize("decay", [-1e-6, -1.0, -1e3])
def test_extremes_stay_finite_and_exact(step: float, decay: float) -> None:
    u, p, dt_weight, dt_bias, A, D = arguments((1, 5, 3, 4, 2))
    dt_weight.zero_(), dt_bias.fill_(step), A.fill_(decay)
    u *= 1e4
    args = (u, p, dt_weight, dt_bias, A, D)
    expected = torch.from_numpy(by_hand(*args))
    found = cross_scan(*args, backend="cpu").double()
    assert bool(torch.isfinite(found).all())
    assert relative_error(found, expected) < TOLERANCE["output"]


def test_threads_do_not_change_a_bit() -> None:
    args = arguments((2, 50, 4, 100, 3))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = cross_scan(*args)
        torch.set_num_threads(2)
        two = cross_scan(*args)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, two)
