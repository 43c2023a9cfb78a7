"""The selective scan: the reference against a float64 loop, the fast one against the reference."""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from niah.scan import DIRECTIONS, Backend, choose_backend, cross_scan, output_dtype, selective_scan
from niah.scan.cpu.map import ChunkedMapScan, Parameters, scan_way
from niah.scan.cpu.math import OPTIONS, exp_of_non_positive, softplus_in_place
from niah.scan.cpu.sequence import _advance
from niah.scan.reference import scan_direction, to_map, to_sequence

# (batch, T, F, channels, rank): odd sizes, one of everything, channels across and beside a block of 48
SHAPES = [(1, 1, 1, 1, 1), (2, 7, 3, 5, 2), (1, 31, 4, 48, 3), (3, 9, 2, 50, 3), (1, 1000, 1, 3, 1)]
# largest error / largest value against the float64 reference on the same (rounded) inputs: of y, and of gradients
TOLERANCES = {
    torch.float64: (1e-12, 1e-12),
    torch.float32: (2e-6, 1e-5),
    torch.bfloat16: (5e-3, 2e-2),
    torch.float16: (6e-4, 3e-3),
}
TOLERANCE = {"output": 1e-6, "gradient": TOLERANCES[torch.float32][1]}
BACKENDS: list[tuple[Backend, torch.dtype]] = [
    ("reference", torch.float32),
    ("chunked", torch.float64),
    ("chunked", torch.float32),
    ("chunked", torch.bfloat16),
    ("chunked", torch.float16),
    ("cpu", torch.float32),
    ("cpu", torch.bfloat16),
    ("cpu", torch.float16),
]
LENGTHS = [1, 2, 7, 31, 1000, 4097, pytest.param(127_323, marks=pytest.mark.slow)]
CHANNELS = 50  # beside a block of 48


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


# one sequence, N states a channel


@cache
def sequence(
    length: int, states: int, dtype: torch.dtype, channels: int = CHANNELS
) -> list[Tensor]:
    """u, z, B, C, A, D and an initial state; steps of about 0.02, memories of tens to hundreds of steps."""
    generator = torch.Generator().manual_seed(length + states)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    u, z = normal(2, length, channels), normal(2, length, channels) - 4.0
    B, C = normal(2, length, states), normal(2, length, states)
    A = -torch.exp(normal(channels, states))
    made = [u, z, B, C, A, normal(channels), normal(2, channels, states)]
    return [x.to(dtype) for x in made]


@cache
def sequence_truth(length: int, states: int, dtype: torch.dtype, reverse: bool) -> list[Tensor]:
    *args, state = (x.double() for x in sequence(length, states, dtype))
    y, after = selective_scan(
        *args, reverse=reverse, initial_state=state, return_state=True, backend="reference"
    )
    return [y, after]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("states", [1, 16])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("backend", "dtype"), BACKENDS)
def test_sequence_scans_equal_the_reference(
    backend: Backend, dtype: torch.dtype, length: int, states: int, reverse: bool
) -> None:
    *args, state = sequence(length, states, dtype)
    found = selective_scan(
        *args, reverse=reverse, initial_state=state, return_state=True, backend=backend
    )
    tolerance = TOLERANCES[dtype][0]
    for made, true in zip(found, sequence_truth(length, states, dtype, reverse), strict=True):
        assert relative_error(made.double(), true) < tolerance
    assert found[0].dtype == output_dtype(dtype)


