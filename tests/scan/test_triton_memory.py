"""Triton's kernels at odd sizes: no access beside their tensors or of another program's places, no unwritten memory."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")

import triton
import triton.language as tl

from niah.networks.dass.first_halving import first_halving
from niah.networks.dass.fused_kernels import depthwise_silu, layer_norm
from niah.networks.dass.linear_gelu import linear_gelu
from niah.networks.layers.mixer_kernels import convolve_silu
from niah.scan.triton import carry
from niah.scan.triton.cross import aligned_row
from niah.scan.triton.cross import cross_scan as map_scan_of_tensors
from niah.scan.triton.sequence import scan_sequence as sequence_scan_of_tensors
from niah.scan.triton.steps import interpreted
from tests.helpers.scan_inputs import arguments
from tests.helpers.triton_memory import watched

pytestmark = (
    pytest.mark.slow
)  # `.ci/run` runs them; nothing here computes what tests/scan/test_triton.py does not
if not interpreted():
    pytest.skip("needs Triton's interpreter", allow_module_level=True)

map_scan: Any = map_scan_of_tensors  # Any: arguments come as lists
scan_sequence: Any = sequence_scan_of_tensors
HALF = torch.bfloat16


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carry, "LINES_PER_BLOCK", 4)


def check_finite(tensors: Sequence[Tensor]) -> None:
    assert tensors
    for x in tensors:
        assert bool(x.isfinite().all())


# (batch, T, F, channels, rank), line, dtypes of maps and of weights: as `test_triton.CASES`, with programs that take
# several slabs and lines that end early
MAPS = [
    ((1, 1, 1, 1, 1), None, torch.float32, torch.float32),
    ((1, 9, 2, 34, 2), 2, HALF, torch.float32),
    ((2, 5, 3, 3, 2), 1, torch.float16, torch.float32),
    ((1, 3, 17, 2, 17), 2, HALF, HALF),
]


@pytest.mark.parametrize(("shape", "line", "dtype", "weights"), MAPS)
def test_map_scan_and_its_gradients(
    shape: tuple[int, ...], line: int | None, dtype: torch.dtype, weights: torch.dtype
) -> None:
    u, p, *rest = arguments(shape)
    leaves = [u.to(dtype), p.to(dtype), *(x.to(weights) for x in rest)]
    leaves = [x.requires_grad_() for x in leaves]
    with watched() as launched:
        y = map_scan(*leaves, line=line)
        gradients = torch.autograd.grad(y, leaves, torch.ones_like(y))
    check_finite([y, *gradients])
    assert launched.count("_outputs") == launched.count("_gradients") == 1


@pytest.mark.parametrize("channels", [3, 32])
def test_map_scan_of_padded_rows_in_place(channels: int) -> None:
    """As in a fused block: rows of a power of 2, the result over the input."""
    rank, (batch, columns, rows) = 3, (2, 9, 4)
    u, p, *rest = arguments((batch, columns, rows, channels, rank))
    room = torch.zeros(batch, columns, rows, 4, aligned_row(rank))
    room[..., : rank + 2] = p
    alone = map_scan(u, p, *rest, line=4)
    with watched():
        y = map_scan(u, room[..., : rank + 2], *rest, line=4, out=u)
    assert y.data_ptr() == u.data_ptr()
    torch.testing.assert_close(y, alone)


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize(
    ("batch", "length", "channels", "states", "line", "reverse", "dtype"),
    [
        (1, 1, 33, 1, None, False, torch.float16),
        (2, 7, 34, 16, 3, False, torch.float32),
        (1, 11, 3, 3, 1, True, HALF),  # three levels of the carry
    ],
)
def test_sequence_scan_and_its_gradients(
    batch: int,
    length: int,
    channels: int,
    states: int,
    line: int | None,
    reverse: bool,
    dtype: torch.dtype,
    trains: bool,
) -> None:
    wide = [torch.randn(batch, length, n).to(dtype) for n in (channels,) * 2 + (states,) * 2]
    rest = -torch.rand(channels, states), torch.randn(channels)
    leaves = [*wide, *rest, torch.randn(batch, channels, states)]
    if trains:
        leaves = [x.requires_grad_() for x in leaves]
    with watched():
        computed = list(scan_sequence(*leaves, reverse, line=line))
        if trains:
            computed += torch.autograd.grad(
                computed, leaves, [torch.ones_like(x) for x in computed]
            )
    check_finite(computed)


@pytest.mark.parametrize("dtype", [torch.float32, HALF])
@pytest.mark.parametrize(("rows", "channels"), [(1, 1), (7, 33), (40, 130)])
def test_layer_norm(rows: int, channels: int, dtype: torch.dtype) -> None:
    x, vector = torch.randn(rows, channels).to(dtype), torch.randn(channels).to(dtype)
    with watched():
        plain = layer_norm(x, vector, vector, 1e-5, torch.float32)
        before = layer_norm(x, vector, vector, 1e-5, before=vector)
        check_finite([plain, before, layer_norm(x, vector, vector, 1e-5, add=vector), x])


@pytest.mark.parametrize(
    ("window", "columns", "first", "rows", "channels"),
    [(1, 1, 0, 1, 1), (6, 4, 1, 3, 5), (2, 2, 0, 32, 3), (3, 2, 1, 7, 130)],
)
def test_depthwise_convolution(
    window: int, columns: int, first: int, rows: int, channels: int
) -> None:
    """A slab of an item's columns is written, and not those beside it."""
    v = torch.randn(2, window, rows, channels)
    room = torch.full((2, columns + 2, rows, channels), torch.nan)
    with watched():
        depthwise_silu(v, torch.randn(9, channels), room[:, 1:-1], first)
    check_finite([room[:, 1:-1]])
    assert bool(room[:, [0, -1]].isnan().all())


