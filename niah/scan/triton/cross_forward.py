"""The forward pass of the four scans of a map in Triton: sizes of a call, its three phases, their kernels.

The phases are described in `niah.scan.triton.cross`; `line_states` and the device functions also serve the backward
pass.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.carry import entering_states
from niah.scan.triton.lines import line_starts, slab_extent, state_offset, sweep_sizes
from niah.scan.triton.steps import LOG2_E, interpreted, softplus

LANES = 32  # lines side by side in a program
CHANNELS = 32  # channels of a program's tile
LINE, SHORT_LINE = 32, 16  # columns of a line along time; short ones give a small map more programs
PROGRAMS_PER_PROCESSOR = 3  # as many as the registers hold
ENOUGH_PROGRAMS = 512


@dataclass(frozen=True)
class CrossScanPlan:
    """The sizes of one call: `tile` are constants of the kernels, `extent` ordinary numbers."""

    batch: int
    T: int
    F: int
    C: int
    R: int
    line: int
    programs: int  # that run at a time, each with a scratch slab
    precision: str

    @property
    def pieces(self) -> int:
        """Return the pieces of a slab."""
        return max(1, LANES // self.F)

    @property
    def chunks(self) -> int:
        """Return the lines of a mel row."""
        return -(-self.T // self.line)

    @property
    def slabs(self) -> int:
        """Return the slabs of a batch item."""
        return -(-self.chunks // self.pieces)

    @property
    def channel_blocks(self) -> int:
        """Return the blocks of channels."""
        return -(-self.C // CHANNELS)

    @property
    def rows_size(self) -> int:
        """Return the elements of the states along time, which come before those along frequency."""
        return 2 * self.batch * self.F * self.chunks * self.C

    @property
    def states_size(self) -> int:
        """Return the elements of all states."""
        return self.rows_size + 2 * self.batch * self.T * self.C

    @property
    def slab_size(self) -> int:
        """Return the elements of a scratch slab."""
        return self.line * self.pieces * self.F * CHANNELS

    @property
    def extent(self) -> tuple[int, ...]:
        """Return the sizes that the kernels take as ordinary numbers."""
        return self.T, self.line, self.pieces, self.chunks, self.slabs, self.rows_size

    @property
    def tile(self) -> dict[str, Any]:
        """Return the sizes that are constants of the kernels."""
        padded = max(16, triton.next_power_of_2(self.R))
        sizes = {"F": self.F, "C": self.C, "R": self.R, "RANK": padded, "M": LANES}
        return {**sizes, "WIDTH": CHANNELS, "PRECISION": self.precision}


def plan_of(u: Tensor, p: Tensor, dt_weight: Tensor, line: int | None = None) -> CrossScanPlan:
    """Choose the sizes of a call.

    Args:
        u: (B, T, F, C).
        p: (B, T, F, 4, R + 2).
        dt_weight: (4, C, R).
        line: columns of a line along time, for tests; changes results by rounding only.
    """
    batch, T, F, C = u.shape
    blocks = batch * -(-C // CHANNELS)
    if line is None:
        full = blocks * -(-T // (LINE * max(1, LANES // F))) >= ENOUGH_PROGRAMS
        line = min(T, LINE if full else SHORT_LINE)
    exact = p.element_size() == 2 and dt_weight.element_size() == 2
    return CrossScanPlan(
        batch, T, F, C, dt_weight.shape[-1], line, _programs(u), "tf32" if exact else "ieee"
    )


def _programs(u: Tensor) -> int:
    if interpreted():
        return 2
    return PROGRAMS_PER_PROCESSOR * torch.cuda.get_device_properties(u.device).multi_processor_count


def outputs(plan: CrossScanPlan, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Run all three phases.

    Args:
        plan: sizes of the call.
        inputs: u, p, dt_weight, dt_bias, A, D, contiguous.

    Returns:
        y (B, T, F, C), in float32 for a float16 map, else in the map's dtype; and the states that enter each line.
    """
    u, p, dt_weight, dt_bias, A, _ = inputs
    states = line_states(plan, u, p, dt_weight, dt_bias, A, adjoint=False)
    y = torch.empty_like(u, dtype=torch.float32 if u.dtype == torch.float16 else u.dtype)
    items = plan.batch * plan.slabs * plan.channel_blocks
    programs = min(items, plan.programs)
    scratch = torch.empty(programs * plan.slab_size, device=u.device)
    _outputs[(programs,)](*inputs, states, scratch, y, items, *plan.extent, **plan.tile)
    return y, states


