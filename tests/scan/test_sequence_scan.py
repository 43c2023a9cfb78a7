"""Scans of one direction: equal to the reference in values and gradients, whole, in tiles and in chunks of any size."""

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from niah.scan import DIRECTIONS, Backend, cross_scan, output_dtype, selective_scan
from niah.scan.cpu.map import ChunkedMapScan, Parameters
from niah.scan.reference import scan_direction
from tests.helpers.scan_inputs import (
    FAST,
    TOLERANCE,
    TOLERANCES,
    arguments,
    relative_error,
    sequence,
)

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