@pytest.mark.parametrize(
    ("window", "mels", "channels", "padding", "columns"),
    [(1, 1, 1, 1, 1), (7, 5, 3, 0, 3), (9, 30, 48, 1, 5)],
)
def test_first_halving(window: int, mels: int, channels: int, padding: int, columns: int) -> None:
    """Check items that lie apart in memory."""
    room = torch.full((2, window + 3, mels, 1), torch.nan)
    x = room[:, :window].normal_()
    with watched():
        kernel, bias = torch.randn(channels, 1, 3, 3), torch.randn(channels)
        made = first_halving(x, kernel, bias, nn.LayerNorm(channels), padding, columns)
        check_finite([made])


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 8, 5), (130, 40, 136), (3, 64, 130)])
def test_linear_layer_with_gelu(rows: int, inner: int, columns: int) -> None:
    x, weight, bias = torch.randn(rows, inner), torch.randn(columns, inner), torch.randn(columns)
    with watched():
        check_finite([linear_gelu(x.half(), weight.half(), bias.half())])


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(
    ("tokens", "channels", "first", "length"), [(1, 1, 0, 1), (9, 3, 3, 6), (40, 130, 3, 34)]
)
def test_convolution_of_a_sequence(
    tokens: int, channels: int, first: int, length: int, ahead: bool
) -> None:
    """Of the first half of each token, whose other half is not read."""
    room = torch.full((2, tokens, 2 * channels), torch.nan)
    x = room[..., :channels].normal_()
    with watched():
        weight, bias = torch.randn(channels, 1, 4), torch.randn(channels)
        check_finite([convolve_silu(x, weight, bias, first, length, ahead=ahead)])


@triton.jit  # type: ignore[untyped-decorator]
def _copy(x, y, count, SHIFT: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    here = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + here, mask=here < count, other=0.0)
    tl.store(y + here + SHIFT, value, mask=here < count)


@pytest.mark.parametrize(
    ("count", "shift", "programs", "fault"),
    [
        (8, 0, 2, None),
        (9, 0, 3, "an access 0 bytes beside x"),
        (8, 1, 2, "an access 0 bytes beside y"),
        (4, 4, 2, None),
    ],
)
def test_a_place_beside_a_tensor_is_found(
    count: int, shift: int, programs: int, fault: str | None
) -> None:
    x, y = torch.zeros(8), torch.zeros(8)
    scan: Any = _copy
    with watched():
        if fault is None:
            scan[(programs,)](x, y, count, SHIFT=shift, BLOCK=4)
            return
        with pytest.raises(Exception, match=fault):
            scan[(programs,)](x, y, count, SHIFT=shift, BLOCK=4)


@triton.jit  # type: ignore[untyped-decorator]
def _sum(x, y, WIDTH: tl.constexpr, SPREAD: tl.constexpr):  # type: ignore[no-untyped-def]
    here = tl.arange(0, WIDTH)
    tl.store(y + here * SPREAD, tl.load(x + here) + tl.program_id(0))


@pytest.mark.parametrize(
    ("spread", "programs", "in_place", "fault"),
    [
        (1, 2, False, "two programs write"),
        (0, 1, False, "one place twice"),
        (1, 1, True, None),
    ],
)
def test_a_place_of_two_programs_is_found(
    spread: int, programs: int, in_place: bool, fault: str | None
) -> None:
    x = torch.zeros(4)
    y = x if in_place else torch.zeros(4)
    scan: Any = _sum
    with watched():
        if fault is None:
            scan[(programs,)](x, y, WIDTH=4, SPREAD=spread)
            return
        with pytest.raises(Exception, match=fault):
            scan[(programs,)](x, y, WIDTH=4, SPREAD=spread)


def test_a_place_that_another_program_writes_is_found() -> None:
    x = torch.zeros(12)
    scan: Any = _copy
    with watched(), pytest.raises(AssertionError, match="reads what another one writes"):
        scan[(2,)](x, x, 8, SHIFT=4, BLOCK=4)


def test_memory_that_nothing_wrote_is_nan() -> None:
    with watched():
        assert bool(torch.empty(3).isnan().all())
