"""The Triton scans against the reference: on a CUDA device where there is one, else in Triton's interpreter.

The interpreter takes about a millisecond a step, so that shapes are small here and lines of steps short (`line`): what
matters is that sequences cross lines, slabs, programs and blocks of the carry. On a device each size of rows, channels
and rank is a compilation of seconds: tests share sizes where they can.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from niah.errors import NiahError
from niah.scan import DIRECTIONS, cross_scan, reference, selective_scan
from tests.helpers.scan_inputs import (
    DEVICE_COLUMNS,
    DEVICE_MAPS,
    DTYPES,
    HALVES,
    TRAINING_MAPS,
    arguments,
    relative_error,
)

pytest.importorskip("triton")

from niah.scan.triton import carry as triton_carry
from niah.scan.triton import cross as triton_cross
from niah.scan.triton import cross_forward as triton_cross_forward
from niah.scan.triton import cross_kernels as triton_cross_kernels
from niah.scan.triton import sequence as triton_sequence
from niah.scan.triton import steps as triton_steps

if not triton_steps.interpreted() and not torch.cuda.is_available():
    pytest.skip("triton was imported before tests/conftest.py", allow_module_level=True)

map_scan: Any = triton_cross.cross_scan  # Any: arguments come as lists
sequence_scan: Any = triton_sequence.scan_sequence
public_scan: Any = selective_scan

DEVICE = "cpu" if triton_steps.interpreted() else "cuda"
# largest error / largest value. The interpreter cuts to bfloat16 instead of rounding: twice the error
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 1e-2, torch.float16: 1e-5}
GRADIENT_TOLERANCE = 1e-5

# (batch, T, F, channels, rank), line: one of everything, odd sizes, T at and around a line and a slab, F that does and
# does not divide the lanes, channels beside a block of 32, ranks beside 16
CASES = [
    ((1, 1, 1, 1, 1), None),
    ((3, 2, 3, 5, 2), None),
    ((1, 3, 8, 2, 17), 1),
    pytest.param((1, 5, 4, 33, 3), 1, marks=pytest.mark.slow),
    pytest.param((1, 3, 40, 2, 1), 2, marks=pytest.mark.slow),
    ((1, 31, 1, 3, 1), 1),
    pytest.param((1, 9, 8, 3, 2), 2, marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The carry's block in the interpreter: a parallel prefix takes as long as its block, filled or not."""
    if DEVICE == "cpu":
        monkeypatch.setattr(triton_carry, "LINES_PER_BLOCK", 4)


def on_device(tensors: list[Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [x.to(DEVICE, dtype) for x in tensors]


def exact(args: list[Tensor]) -> Tensor:
    return cross_scan(*(x.double() for x in args), backend="reference")


@pytest.mark.parametrize(("shape", "line"), CASES)
def test_map_scan_equals_the_reference(shape: tuple[int, ...], line: int | None) -> None:
    args = on_device(arguments(shape))
    found = map_scan(*args, line=line)
    assert relative_error(found.double(), exact(args)) < TOLERANCE[torch.float32]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 129])
@pytest.mark.parametrize("rows", [1, 3, 4, 8, 32])
def test_map_scan_over_the_whole_grid_of_shapes(columns: int, rows: int) -> None:
    args = on_device(arguments((3 if columns < 4 else 1, columns, rows, 33, 6)))
    for line in (None, 32):
        found = map_scan(*args, line=line)
        assert relative_error(found.double(), exact(args)) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("direction", range(DIRECTIONS))
def test_each_direction_alone(direction: int) -> None:
    args = on_device(arguments((1, 5, 2, 2, 1)))
    others = [k for k in range(DIRECTIONS) if k != direction]
    args[1][..., others, -1] = 0  # their readout
    found = map_scan(*args, line=1)
    assert relative_error(found.double(), exact(args)) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("direction", range(DIRECTIONS))