def line_states(
    plan: CrossScanPlan,
    x: Tensor,
    p: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    *,
    adjoint: bool,
) -> Tensor:
    """Run phases 1 and 2: compute the state that enters each line.

    With `adjoint` x is the gradient of the output, lines are visited from the far end, and the carried quantity is
    a_s g_s with g_s = C_s x_s + a_{s+1} g_{s+1}.

    Args:
        plan: sizes of the call.
        x: (B, T, F, C), u or the gradient of the output.
        p: (B, T, F, 4, R + 2).
        dt_weight: (4, C, R).
        dt_bias: (4, C).
        A: (4, C).
        adjoint: whether this is the backward pass.

    Returns:
        (states_size,) float32, in `state_offset`'s order.
    """
    decay, value = (torch.empty(plan.states_size, device=x.device) for _ in range(2))
    grid = (plan.batch * plan.slabs * 4 * plan.channel_blocks,)
    _line_pairs[grid](
        x, p, dt_weight, dt_bias, A, decay, value, *plan.extent, **plan.tile, ADJOINT=adjoint
    )
    parts = []
    for first, last in ((0, plan.rows_size), (plan.rows_size, plan.states_size)):
        shape = (2 * plan.batch, -1, plan.C)
        parts.append(entering_states(decay[first:last].view(shape), value[first:last].view(shape)))
    return torch.cat([each.flatten() for each in parts])


@triton.jit
def _weights(k, c, dt_weight, dt_bias, A, C: tl.constexpr, R: tl.constexpr, RANK: tl.constexpr):
    """Load one direction's step projection (RANK, WIDTH), bias and A log2 e (WIDTH,), for channels c."""
    r = tl.arange(0, RANK)
    inside = (r < R)[:, None] & (c < C)[None, :]
    weight = tl.load(dt_weight + (k * C + c)[None, :] * R + r[:, None], mask=inside, other=0.0)
    bias = tl.load(dt_bias + k * C + c, mask=c < C, other=0.0)
    a = tl.load(A + k * C + c, mask=c < C, other=0.0)
    return weight.to(tl.float32), bias.to(tl.float32), a.to(tl.float32) * LOG2_E


@triton.jit
def _coordinates(p, step, inside, R: tl.constexpr, RANK: tl.constexpr):
    """Return the coordinates (M, RANK) of one step a lane, and the offset (M,) of its B, from a direction's `p`."""
    r = tl.arange(0, RANK)
    offset = step * (4 * (R + 2))
    mask = inside[:, None] & (r < R)[None, :]
    return tl.load(p + offset[:, None] + r[None, :], mask=mask, other=0.0).to(
        tl.float32
    ), offset + R


@triton.jit
def _entering(
    states, c, k, group, item, slab, reverse, columns, line, pieces, chunks, lines, rows_size,
    F: tl.constexpr, C: tl.constexpr, M: tl.constexpr,
):  # fmt: skip
    """Return a group's lines: first step and steps (M,), and the states (M, WIDTH) that enter them from one end."""
    lane = group * M + tl.arange(0, M)
    start, count = line_starts(k, lane, columns, line, F)
    offset = state_offset(
        k, item, slab, lane, reverse, line, pieces, chunks, lines, rows_size, C, F
    )
    full = (count > 0)[:, None] & (c < C)[None, :]
    return start, count, tl.load(states + offset[:, None] + c[None, :], mask=full, other=0.0)


