"""Mamba's scan along one sequence in Triton, N states a channel: reduce, carry, rerun. Equations: `niah.scan`.

A sequence is cut into lines of steps; a program (one warp) runs one line for 32 channels and all their states. With
one line (short sequences, or batch items and channels enough to fill the device) the first two phases are left out:
they cost as many exponentials as the scan itself. `reverse` is an order of visiting, nothing is flipped.

float32 inside; bfloat16 inputs give bfloat16, float16 inputs give float32, since outputs of 1e4 to 1e6 occur. Lengths
are no constants of the kernels, offsets are int64, and the backward pass adds in a fixed order.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.carry import entering_states
from niah.scan.triton.steps import LOG2_E, check_device, interpreted, softplus

CHANNELS = 32  # channels of a program's tile
SHORTEST_LINE = 64  # also the one in training, whose states of a line are kept for the way back
PROGRAMS_PER_PROCESSOR = 12  # of one warp each
WARPS = 1


@dataclass(frozen=True)
class SequenceScanPlan:
    """Sizes of one call."""

    batch: int
    L: int
    E: int
    N: int
    line: int
    programs: int
    reverse: bool

    @property
    def lines(self) -> int:
        return -(-self.L // self.line)

    @property
    def blocks(self) -> int:
        return -(-self.E // CHANNELS)

    @property
    def items(self) -> int:
        return self.batch * self.lines

    @property
    def tile(self) -> dict[str, Any]:
        padded = triton.next_power_of_2(self.N)
        sizes = {"E": self.E, "N": self.N, "STATES": padded, "WIDTH": CHANNELS}
        return {**sizes, "REVERSE": self.reverse, "num_warps": WARPS}


def plan_of(
    u: Tensor, A: Tensor, reverse: bool, training: bool = False, line: int | None = None
) -> SequenceScanPlan:
    """Lines long enough that the device is just full, to save first phases. `line` is for tests."""
    batch, L, E = u.shape
    programs = 2
    if not interpreted():
        processors = torch.cuda.get_device_properties(u.device).multi_processor_count
        programs = PROGRAMS_PER_PROCESSOR * processors
    if line is None:
        wanted = max(1, programs // (batch * -(-E // CHANNELS)))
        line = SHORTEST_LINE if training else max(SHORTEST_LINE, -(-L // wanted))
    return SequenceScanPlan(batch, L, E, A.shape[1], min(line, L), programs, reverse)


def scan_sequence(
    u: Tensor,
    z: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    D: Tensor,
    state: Tensor,
    reverse: bool = False,
    *,
    line: int | None = None,
) -> tuple[Tensor, Tensor]:
    """As `niah.scan.reference.scan_sequence`; y is float32 for float16 inputs, the state always.

    Raises NiahError for tensors that are not on a CUDA device.
    """
    check_device(u.device.type)
    tensors = (x.contiguous() for x in (u, z, B, C, A, D, state))
    y, final = _ScanSequence.apply(*tensors, reverse, line)
    return y, final


class _ScanSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        u, z, B, C, A, D, state, reverse, line = arguments
        training = any(ctx.needs_input_grad)
        plan = plan_of(u, A, reverse, training, line)
        states = line_states(plan, u, z, B, A, state, adjoint=False)
        kind = torch.bfloat16 if u.dtype == torch.bfloat16 else torch.float32
        y = torch.empty_like(u, dtype=kind)
        final = torch.empty(plan.batch, plan.E, plan.N, device=u.device)
        grid = (plan.items * plan.blocks,)
        _outputs[grid](
            u, z, B, C, A, D, states, y, final, plan.L, plan.line, plan.lines, **plan.tile
        )
        if training:
            ctx.save_for_backward(u, z, B, C, A, D, state, states)
            ctx.plan = plan
        return y, final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from niah.scan.triton.sequence_backward import gradients as found

        gy, gfinal = (g.contiguous() for g in gradients)
        return *found(ctx.plan, ctx.saved_tensors, gy, gfinal), None, None


def line_states(
    plan: SequenceScanPlan,
    x: Tensor,
    z: Tensor,
    B: Tensor,
    A: Tensor,
    initial: Tensor,
    *,
    adjoint: bool,
) -> Tensor:
    """The state that enters each line, (batch, lines, E, N) float32, lines in scan order.

    With `adjoint` x is the gradient of the output, B the readout, lines and steps are visited from the far end, and
    what is carried is a_t g_t with g_t = C_t x_t + a_{t+1} g_{t+1}; `initial` is the final state's gradient.
    """
    initial = initial.float()
    if plan.lines == 1:
        return initial[:, None].contiguous()
    shape = (plan.batch, plan.lines, plan.E * plan.N)
    decay, value = (torch.empty(shape, device=x.device) for _ in range(2))
    tile = {**plan.tile, "REVERSE": plan.reverse != adjoint, "ADJOINT": adjoint}
    grid = (plan.items * plan.blocks,)
    _line_pairs[grid](x, z, B, A, decay, value, plan.L, plan.line, plan.lines, **tile)
    found = entering_states(decay, value, initial.flatten(1))
    return found.view(plan.batch, plan.lines, plan.E, plan.N)


@triton.jit
def _place(program, line, lines, L, E: tl.constexpr, WIDTH: tl.constexpr, REVERSE: tl.constexpr):
    """Of a program: its channels (WIDTH,), batch item, line, the line's rank in scan order, first step and steps."""
    blocks: tl.constexpr = (E + WIDTH - 1) // WIDTH
    e = (program % blocks).to(tl.int32) * WIDTH + tl.arange(0, WIDTH)
    at = program // blocks % lines
    item = program // blocks // lines
    rank = lines - 1 - at if REVERSE else at
    steps = tl.minimum(L - at * line, line).to(tl.int32)
    return e, item, rank, item * L + at * line, steps