def test_state_is_handed_from_line_to_line(direction: int) -> None:
    """With next to no decay, an impulse at the start of a scan is still heard at its end: no carry is lost."""
    args = on_device(arguments((1, 13, 2, 2, 1)))
    u, p, dt_weight, dt_bias, A, D = args
    u.zero_(), dt_weight.zero_(), dt_bias.fill_(-9.0), A.fill_(-1e-4), D.zero_()
    p[..., 1:] = 1
    p[..., [k for k in range(DIRECTIONS) if k != direction], :] = 0
    first, last = ((0, 0), (-1, -1)) if direction < 2 else ((-1, -1), (0, 0))
    u[0, *first] = 1.0
    found = map_scan(*args, line=1)
    assert float(found[0, *last, 0]) == pytest.approx(float(exact(args)[0, *last, 0]), rel=1e-6)
    assert float(found[0, *last, 0]) > 1e-4


@pytest.mark.parametrize("step", [-30.0, -6.9, 20.5, 100.0])
@pytest.mark.parametrize("decay", [-1e-6, -1e3])
def test_extremes_stay_finite_and_exact(step: float, decay: float) -> None:
    args = on_device(arguments((1, 3, 2, 2, 1)))
    args[0] *= 1e4
    args[2].zero_(), args[3].fill_(step), args[4].fill_(decay)
    found = map_scan(*args, line=2)
    assert bool(torch.isfinite(found).all())
    assert relative_error(found.double(), exact(args)) < TOLERANCE[torch.float32]


def test_step_sizes_are_exact_where_logarithms_lose_digits() -> None:
    """A scan of one step: y = C softplus(z) B u, at steps from 1e-6 to 1e3."""
    z = torch.linspace(-14, 14, 57, dtype=torch.float64)
    args = [torch.ones(1, 1, 57), z.float()[None, None], *(torch.ones(1, 1, 1) for _ in range(2))]
    state = torch.zeros(1, 57, 1)
    rest = [-torch.ones(57, 1), torch.zeros(57), state]
    y, _ = sequence_scan(*on_device([*args, *rest]))
    expected = torch.nn.functional.softplus(z, threshold=100)
    assert float(((y[0, 0].cpu().double() - expected) / expected).abs().max()) < 1e-6


@pytest.mark.parametrize("dtype", HALVES)
def test_16_bit_inputs_are_scanned_in_float32(dtype: torch.dtype) -> None:
    args = on_device(arguments((1, 5, 3, 3, 2)), dtype)
    found = map_scan(*args, line=2)
    assert found.dtype == (torch.float32 if dtype == torch.float16 else dtype)
    assert relative_error(found.double(), exact(args)) < TOLERANCE[dtype]


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((2, 2, 2, 3, 2), 1),
        pytest.param((1, 3, 2, 34, 3), 1, marks=pytest.mark.slow),
        ((1, 3, 1, 2, 17), 2),
    ],
)
def test_map_gradients_equal_the_reference_and_themselves(
    shape: tuple[int, ...], line: int | None
) -> None:
    args = [x.requires_grad_() for x in on_device(arguments(shape))]
    upstream = torch.randn(shape[:4], generator=torch.Generator().manual_seed(1)).to(DEVICE)
    y = map_scan(*args, line=line)
    found, again = (
        torch.autograd.grad(y, args, upstream, retain_graph=keep) for keep in (True, False)
    )
    double = [x.detach().double().requires_grad_() for x in args]
    expected = torch.autograd.grad(
        cross_scan(*double, backend="reference"), double, upstream.double()
    )
    for one, other, truth in zip(found, again, expected, strict=True):
        assert torch.equal(one, other)
        assert relative_error(one.double(), truth) < GRADIENT_TOLERANCE


def errors_in_mixed_precision(args: list[Tensor], dtype: torch.dtype, **how: Any) -> list[float]:
    """Relative errors of the gradients of u, p, dt_weight, dt_bias, A and D: maps of 16 bits, parameters of 32."""
    scan: Any = cross_scan if "backend" in how else map_scan
    inputs = [(x.to(dtype) if i < 2 else x).requires_grad_() for i, x in enumerate(args)]
    y = scan(*inputs, **how)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    found = torch.autograd.grad(y, inputs, upstream)
    double = [x.detach().double().requires_grad_() for x in inputs]
    truth = cross_scan(*double, backend="chunked")
    expected = torch.autograd.grad(truth, double, upstream.double())
    assert [x.dtype for x in found] == [x.dtype for x in inputs]
    return [relative_error(a.double(), b) for a, b in zip(found, expected, strict=True)]


