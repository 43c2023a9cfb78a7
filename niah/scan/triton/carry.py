"""The middle phase of every Triton scan: from the effect of each line of steps to the state that enters it.

A line ell turns the state h that enters it into decay_ell h + value_ell. The states that enter are

    h_0 = initial,   h_{ell+1} = decay_ell h_ell + value_ell

and are computed in blocks of 64 lines by a parallel prefix over pairs; the same function carries the blocks' own pairs,
so that 24 hours (a million lines) need four levels and no long serial chain.

Glossary: P independent scans (batch items x directions), Q independent lanes (channels, or channels x states).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.steps import after

LINES_PER_BLOCK = 64
LANES_PER_BLOCK = 32


def entering_states(decay: Tensor, value: Tensor, initial: Tensor | None = None) -> Tensor:
    """Compute the state that enters each line.

    Args:
        decay: (P, lines, Q) float32, contiguous, in scan order.
        value: (P, lines, Q) float32, contiguous, in scan order.
        initial: (P, Q) float32; None is zero.

    Returns:
        (P, lines, Q) float32; the first line of each scan gets `initial`.
    """
    scans, lines, lanes = value.shape
    blocks = triton.cdiv(lines, LINES_PER_BLOCK)
    grid = (scans * blocks * triton.cdiv(lanes, LANES_PER_BLOCK),)
    sizes = (lines, blocks, lanes, LINES_PER_BLOCK, LANES_PER_BLOCK)
    if blocks > 1:
        block_decay, block_value = (
            torch.empty(scans, blocks, lanes, device=value.device) for _ in range(2)
        )
        _block_totals[grid](decay, value, block_decay, block_value, *sizes)
        entering = entering_states(block_decay, block_value, initial)
    elif initial is None:
        entering = torch.zeros(scans, lanes, device=value.device)
    else:
        entering = initial.contiguous()
    states = torch.empty_like(value)
    _states[grid](decay, value, entering, states, *sizes)
    return states


@triton.jit
def _prefix(
    decay, value, lines, blocks, LANES: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr
):
    """Return this program's block: lines, lanes, scan, block, the pairs from the block's first line to each."""
    lane_blocks: tl.constexpr = (LANES + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    lane = (program % lane_blocks) * WIDTH + tl.arange(0, WIDTH)
    block = program // lane_blocks % blocks
    scan = program // lane_blocks // blocks
    line = block * BLOCK + tl.arange(0, BLOCK)
    inside = (line < lines)[:, None] & (lane < LANES)[None, :]
    offset = (scan * lines + line)[:, None] * LANES + lane[None, :]
    a = tl.load(decay + offset, mask=inside, other=1.0)
    b = tl.load(value + offset, mask=inside, other=0.0)
    a, b = tl.associative_scan((a, b), 0, after)
    return line, lane, scan, block, a, b


@triton.jit(do_not_specialize=["lines", "blocks"])
def _block_totals(
    decay, value, block_decay, block_value, lines, blocks,
    LANES: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    _, lane, scan, block, a, b = _prefix(decay, value, lines, blocks, LANES, BLOCK, WIDTH)
    last = (tl.arange(0, BLOCK) == BLOCK - 1)[:, None]
    offset = (scan * blocks + block) * LANES + lane
    tl.store(block_decay + offset, tl.sum(tl.where(last, a, 0.0), 0), mask=lane < LANES)
    tl.store(block_value + offset, tl.sum(tl.where(last, b, 0.0), 0), mask=lane < LANES)


@triton.jit(do_not_specialize=["lines", "blocks"])
def _states(
    decay, value, entering, states, lines, blocks,
    LANES: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    line, lane, scan, block, a, b = _prefix(decay, value, lines, blocks, LANES, BLOCK, WIDTH)
    first = tl.load(entering + (scan * blocks + block) * LANES + lane, mask=lane < LANES, other=0.0)
    following = (line + 1 < lines) & (tl.arange(0, BLOCK) < BLOCK - 1)
    offset = (scan * lines + line + 1)[:, None] * LANES + lane[None, :]
    mask = following[:, None] & (lane < LANES)[None, :]
    tl.store(states + offset, a * first[None, :] + b, mask=mask)
    head = (scan * lines + block * BLOCK) * LANES + lane
    tl.store(states + head, first, mask=lane < LANES)
