"""The forward pass of Mamba's scan in Triton: sizes of a call, its three phases, their kernels.

The phases are described in `niah.scan.triton.sequence`; `line_states` and `_decays` serve the backward pass too.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.carry import entering_states
from niah.scan.triton.steps import LOG2_E, interpreted, softplus

CHANNELS = 32  # channels of a program's tile
SHORTEST_LINE = (
    64  # the only one in training, which stores the states of a line for the backward pass
)
PROGRAMS_PER_PROCESSOR = 12  # of one warp each
WARPS = 1


@dataclass(frozen=True)
class SequenceScanPlan:
    """The sizes of one call."""

    batch: int
    L: int
    E: int
    N: int
    line: int
    programs: int
    reverse: bool

    @property
    def lines(self) -> int:
        """Return the lines of a sequence."""
        return -(-self.L // self.line)

    @property
    def blocks(self) -> int:
        """Return the blocks of channels."""
        return -(-self.E // CHANNELS)

    @property
    def items(self) -> int:
        """Return the lines of the batch."""
        return self.batch * self.lines

    @property
    def tile(self) -> dict[str, Any]:
        """Return the sizes that are constants of the kernels."""
        padded = triton.next_power_of_2(self.N)
        sizes = {"E": self.E, "N": self.N, "STATES": padded, "WIDTH": CHANNELS}
        return {**sizes, "REVERSE": self.reverse, "num_warps": WARPS}


def plan_of(
    u: Tensor, A: Tensor, reverse: bool, training: bool = False, line: int | None = None
) -> SequenceScanPlan:
    """Choose the sizes of a call: lines long enough that the device is just full, which saves work in the first phases.

    Args:
        u: (batch, L, E).
        A: (E, N).
        reverse: scan from the last step to the first.
        training: whether there will be a backward pass.
        line: steps of a line, for tests.
    """
    batch, L, E = u.shape
    programs = 2
    if not interpreted():
        processors = torch.cuda.get_device_properties(u.device).multi_processor_count
        programs = PROGRAMS_PER_PROCESSOR * processors
    if line is None:
        wanted = max(1, programs // (batch * -(-E // CHANNELS)))
        line = SHORTEST_LINE if training else max(SHORTEST_LINE, -(-L // wanted))
    return SequenceScanPlan(batch, L, E, A.shape[1], min(line, L), programs, reverse)


def outputs(
    plan: SequenceScanPlan, inputs: tuple[Tensor, ...], initial: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run all three phases.

    Args:
        plan: sizes of the call.
        inputs: u, z, B, C, A, D, contiguous.
        initial: (batch, E, N) state before the first step.

    Returns:
        y (batch, L, E), bfloat16 for a bfloat16 input, else float32; the final state (batch, E, N) float32; and the
        states that enter each line.
    """
    u, z, B, C, A, D = inputs
    states = line_states(plan, u, z, B, A, initial, adjoint=False)
    y = torch.empty_like(u, dtype=torch.bfloat16 if u.dtype == torch.bfloat16 else torch.float32)
    final = torch.empty(plan.batch, plan.E, plan.N, device=u.device)
    grid = (plan.items * plan.blocks,)
    _outputs[grid](u, z, B, C, A, D, states, y, final, plan.L, plan.line, plan.lines, **plan.tile)
    return y, final, states


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
    """Compute the state that enters each line.

    With `adjoint` x is the gradient of the output, B the readout, lines and steps are visited from the far end, and the
    carried quantity is a_t g_t with g_t = C_t x_t + a_{t+1} g_{t+1}.

    Args:
        plan: sizes of the call.
        x: (batch, L, E), u or the gradient of the output.
        z: (batch, L, E).
        B: (batch, L, N), or C in the backward pass.
        A: (E, N).
        initial: (batch, E, N) initial state, or the final state's gradient.
        adjoint: whether this is the backward pass.

    Returns:
        (batch, lines, E, N) float32, lines in scan order.
    """
    initial = initial.float()
    if plan.lines == 1:
        return initial[:, None].contiguous()
    shape = (plan.batch, plan.lines, plan.E * plan.N)
    decay, value = (torch.empty(shape, device=x.device) for _ in range(2))
    tile = {**plan.tile, "REVERSE": plan.reverse != adjoint, "ADJOINT": adjoint}
    grid = (plan.items * plan.blocks,)
    _line_pairs[grid](x, z, B, A, decay, value, plan.L, plan.line, plan.lines, **tile)
    states = entering_states(decay, value, initial.flatten(1))
    return states.view(plan.batch, plan.lines, plan.E, plan.N)


@triton.jit
def _place(program, line, lines, L, E: tl.constexpr, WIDTH: tl.constexpr, REVERSE: tl.constexpr):
    """Return a program's place: channels (WIDTH,), batch item, line, its rank in scan order, first step, steps."""
    blocks: tl.constexpr = (E + WIDTH - 1) // WIDTH
    e = (program % blocks).to(tl.int32) * WIDTH + tl.arange(0, WIDTH)
    at = program // blocks % lines
    item = program // blocks // lines
    rank = lines - 1 - at if REVERSE else at
    steps = tl.minimum(L - at * line, line).to(tl.int32)
    return e, item, rank, item * L + at * line, steps


@triton.jit
def _decays(A, e, n, E: tl.constexpr, N: tl.constexpr):
    """Return A log2 e (WIDTH, STATES); states beside N never decay, and are never driven."""
    inside = (e < E)[:, None] & (n < N)[None, :]
    a = tl.load(A + e[:, None] * N + n[None, :], mask=inside, other=0.0)
    return a.to(tl.float32) * LOG2_E


@triton.jit(do_not_specialize=["L", "line", "lines"])
def _line_pairs(
    x, z, B, A, decay, value, L, line, lines,
    E: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, WIDTH: tl.constexpr,
    REVERSE: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    """Write, for one line and channel block, its decay, and its end state from zero."""
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
        step_decay = tl.exp2(delta[:, None] * a)
        if ADJOINT:  # a branch of the compiler
            h = step_decay * (h + pushed[:, None] * b[None, :])
        else:
            h = step_decay * h + (delta * pushed)[:, None] * b[None, :]
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
    """Write y of one line and channel block; the last line in scan order also writes the final state."""
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