@pytest.mark.parametrize("dtype", HALVES)
def test_map_gradients_in_mixed_precision_equal_the_reference(dtype: torch.dtype) -> None:
    """Gradients of maps are rounded to their dtype; on a device the steps' products are cut to TF32."""
    rounding = 2.0**-7 if dtype == torch.bfloat16 else 2.0**-10
    products = 1e-4 if DEVICE == "cpu" else 5e-3
    errors = errors_in_mixed_precision(on_device(arguments((1, 3, 2, 18, 3))), dtype, line=2)
    assert max(errors[:2]) < rounding + products
    assert max(errors[2:]) < products


def sequence(batch: int, L: int, E: int, N: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    u, z, B, C = (normal(batch, L, width) for width in (E, E, N, N))
    return on_device([u, z - 2, B, C, -normal(E, N).abs() - 0.1, normal(E), normal(batch, E, N)])


# (batch, L, E, N), line: one line alone, several, the last one short; states that are no power of two
SEQUENCES = [((1, 1, 1, 1), None), ((1, 5, 34, 16), 2), ((2, 6, 5, 3), 4)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "line"), SEQUENCES)
def test_sequence_scan_and_its_gradients_equal_the_reference(
    shape: tuple[int, ...], line: int | None, reverse: bool
) -> None:
    args = [x.requires_grad_() for x in sequence(*shape)]
    found = sequence_scan(*args, reverse, line=line)
    double = [x.detach().double().requires_grad_() for x in args]
    truth_scan: Any = reference.scan_sequence
    expected = truth_scan(*double, reverse)
    upstream = [torch.randn_like(x) for x in found]
    for one, truth in zip(found, expected, strict=True):
        assert relative_error(one.detach().double(), truth.detach()) < TOLERANCE[torch.float32]
    gradients, again = (
        torch.autograd.grad(found, args, upstream, retain_graph=keep) for keep in (True, False)
    )
    truths = torch.autograd.grad(expected, double, [x.double() for x in upstream])
    for one, other, truth in zip(gradients, again, truths, strict=True):
        assert torch.equal(one, other)
        assert relative_error(one.double(), truth) < GRADIENT_TOLERANCE


@pytest.mark.parametrize("reverse", [False, True])
def test_tiles_of_a_sequence_are_the_whole(reverse: bool) -> None:
    *tensors, A, D, _ = sequence(1, 9, 4, 2)
    whole = public_scan(*tensors, A, D, reverse=reverse, backend="triton")
    cuts = [slice(0, 4), slice(4, 9)]
    state: Tensor | None = None
    parts = {}
    for cut in reversed(cuts) if reverse else cuts:
        parts[cut.start], state = public_scan(
            *(x[:, cut] for x in tensors), A, D,
            reverse=reverse, initial_state=state, return_state=True, backend="triton",
        )  # fmt: skip
    tiled = torch.cat([parts[0], parts[4]], dim=1)
    assert relative_error(tiled, whole) < TOLERANCE[torch.float32]


@pytest.mark.parametrize(
    ("lines", "block"),
    [(1, 4), (4, 4), (5, 4), (17, 4), pytest.param(65, 64, marks=pytest.mark.slow)],
)
def test_carry_equals_the_recurrence_on_every_level(
    lines: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_carry, "LINES_PER_BLOCK", block)  # 17 lines in fours: three levels
    decay, value = (torch.rand(2, lines, 3, device=DEVICE) for _ in range(2))
    initial = torch.randn(2, 3, device=DEVICE)
    for first in (initial, None):
        h = torch.zeros(2, 3).double() if first is None else first.double().cpu()
        found = triton_carry.entering_states(decay, value, first).double().cpu()
        for line in range(lines):
            assert torch.allclose(found[:, line], h, rtol=1e-5, atol=1e-6)
            h = decay[:, line].double().cpu() * h + value[:, line].double().cpu()