@triton.jit(do_not_specialize=["T", "line", "pieces", "chunks", "slabs"])
def _line_pairs(
    x, p, dt_weight, dt_bias, A, decay, value,
    T, line, pieces, chunks, slabs, rows_size: tl.int64,
    F: tl.constexpr, C: tl.constexpr, R: tl.constexpr, RANK: tl.constexpr, M: tl.constexpr,
    WIDTH: tl.constexpr, PRECISION: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    """Write, for every line of one (slab, direction, channel block): its decay, and its end state from zero."""
    channel_blocks: tl.constexpr = (C + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    c = (program % channel_blocks).to(tl.int32) * WIDTH + tl.arange(0, WIDTH)
    k = (program // channel_blocks % 4).to(tl.int32)
    slab = program // channel_blocks // 4 % slabs
    item = program // channel_blocks // 4 // slabs
    columns, first = slab_extent(slab, item, T, line, pieces, F)
    x += first * C
    p += first * (4 * (R + 2)) + k * (R + 2)
    reverse = (k >= 2) != ADJOINT
    groups, steps, stride, lines = sweep_sizes(k, columns, T, line, chunks, F, M)
    weight, bias, a = _weights(k, c, dt_weight, dt_bias, A, C, R, RANK)
    for group in range(0, groups):
        lane = group * M + tl.arange(0, M)
        start, count = line_starts(k, lane, columns, line, F)
        h = tl.zeros((M, WIDTH), tl.float32)
        total = tl.zeros((M, WIDTH), tl.float32)
        for j in range(0, steps):
            i = tl.where(reverse, steps - 1 - j, j)
            inside = i < count
            step = start + i * stride
            full = inside[:, None] & (c < C)[None, :]
            pushed = tl.load(x + step[:, None] * C + c[None, :], mask=full, other=0.0)
            coordinates, column = _coordinates(p, step, inside, R, RANK)
            z = tl.dot(coordinates, weight, input_precision=PRECISION) + bias[None, :]
            delta = tl.where(inside[:, None], softplus(z), 0.0)
            scale = tl.load(p + column + ADJOINT, mask=inside, other=0.0).to(tl.float32)
            pushed = scale[:, None] * pushed.to(tl.float32)
            if ADJOINT:
                h = tl.exp2(delta * a[None, :]) * (h + pushed)
            else:
                h = tl.exp2(delta * a[None, :]) * h + delta * pushed
            total += delta
        offset = state_offset(
            k, item, slab, lane, reverse, line, pieces, chunks, lines, rows_size, C, F
        )
        full = (count > 0)[:, None] & (c < C)[None, :]
        offsets = offset[:, None] + c[None, :]
        tl.store(decay + offsets, tl.exp2(total * a[None, :]), mask=full)
        tl.store(value + offsets, h, mask=full)


@triton.jit(do_not_specialize=["items", "T", "line", "pieces", "chunks", "slabs"])
def _outputs(
    u, p, dt_weight, dt_bias, A, D, states, scratch, y, items,
    T, line, pieces, chunks, slabs, rows_size: tl.int64,
    F: tl.constexpr, C: tl.constexpr, R: tl.constexpr, RANK: tl.constexpr, M: tl.constexpr,
    WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the sum of the four directions, one (slab, channel block) at a time."""
    channel_blocks: tl.constexpr = (C + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    own = tl.arange(0, WIDTH)
    scratch += program * line * pieces * F * WIDTH
    programs = tl.num_programs(0)
    for turn in range(0, (items - program + programs - 1) // programs):
        work = program + turn * programs
        c = (work % channel_blocks).to(tl.int32) * WIDTH + own
        slab = work // channel_blocks % slabs
        item = work // channel_blocks // slabs
        columns, first = slab_extent(slab, item, T, line, pieces, F)
        skip = tl.zeros((WIDTH,), tl.float32)
        for k in range(0, 4):
            skip += tl.load(D + k * C + c, mask=c < C, other=0.0).to(tl.float32)
        for k in range(0, 4):
            reverse = k >= 2
            groups, steps, stride, lines = sweep_sizes(k, columns, T, line, chunks, F, M)
            weight, bias, a = _weights(k, c, dt_weight, dt_bias, A, C, R, RANK)
            once = tl.where(k == 0, skip, 0.0)
            for group in range(0, groups):
                start, count, h = _entering(
                    states, c, k, group, item, slab, reverse,
                    columns, line, pieces, chunks, lines, rows_size, F, C, M,
                )  # fmt: skip
                for j in range(0, steps):
                    i = tl.where(reverse, steps - 1 - j, j)
                    inside = i < count
                    full = inside[:, None] & (c < C)[None, :]
                    step = start + i * stride
                    here = step[:, None] * C + c[None, :]
                    x = tl.load(u + first * C + here, mask=full, other=0.0).to(tl.float32)
                    part = p + first * (4 * (R + 2)) + k * (R + 2)
                    coordinates, column = _coordinates(part, step, inside, R, RANK)
                    z = tl.dot(coordinates, weight, input_precision=PRECISION) + bias[None, :]
                    delta = tl.where(inside[:, None], softplus(z), 0.0)
                    b = tl.load(part + column, mask=inside, other=0.0).to(tl.float32)
                    readout = tl.load(part + column + 1, mask=inside, other=0.0).to(tl.float32)
                    h = tl.exp2(delta * a[None, :]) * h + delta * (b[:, None] * x)
                    stored = scratch + step[:, None] * WIDTH + own[None, :]
                    total = tl.load(stored, mask=full & (k > 0), other=0.0)
                    total += readout[:, None] * h + once[None, :] * x
                    tl.store(stored, total, mask=full & (k < 3))
                    tl.store(y + first * C + here, total, mask=full & (k == 3))
            tl.debug_barrier()  # the next direction reads the scratch by other lanes
