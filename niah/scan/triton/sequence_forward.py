"""The forward pass of Mamba's scan in Triton: sizes of a call, its three phases, their kernels.

The phases are described in `niah.scan.triton.sequence`; `line_states` serves the backward pass too.

A thread has one channel and all its states: sums over states stay in it, and a step size is computed once. Four steps
are taken at a time, while the inputs of the next four are under way. B and C, which all threads read, come as float32,
since each thread would widen them anew. States are (.., N, E) in memory: neighbouring threads write to neighbours.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.carry import entering_states
from niah.scan.triton.steps import LN_2, has_ptx, interpreted, power_of_2, step_size

WARPS = 1  # of a program, which has a channel a thread
WARPS_PER_PROCESSOR = 20
REGISTERS = 96  # of a thread: a processor then holds that many warps
SHORTEST_LINE = 16
TRAINING_LINE = 64  # whose states the backward pass stores


@dataclass(frozen=True)
class SequenceScanPlan:
    """The sizes of one call."""

    batch: int
    L: int
    E: int
    N: int
    line: int
    processors: int
    reverse: bool

    @property
    def lines(self) -> int:
        """Return the lines of a sequence."""
        return -(-self.L // self.line)

    @property
    def blocks(self) -> int:
        """Return the blocks of channels of the forward pass."""
        return -(-self.E // (32 * WARPS))

    @property
    def items(self) -> int:
        """Return the lines of the batch."""
        return self.batch * self.lines

    @property
    def sizes(self) -> dict[str, Any]:
        """Return the sizes that are constants of all kernels."""
        padded = triton.next_power_of_2(self.N)
        return {"E": self.E, "N": self.N, "STATES": padded, "REVERSE": self.reverse}

    @property
    def tile(self) -> dict[str, Any]:
        """Return the constants of the forward pass's kernels."""
        limit = {"maxnreg": REGISTERS} if has_ptx() else {}
        return {**self.sizes, "WIDTH": 32 * WARPS, "PTX": has_ptx(), "num_warps": WARPS, **limit}


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
    processors = 1
    if not interpreted():
        processors = torch.cuda.get_device_properties(u.device).multi_processor_count
    if line is None:
        wanted = WARPS_PER_PROCESSOR * processors // (batch * -(-E // 32))
        line = TRAINING_LINE if training else max(SHORTEST_LINE, -(-L // max(1, wanted)))
    return SequenceScanPlan(batch, L, E, A.shape[1], min(line, L), processors, reverse)


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
    B, C, A = B.float(), C.float(), by_state(A)
    states = line_states(plan, u, z, B, A, initial, adjoint=False)
    y = torch.empty_like(u, dtype=torch.bfloat16 if u.dtype == torch.bfloat16 else torch.float32)
    final = torch.empty(plan.batch, plan.N, plan.E, device=u.device)
    grid = (plan.items * plan.blocks,)
    sizes = (plan.L, plan.line, plan.lines, 0)
    _outputs[grid](u, z, B, C, A, D, states, y, final, *sizes, **plan.tile)
    return y, final.transpose(1, 2), states


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
        A: (N, E) float32, from `by_state`.
        initial: (batch, E, N), the initial state or the final state's gradient.
        adjoint: whether this is the backward pass.

    Returns:
        (batch, lines, N, E) float32, lines in scan order.
    """
    initial = by_state(initial)
    if plan.lines == 1:
        return initial[:, None]
    shape = (plan.batch, plan.lines, plan.E * plan.N)
    decay, value = (torch.empty(shape, device=x.device) for _ in range(2))
    tile = {**plan.tile, "REVERSE": plan.reverse != adjoint, "ADJOINT": adjoint}
    grid = (plan.items * plan.blocks,)
    sizes = (plan.L, plan.line, plan.lines, 0)
    _line_pairs[grid](x, z, B.float(), A, decay, value, *sizes, **tile)
    states = entering_states(decay, value, initial.flatten(1))
    return states.view(plan.batch, plan.lines, plan.N, plan.E)


def by_state(x: Tensor) -> Tensor:
    """Return (.., N, E) of (.., E, N), in float32 and contiguous."""
    return x.float().transpose(-1, -2).contiguous()


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
def _states_of(e, n, zero, E: tl.constexpr, N: tl.constexpr):
    """Return the offsets (WIDTH, STATES) of states in (N, E), and which are there.

    `zero` is 0, and the compiler does not know it: seeing that four neighbours can be loaded at once, it would give a
    thread four channels of four states, and the loop over steps would exchange between threads.
    """
    inside = (e < E)[:, None] & (n < N)[None, :]
    return n[None, :] * E + e[:, None] + zero, inside


@triton.jit
def _inputs(x, z, t, e, real, E: tl.constexpr):
    """Load x and z (WIDTH,) of step t; zeros beside E, and where the line has no such step."""
    inside = e < tl.where(real, E, 0)
    value = tl.load(x + t * E + e, mask=inside, other=0.0)
    stepping = tl.load(z + t * E + e, mask=inside, other=0.0)
    return value, stepping


@triton.jit
def _four_inputs(x, z, t, way, e, real, E: tl.constexpr):
    """Load x and z of four steps from t on."""
    x0, z0 = _inputs(x, z, t, e, real, E)
    x1, z1 = _inputs(x, z, t + way, e, real, E)
    x2, z2 = _inputs(x, z, t + 2 * way, e, real, E)
    x3, z3 = _inputs(x, z, t + 3 * way, e, real, E)
    return x0, z0, x1, z1, x2, z2, x3, z3


@triton.jit
def _projection(B, t, n, N: tl.constexpr):
    """Load B or C (STATES,) of step t."""
    return tl.load(B + t * N + n, mask=n < N, other=0.0)


@triton.jit
def _widened(x, z, PTX: tl.constexpr):
    """Return a step's size in units of ln 2, and x, in float32."""
    return step_size(z.to(tl.float32), 0.0, True, PTX), x.to(tl.float32)


@triton.jit
def _lead(h, d, x, b, a, ADJOINT: tl.constexpr, PTX: tl.constexpr):
    """Return the states (WIDTH, STATES) after one more step."""
    decay = power_of_2(d[:, None] * a, PTX)
    pushed = x if ADJOINT else d * (x * LN_2)
    pushed = pushed[:, None] * b[None, :]
    return decay * (h + pushed) if ADJOINT else decay * h + pushed


@triton.jit(do_not_specialize=["L", "line", "lines", "zero"])
def _line_pairs(
    x, z, B, A, decay, value, L, line, lines, zero,
    E: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, WIDTH: tl.constexpr,
    REVERSE: tl.constexpr, ADJOINT: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """Write, for one line and channel block, its decay, and its end state from zero."""
    program = tl.program_id(0).to(tl.int64)
    e, item, rank, first, steps = _place(program, line, lines, L, E, WIDTH, REVERSE)
    n = tl.arange(0, STATES)
    offset, inside = _states_of(e, n, zero, E, N)
    # states beside N never decay, and are never driven
    a = tl.load(A + offset, mask=inside, other=0.0)
    h = tl.zeros((WIDTH, STATES), tl.float32)
    total = tl.zeros((WIDTH,), tl.float32)
    way: tl.constexpr = -1 if REVERSE else 1
    start = first + (steps - 1 if REVERSE else 0)
    fours = steps // 4 * 4
    x0, z0, x1, z1, x2, z2, x3, z3 = _four_inputs(x, z, start, way, e, fours > 0, E)
    for j in range(0, fours, 4):
        t = start + j * way
        d0, v0 = _widened(x0, z0, PTX)
        d1, v1 = _widened(x1, z1, PTX)
        d2, v2 = _widened(x2, z2, PTX)
        d3, v3 = _widened(x3, z3, PTX)
        more = j + 4 < fours
        x0, z0, x1, z1, x2, z2, x3, z3 = _four_inputs(x, z, t + 4 * way, way, e, more, E)
        h = _lead(h, d0, v0, _projection(B, t, n, N), a, ADJOINT, PTX)
        h = _lead(h, d1, v1, _projection(B, t + way, n, N), a, ADJOINT, PTX)
        h = _lead(h, d2, v2, _projection(B, t + 2 * way, n, N), a, ADJOINT, PTX)
        h = _lead(h, d3, v3, _projection(B, t + 3 * way, n, N), a, ADJOINT, PTX)
        total += (d0 + d1) + (d2 + d3)
    for j in range(fours, steps):
        t = start + j * way
        pushed, stepping = _inputs(x, z, t, e, steps > 0, E)
        d, v = _widened(pushed, stepping, PTX)
        h = _lead(h, d, v, _projection(B, t, n, N), a, ADJOINT, PTX)
        total += d
    there = (item * lines + rank) * E * N + offset
    tl.store(decay + there, power_of_2(total[:, None] * a, PTX), mask=inside)
    tl.store(value + there, h, mask=inside)


@triton.jit
def _put(h, d, x, B, C, t, n, a, skip, N: tl.constexpr, PTX: tl.constexpr):
    """Return the states after step t, and its output (WIDTH,)."""
    h = _lead(h, d, x, _projection(B, t, n, N), a, False, PTX)
    return h, tl.sum(h * _projection(C, t, n, N)[None, :], 1) + skip * x


@triton.jit(do_not_specialize=["L", "line", "lines", "zero"])
def _outputs(
    u, z, B, C, A, D, states, y, final, L, line, lines, zero,
    E: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, WIDTH: tl.constexpr,
    REVERSE: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """Write y of one line and channel block; the last line in scan order also writes the final state."""
    program = tl.program_id(0).to(tl.int64)
    e, item, rank, first, steps = _place(program, line, lines, L, E, WIDTH, REVERSE)
    n = tl.arange(0, STATES)
    offset, inside = _states_of(e, n, zero, E, N)
    # states beside N never decay, and are never driven
    a = tl.load(A + offset, mask=inside, other=0.0)
    skip = tl.load(D + e, mask=e < E, other=0.0).to(tl.float32)
    h = tl.load(states + (item * lines + rank) * E * N + offset, mask=inside, other=0.0)
    way: tl.constexpr = -1 if REVERSE else 1
    start = first + (steps - 1 if REVERSE else 0)
    fours = steps // 4 * 4
    x0, z0, x1, z1, x2, z2, x3, z3 = _four_inputs(u, z, start, way, e, fours > 0, E)
    for j in range(0, fours, 4):
        t = start + j * way
        d0, v0 = _widened(x0, z0, PTX)
        d1, v1 = _widened(x1, z1, PTX)
        d2, v2 = _widened(x2, z2, PTX)
        d3, v3 = _widened(x3, z3, PTX)
        more = j + 4 < fours
        x0, z0, x1, z1, x2, z2, x3, z3 = _four_inputs(u, z, t + 4 * way, way, e, more, E)
        h, y0 = _put(h, d0, v0, B, C, t, n, a, skip, N, PTX)
        h, y1 = _put(h, d1, v1, B, C, t + way, n, a, skip, N, PTX)
        h, y2 = _put(h, d2, v2, B, C, t + 2 * way, n, a, skip, N, PTX)
        h, y3 = _put(h, d3, v3, B, C, t + 3 * way, n, a, skip, N, PTX)
        tl.store(y + t * E + e, y0, mask=e < E)
        tl.store(y + (t + way) * E + e, y1, mask=e < E)
        tl.store(y + (t + 2 * way) * E + e, y2, mask=e < E)
        tl.store(y + (t + 3 * way) * E + e, y3, mask=e < E)
    for j in range(fours, steps):
        t = start + j * way
        x, stepping = _inputs(u, z, t, e, steps > 0, E)
        d, v = _widened(x, stepping, PTX)
        h, out = _put(h, d, v, B, C, t, n, a, skip, N, PTX)
        tl.store(y + t * E + e, out, mask=e < E)
    if rank == lines - 1:
        tl.store(final + item * E * N + offset, h, mask=inside)
