"""The selective scan: the reference against a float64 loop, the fast one against the reference."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from niah.scan import DIRECTIONS, Backend, choose_backend, cross_scan, selective_scan
from niah.scan.cpu.map import Parameters, scan_way
from niah.scan.cpu.math import OPTIONS, exp_of_non_positive, softplus_in_place
from niah.scan.cpu.sequence import _advance
from niah.scan.reference import to_map, to_sequence
from tests.helpers.scan_inputs import (
    FAST,
    TOLERANCE,
    arguments,
    relative_error,
    sequence,
)

# (batch, T, F, channels, rank): odd sizes, one of everything, channels across and beside a block of 48
SHAPES = [(1, 1, 1, 1, 1), (2, 7, 3, 5, 2), (1, 31, 4, 48, 3), (3, 9, 2, 50, 3), (1, 1000, 1, 3, 1)]


def visiting_order(columns: int, rows: int, direction: int) -> list[tuple[int, int]]:
    """(t, f) of each step, by VMamba's CrossScan: along rows, along columns, and both reversed."""
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


@pytest.mark.parametrize("shape", SHAPES)
def test_both_ways_at_once_are_the_chunked_scan(shape: tuple[int, ...]) -> None:
    args = arguments(shape)
    truth = cross_scan(*(x.double() for x in args), backend="reference")[0]
    u, p = args[0][0], args[1][0].flatten(2)
    ways = torch.full((2, *u.shape), math.nan)
    for way in (0, 1):
        scan_way(Parameters.of(*args[2:]), u, p, ways[way], reverse=bool(way))
    assert relative_error(ways.sum(0).double(), truth) < TOLERANCE["output"]


# what the kernels stand on


def test_exp_and_softplus_keep_their_precision() -> None:
    @njit(**{**OPTIONS, "cache": False})
    def exponentials(x, out):  # type: ignore[no-untyped-def]
        for n in range(x.shape[0]):
            out[n] = exp_of_non_positive(x[n])

    x = -np.geomspace(1e-7, 87, 100_001).astype(np.float32)
    out = np.empty_like(x)
    exponentials(x, out)
    assert np.abs(out / np.exp(x.astype(np.float64)) - 1).max() < 1.5e-7
    z = np.linspace(-30, 30, 100_001).astype(np.float32)
    out = z.copy()
    softplus_in_place(out, np.empty_like(z), len(z))
    assert np.abs(out / np.logaddexp(0, z.astype(np.float64)) - 1).max() < 2.5e-7


def test_the_backend_follows_device_and_dtype() -> None:
    assert choose_backend(torch.empty(0)) == "cpu"
    assert choose_backend(torch.empty(0, dtype=torch.bfloat16)) == "cpu"
    assert choose_backend(torch.empty(0, dtype=torch.float64)) == "chunked"
    assert choose_backend(torch.empty(0), "reference") == "reference"


@pytest.mark.parametrize("scan", ["map", "sequence"])
def test_cpu_scan_refuses_float64(scan: str) -> None:
    u, z, B, C, A, D, _ = sequence(2, 1, torch.float64)
    run: dict[str, Callable[[], Tensor]] = {
        "map": lambda: cross_scan(*arguments((1, 2, 2, 2, 1), torch.float64), backend="cpu"),
        "sequence": lambda: selective_scan(u, z, B, C, A, D, backend="cpu"),
    }
    with pytest.raises(TypeError, match="float32 or 16-bit"):
        run[scan]()


def test_kernel_indices_pass_two_to_the_32(tmp_path: Path) -> None:
    """Two items of 2^31 + 64 channels in sparse files: the last block of the second is what it is on its own."""
    width, states = 64, 2
    channels = 2**31 + width
    small = [x.numpy() for x in sequence(1, states, torch.float32, width)]
    u, z, B, C, A, D, state = (x[-1:] if x.ndim == 3 else x for x in small)
    A, state, y = (
        np.ascontiguousarray(A.T),
        np.ascontiguousarray(state.mT),
        np.zeros((1, 1, width), "f"),
    )

    def far(name: str, *shape: int) -> NDArray[np.float32]:
        return np.memmap(tmp_path / name, np.float32, mode="w+", shape=shape)

    big = {name: far(name, 2, 1, channels) for name in "uzy"}
    big_state, big_A, big_D = (
        far("s", 2, states, channels),
        far("A", states, channels),
        far("D", channels),
    )
    big["u"][1, :, -width:], big["z"][1, :, -width:] = u[0], z[0]
    big_state[1, :, -width:], big_A[:, -width:], big_D[-width:] = state[0], A, D
    kept = np.empty((0, 1, states, 1), np.float32)
    both = [np.repeat(x, 2, axis=0) for x in (B, C)]
    first = channels - width
    _advance(
        big["u"], big["z"], *both, big_A, big_D, big["y"], big_state, kept, 1, first, width, False
    )
    _advance(u, z, B, C, A, D, y, state, kept, 0, 0, width, False)
    assert np.any(y)
    np.testing.assert_array_equal(big["y"][1, :, -width:], y[0])
    np.testing.assert_array_equal(big_state[1, :, -width:], state[0])


@pytest.mark.parametrize("backend", ["reference", "chunked", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_backend_gives_float32_for_float16_and_holds_what_float16_does_not(
    backend: Backend, dtype: torch.dtype
) -> None:
    expected = torch.float32 if dtype == torch.float16 else dtype
    args = [x.to(dtype) for x in arguments((1, 4, 2, 3, 2))]
    args[0] = torch.full_like(args[0], 6e4)
    args[5] = torch.full_like(args[5], 10.0)  # D: y is past 65,504
    y = cross_scan(*args, backend=backend)
    assert y.dtype == expected
    assert bool(y.isfinite().all())
    assert float(y.abs().max()) > 65_504
    u = args[0].flatten(1, 2)
    z, B, C = (torch.zeros(1, 8, n, dtype=dtype) for n in (3, 2, 2))
    A, D = -torch.ones(3, 2, dtype=dtype), torch.full((3,), 10.0, dtype=dtype)
    y = selective_scan(u, z, B, C, A, D, backend=backend)
    assert y.dtype == expected
    assert float(y.max()) == pytest.approx(6e5, rel=1e-2)
