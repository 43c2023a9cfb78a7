"""The forward pass of the four scans of a map in Triton: sizes of a call, and the launches of its three phases.

The phases are described in `niah.scan.triton.cross`, their kernels are in `niah.scan.triton.cross_kernels`;
`line_states` also serves the backward pass.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
import triton
from torch import Tensor

from niah.scan.triton.carry import map_states
from niah.scan.triton.cross_kernels import _line_pairs, _outputs
from niah.scan.triton.steps import has_ptx, interpreted

LANES = 16  # lines side by side in a program
CHANNELS = 32  # channels of a program's tile
BACKWARD_CHANNELS = 16  # of the backward pass, whose programs have one warp
BACKWARD_PROGRAMS = 4  # a processor; registers allow eight, which share the cache worse
# columns of a line along time: short ones where a map has too few programs for the device
LINES = (16, 8, 4)
WARPS = 2  # of a program
REGISTERS = 168  # of a thread of the first phase: six programs fit a processor, and wait less for memory than fewer
# of the third, which has the loads of four steps under way; four programs then take less time than six (results/h100)
OUTPUT_REGISTERS = 255
PROGRAMS_PER_PROCESSOR = 4  # of the third phase
SCRATCH_BYTES = 25_000_000  # of all programs: half the L2 cache of an H100


@dataclass(frozen=True)
class CrossScanPlan:
    """The sizes of one call: `tile` are constants of the kernels, `extent` ordinary numbers."""

    batch: int
    T: int
    F: int
    C: int
    R: int
    P: int  # elements from one direction's coordinates to the next's
    line: int
    processors: int
    precision: str  # of the step's projection: "half", "tf32", "tf32x3", "ieee"
    lanes: int = LANES
    width: int = CHANNELS

    @property
    def pieces(self) -> int:
        """Return the pieces of a slab."""
        return max(1, self.lanes // self.F)

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
        return -(-self.C // self.width)

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
        return self.line * self.pieces * self.F * self.width

    @property
    def items(self) -> int:
        """Return the slabs of all items and channel blocks."""
        return self.batch * self.slabs * self.channel_blocks

    @property
    def programs(self) -> int:
        """Return how many programs of the third phase run at a time, each with a scratch slab."""
        fitting = max(1, SCRATCH_BYTES // (4 * self.slab_size))
        return min(self.items, PROGRAMS_PER_PROCESSOR * self.processors, fitting)

    @property
    def extent(self) -> tuple[int, ...]:
        """Return the sizes that the kernels take as ordinary numbers."""
        return self.T, self.line, self.pieces, self.chunks, self.slabs, self.rows_size

    @property
    def tile(self) -> dict[str, Any]:
        """Return the sizes that are constants of the kernels."""
        padded = self.R + 2 <= self.P and triton.next_power_of_2(self.P) == self.P
        loaded = self.P if padded else self.R
        rank = max(16, triton.next_power_of_2(loaded))
        sizes = {"F": self.F, "C": self.C, "R": self.R, "P": self.P, "RANK": rank, "M": self.lanes}
        return {**sizes, "LOADED": loaded, "WIDTH": self.width}

    @property
    def options(self) -> dict[str, Any]:
        """Return how the kernel of the first phase is compiled."""
        return self._options(REGISTERS)

    @property
    def output_options(self) -> dict[str, Any]:
        """Return how the kernel of the third phase is compiled."""
        return self._options(OUTPUT_REGISTERS)

    def _options(self, registers: int) -> dict[str, Any]:
        limit = {"maxnreg": registers} if has_ptx() else {}
        return {"PRECISION": self.precision, "PTX": has_ptx(), "num_warps": WARPS, **limit}


@dataclass(frozen=True)
class BackwardPlan(CrossScanPlan):
    """The sizes of the backward pass, for states in the same order."""

    width: int = BACKWARD_CHANNELS

    @classmethod
    def of(cls, forward: CrossScanPlan) -> Self:
        """Return the sizes that go with those of the forward pass."""
        return cls(**{**vars(forward), "width": BACKWARD_CHANNELS})

    @property
    def workers(self) -> int:
        """Return how many programs share the slabs of a channel block, each with sums of its own."""
        fitting = SCRATCH_BYTES // (2 * 4 * self.slab_size)
        most = min(BACKWARD_PROGRAMS * self.processors, fitting) // self.channel_blocks
        slabs = self.batch * self.slabs
        turns = -(-slabs // max(1, most))
        return -(-slabs // turns)

    @property
    def programs(self) -> int:
        """Return how many programs run at a time, each with two scratch slabs."""
        return self.workers * self.channel_blocks

    @property
    def rank(self) -> int:
        """Return the coordinates of the kernel's products: those of a direction and one for the bias."""
        return max(16, int(triton.next_power_of_2(self.R + 1)))


def plan_of(u: Tensor, p: Tensor, dt_weight: Tensor, line: int | None = None) -> CrossScanPlan:
    """Choose the sizes of a call.

    Args:
        u: (B, T, F, C).
        p: (B, T, F, 4, R + 2), rows of any length.
        dt_weight: (4, C, R).
        line: columns of a line along time, for tests; changes results by rounding only.
    """
    batch, T, F, C = u.shape
    processors = 1
    if not interpreted():
        processors = torch.cuda.get_device_properties(u.device).multi_processor_count
    precision = "tf32x3" if has_ptx() else "ieee"  # float32 by three products of halves
    if p.element_size() == 2:  # the interpreter multiplies no bfloat16
        precision = "half" if p.dtype == dt_weight.dtype and not interpreted() else "tf32"
    rank = dt_weight.shape[-1]
    for wanted in (line,) if line else LINES:
        row = p.stride(3)
        sizes = (batch, T, F, C, rank, row, min(T, wanted), processors, precision)
        plan = CrossScanPlan(*sizes, lanes=LANES, width=CHANNELS)
        if plan.items >= processors:
            break
    return plan


def outputs(
    plan: CrossScanPlan, inputs: tuple[Tensor, ...], y: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run all three phases.

    Args:
        plan: sizes of the call.
        inputs: u, p, dt_weight, dt_bias, A, D, contiguous but for the rows of p.
        y: (B, T, F, C) to write to; None makes it. It may be u: a program reads a position before it writes it, and no
            other program reads it.

    Returns:
        y (B, T, F, C), in float32 for a float16 map, else in the map's dtype; and the states that enter each line.
    """
    u, p, dt_weight, dt_bias, A, _ = inputs
    states = line_states(plan, u, p, dt_weight, dt_bias, A, adjoint=False)
    if y is None:
        y = torch.empty_like(u, dtype=torch.float32 if u.dtype == torch.float16 else u.dtype)
    scratch = torch.empty(plan.programs * plan.slab_size, device=u.device)
    _outputs[(plan.programs,)](
        *inputs, states, scratch, y, plan.items, *plan.extent, **plan.tile, **plan.output_options
    )
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
    decay, value = torch.empty(2, plan.states_size, device=x.device)
    grid = (4 * plan.items,)
    _line_pairs[grid](
        x, p, dt_weight, dt_bias, A, decay, value, *plan.extent,
        **plan.tile, **plan.options, ADJOINT=adjoint,
    )  # fmt: skip
    return map_states(decay, value, (plan.F * plan.chunks, plan.T), plan.C)