@cache
def one_direction(length: int, direction: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """Arguments with one direction's scan and its truth: that direction and D, in float64."""
    rows = next(rows for rows in (4, 3, 1) if length % rows == 0 or rows == 1)
    args = alone(arguments((1, length // rows, rows, 5, 2), dtype), direction)
    u, p, weight, bias, A, D = (x.double() for x in args)
    z = torch.nn.functional.linear(p[..., direction, :2], weight[direction], bias[direction])
    B, C = p[..., direction, 2], p[..., direction, 3]
    return args, scan_direction(u, z, B, C, A[direction], direction) + u * D.sum(0)


@pytest.mark.parametrize("direction", range(DIRECTIONS))
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("backend", "dtype"), BACKENDS[1:])
def test_map_scans_equal_the_reference(
    backend: Backend, dtype: torch.dtype, length: int, direction: int
) -> None:
    """One direction at a time: the others' C is zero."""
    args, truth = one_direction(length, direction, dtype)
    found = cross_scan(*args, backend=backend)
    assert found.dtype == output_dtype(dtype)
    assert relative_error(found.double(), truth) < TOLERANCES[dtype][0]


def alone(args: list[Tensor], direction: int) -> list[Tensor]:
    """Arguments of `cross_scan` with one direction's scan; D stays, and tells a lost one apart."""
    args[1][..., [k for k in range(DIRECTIONS) if k != direction], -1] = 0
    return args


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("length", "states"), [(1, 1), (2, 16), (31, 3), (33, 16), (127, 1)])
def test_sequence_gradients_equal_the_reference(
    length: int, states: int, reverse: bool, backend: Backend
) -> None:
    gradients = []
    cases: list[tuple[torch.dtype, Backend]] = [
        (torch.float64, "reference"),
        (torch.float32, backend),
    ]
    for dtype, used in cases:
        made = sequence(length, states, torch.float64)
        *args, state = leaves = [x.to(dtype).requires_grad_() for x in made]
        y, after = selective_scan(
            *args, reverse=reverse, initial_state=state, return_state=True, backend=used
        )
        weights = torch.linspace(-1, 1, y.numel(), dtype=dtype).view_as(y)
        gradients.append(torch.autograd.grad((y * weights).sum() + after.square().sum(), leaves))
    for expected, found in zip(*gradients, strict=True):
        assert relative_error(found.double(), expected) < TOLERANCE["gradient"]


def test_sequence_reference_gradients_are_those_of_finite_differences() -> None:
    leaves = [x.requires_grad_() for x in sequence(3, 2, torch.float64, channels=2)]

    def scan(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        *args, state = tensors
        return selective_scan(*args, initial_state=state, return_state=True, backend="reference")

    assert torch.autograd.gradcheck(scan, leaves)


@pytest.mark.parametrize("backend", ["reference", "chunked", "cpu"])
@pytest.mark.parametrize("reverse", [False, True])
def test_tiles_with_a_carried_state_are_the_whole(reverse: bool, backend: Backend) -> None:
    *args, state = sequence(100, 16, torch.float32)
    whole, after = selective_scan(
        *args, reverse=reverse, initial_state=state, return_state=True, backend=backend
    )
    u, z, B, C, A, D = args
    cuts = [(0, 1), (1, 34), (34, 100)]
    parts = {}
    for first, last in reversed(cuts) if reverse else cuts:
        tile = [*(x[:, first:last] for x in (u, z, B, C)), A, D]
        parts[first], state = selective_scan(
            *tile, reverse=reverse, initial_state=state, return_state=True, backend=backend
        )
    joined = torch.cat([parts[first] for first, _ in cuts], dim=1)
    assert relative_error(joined, whole) < TOLERANCE["output"]
    assert relative_error(state, after) < TOLERANCE["output"]


def test_two_backward_runs_give_the_same_bits() -> None:
    runs = []
    for _ in range(2):
        leaves = [x.clone().requires_grad_() for x in sequence(200, 16, torch.float32)]
        *args, state = leaves
        y = selective_scan(*args, initial_state=state, backend="cpu")
        runs.append(torch.autograd.grad(y.square().sum(), leaves))
    assert all(torch.equal(one, two) for one, two in zip(*runs, strict=True))


# the map scan in chunks


@pytest.mark.parametrize("cut", [1, 2, 7, 36, 37, 100])
def test_chunks_of_any_size_give_the_same(cut: int) -> None:
    """Slow decay, so that a state lost between chunks or rows shows."""
    args = arguments((1, 37, 3, 5, 2))
    args[3].fill_(-7.0)  # steps of about 1e-3
    truth = cross_scan(*(x.double() for x in args), backend="reference")[0]
    u, p = args[0][0], args[1][0].flatten(2)
    chunks = [(a, min(37, a + cut)) for a in range(0, 37, cut)]
    scan = ChunkedMapScan(Parameters.of(*args[2:]), rows=3, chunks=len(chunks))
    y = torch.full_like(u, math.nan)
    for index, (a, b) in reversed(list(enumerate(chunks))):
        scan.summarise(index, u[a:b].flatten(0, 1), p[a:b].flatten(0, 1))
    scan.carry()
    for index, (a, b) in enumerate(chunks):
        scan.run(index, *(x[a:b].flatten(0, 1) for x in (u, p, y)))
    assert relative_error(y.double(), truth) < TOLERANCE["output"]


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