@triton.jit
def _decays(A, e, n, E: tl.constexpr, N: tl.constexpr):
    """A log2 e (WIDTH, STATES); states beside N never decay, and are never driven."""
    inside = (e < E)[:, None] & (n < N)[None, :]
    a = tl.load(A + e[:, None] * N + n[None, :], mask=inside, other=0.0)
    return a.to(tl.float32) * LOG2_E


@triton.jit(do_not_specialize=["L", "line", "lines"])
def _line_pairs(
    x, z, B, A, decay, value, L, line, lines,
    E: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, WIDTH: tl.constexpr,
    REVERSE: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    """Of one line and channel block: its decay, and its end state from zero."""
    program = tl.program_id(0).to(tl.int64)
    e, item, rank, first, steps = _place(program, line, lines, L, E, WIDTH, REVERSE)
    n = tl.arange(0, STATES)
    a = _decays(A, e, n, E, N)
    h = tl.zeros((WIDTH, STATES), tl.float32)
    total = tl.zeros((WIDTH,), tl.float32)
    for j in tl.range(0, steps, loop_unroll_factor=4):
        t = first + (steps - 1 - j if REVERSE else j)
        delta = softplus(tl.load(z + t * E + e, mask=e < E, other=0.0).to(tl.float32))
        pushed = tl.load(x + t * E + e, mask=e < E, other=0.0).to(tl.float32)
        b = tl.load(B + t * N + n, mask=n < N, other=0.0).to(tl.float32)
        kept = tl.exp2(delta[:, None] * a)
        if ADJOINT:  # noqa: SIM108 (a branch of the compiler)
            h = kept * (h + pushed[:, None] * b[None, :])
        else:
            h = kept * h + (delta * pushed)[:, None] * b[None, :]
        total += delta
    offset = ((item * lines + rank) * E + e)[:, None] * N + n[None, :]
    inside = (e < E)[:, None] & (n < N)[None, :]
    tl.store(decay + offset, tl.exp2(total[:, None] * a), mask=inside)
    tl.store(value + offset, h, mask=inside)


@triton.jit(do_not_specialize=["L", "line", "lines"])
def _outputs(
    u, z, B, C, A, D, states, y, final, L, line, lines,
    E: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, WIDTH: tl.constexpr,
    REVERSE: tl.constexpr,
):  # fmt: skip
    """y of one line and channel block; the last line in scan order leaves the final state too."""
    program = tl.program_id(0).to(tl.int64)
    e, item, rank, first, steps = _place(program, line, lines, L, E, WIDTH, REVERSE)
    n = tl.arange(0, STATES)
    a = _decays(A, e, n, E, N)
    skip = tl.load(D + e, mask=e < E, other=0.0).to(tl.float32)
    inside = (e < E)[:, None] & (n < N)[None, :]
    offset = e[:, None] * N + n[None, :]
    h = tl.load(states + (item * lines + rank) * E * N + offset, mask=inside, other=0.0)
    for j in tl.range(0, steps, loop_unroll_factor=4):
        t = first + (steps - 1 - j if REVERSE else j)
        delta = softplus(tl.load(z + t * E + e, mask=e < E, other=0.0).to(tl.float32))
        x = tl.load(u + t * E + e, mask=e < E, other=0.0).to(tl.float32)
        b = tl.load(B + t * N + n, mask=n < N, other=0.0).to(tl.float32)
        readout = tl.load(C + t * N + n, mask=n < N, other=0.0).to(tl.float32)
        h = tl.exp2(delta[:, None] * a) * h + (delta * x)[:, None] * b[None, :]
        tl.store(y + t * E + e, tl.sum(h * readout[None, :], 1) + skip * x, mask=e < E)
    if rank == lines - 1:
        tl.store(final + item * E * N + offset, h, mask=inside)