def test_a_cpu_tensor_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_steps, "interpreted", lambda: False)
    with pytest.raises(NiahError, match=r"needs a CUDA device.*--kernel auto"):
        cross_scan(*arguments((1, 1, 1, 1, 1)), backend="triton")


@pytest.mark.skipif(DEVICE != "cpu", reason="a sparse file stands for the device's memory")
def test_offsets_past_2_to_the_31_elements(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last program of a map of 2^31 elements and a little, alone, over a sparse file."""
    from triton.runtime.interpreter import interpreter_builder

    columns, rows, channels, rank = 2**24 + 20, 2, 64, 1

    def sparse(name: str, count: int, dtype: torch.dtype) -> Tensor:
        with (tmp_path / name).open("wb") as file:
            file.truncate(count * dtype.itemsize)
        return torch.from_file(str(tmp_path / name), shared=True, size=count, dtype=dtype)

    small = arguments((1, 20, rows, channels, rank))
    u = sparse("u", columns * rows * channels, torch.float16).view(1, columns, rows, channels)
    p = sparse("p", columns * rows * 4 * (rank + 2), torch.float16)
    p = p.view(1, columns, rows, 4, rank + 2)
    small[:2] = [x.half() for x in small[:2]]
    u[:, -20:], p[:, -20:] = small[0], small[1]
    big = triton_cross_forward.plan_of(u, p, small[2], line=32)
    little = triton_cross_forward.plan_of(small[0], small[1], small[2], line=32)
    assert u.numel() > 2**31
    assert big.slabs == 2**16 + 1  # so that the last slab is those twenty columns
    assert big.states_size > 2**31

    decay, value = (sparse(name, big.states_size, torch.float32) for name in ("decay", "value"))
    expected = [torch.empty(little.states_size) for _ in range(2)]
    rest = (*small[2:5],)
    triton_cross_kernels._line_pairs[(8,)](
        *small[:2], *rest, *expected, *little.extent, **little.tile, **little.options, ADJOINT=False
    )
    last_programs = (big.slabs - 1) * 8
    with monkeypatch.context() as patch:
        patch.setattr(
            interpreter_builder,
            "set_grid_idx",
            lambda x, y, z: setattr(interpreter_builder, "grid_idx", (x + last_programs, y, z)),
        )
        triton_cross_kernels._line_pairs[(8,)](
            u, p, *rest, decay, value, *big.extent, **big.tile, **big.options, ADJOINT=False
        )
    for k in range(4):
        lines = (big.F * big.chunks, big.T)[k % 2]
        start = big.rows_size * (k % 2) + (k // 2) * lines * channels
        lines_here = (little.F, little.T)[k % 2]
        start_here = little.rows_size * (k % 2) + (k // 2) * lines_here * channels
        for line in range(lines_here):  # in scan order: what was first is last from the far end
            rank_big = (line + 1) * big.chunks - 1 if k % 2 == 0 else big.T - 20 + line
            if k >= 2:
                rank_big = line * big.chunks if k % 2 == 0 else line
            for found, truth in zip((decay, value), expected, strict=True):
                at = start + rank_big * channels
                here = start_here + line * channels
                assert torch.equal(found[at : at + channels], truth[here : here + channels])


@pytest.mark.gpu
def test_one_compilation_serves_every_length() -> None:
    kernels = (
        triton_cross_kernels._line_pairs,
        triton_cross_kernels._outputs,
        triton_carry._short_map_states,
        triton_carry._states,
    )

    def compiled() -> list[int]:
        caches = [kernel.device_caches.values() for kernel in kernels]
        return [sum(len(cache[0]) for cache in each) for each in caches]

    before = compiled()
    for columns in (1, 16, 17, 1000, 1024, 100_000):
        args = [x.cuda() for x in arguments((1, columns, 8, 64, 3))]
        cross_scan(*args, backend="triton")
    assert [now - then for now, then in zip(compiled(), before, strict=True)] == [1, 1, 1, 1]


def test_every_launch_is_made_on_the_tensors_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward of both scans enter the guard once each, and launch nothing outside it."""
    entered: list[torch.device] = []
    inside: list[bool] = []

    @contextmanager
    def guard(tensor: Tensor) -> Iterator[None]:
        entered.append(tensor.device)
        inside.append(True)
        yield
        inside.pop()

    def launched(kernel: Any, *args: Any, **kwargs: Any) -> Any:
        assert inside, "a kernel was launched outside the guard"
        return launch(kernel, *args, **kwargs)

    kind = type(triton_carry._states)
    launch = kind.__getitem__
    monkeypatch.setattr(kind, "__getitem__", launched)
    monkeypatch.setattr(triton_cross, "device_of", guard)
    monkeypatch.setattr(triton_sequence, "device_of", guard)
    args = [x.requires_grad_() for x in on_device(arguments((1, 3, 2, 2, 1)))]
    map_scan(*args, line=1).sum().backward()
    assert len(entered) == 2
    sequence = [torch.rand(1, 3, n) for n in (2, 2, 1, 1)]
    rest = [-torch.ones(2, 1), torch.zeros(2), torch.zeros(1, 2, 1)]
    leaves = [x.requires_grad_() for x in on_device([*sequence, *rest])]
    sequence_scan(*leaves)[0].sum().backward()
    assert [device.type for device in entered] == [DEVICE] * 4


def test_an_older_triton_has_no_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton 3.2 and 3.3, of torch 2.6 and 2.7: the environment alone says whether kernels are interpreted."""
    monkeypatch.delattr("niah.scan.triton.steps.triton.knobs")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert triton_steps.interpreted()
    monkeypatch.delenv("TRITON_INTERPRET")
    assert not triton_steps.interpreted()
    with pytest.raises(NiahError, match="needs a CUDA device"):
        triton_steps.check_device("cpu")


@pytest.mark.gpu
def test_a_map_past_2_to_the_31_elements_is_as_its_halves() -> None:
    """With no memory across the middle column both halves of a long map are maps of their own."""
    columns, rows, channels, rank = 2**20, 32, 96, 6
    generator = torch.Generator("cuda").manual_seed(0)
    shape = (1, columns, rows)
    u = torch.randn(*shape, channels, generator=generator, device="cuda", dtype=torch.bfloat16)
    p = torch.randn(*shape, 4, rank + 2, generator=generator, device="cuda", dtype=torch.bfloat16)
    rest = [x.cuda().bfloat16() for x in arguments((1, 1, rows, channels, rank))[2:]]
    rest[2] = rest[2].float() - 2  # a memory of a few steps
    whole = cross_scan(u, p, *rest, backend="triton")
    assert u.numel() > 2**31
    for half in (slice(0, columns // 2), slice(columns // 2, columns)):
        alone = cross_scan(u[:, half], p[:, half], *rest, backend="triton")
        inner = slice(2000, -2000)  # along rows the halves meet other neighbours at their ends
        assert relative_error(whole[:, half][:, inner].float(), alone[:, inner].float()) < 1e-2


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "channels", "rank"), DEVICE_MAPS)
def test_on_a_device_the_whole_grid_equals_the_reference(
    rows: int, channels: int, rank: int, dtype: torch.dtype
) -> None:
    """All lengths in one test, as they share their kernels, which a process compiles."""
    errors = {}
    for columns in DEVICE_COLUMNS:
        args = [x.cuda().to(dtype) for x in arguments((2, columns, rows, channels, rank))]
        expected = cross_scan(*(x.double() for x in args), backend="chunked")
        found = cross_scan(*args, backend="triton")
        errors[columns] = relative_error(found.double(), expected)
    assert max(errors.values()) < TOLERANCE[dtype], errors


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("columns", "rows", "channels", "rank"), TRAINING_MAPS)
def test_on_a_device_gradients_in_mixed_precision_equal_the_reference(
    columns: int, rows: int, channels: int, rank: int, dtype: torch.dtype
) -> None:
    """Maps of 16 bits and parameters of 32, as under autocast, at the sizes of a training step: one clip, twelve."""
    errors = {}
    for batch in (1, 12):
        args = [x.cuda() for x in arguments((batch, columns, rows, channels, rank))]
        errors[batch] = errors_in_mixed_precision(args, dtype, backend="triton")
    # 16-bit maps; step projections are cut to TF32
    assert max(max(each) for each in errors.values()) < 1e-2, errors
