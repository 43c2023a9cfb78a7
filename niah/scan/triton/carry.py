"""The middle phase of every Triton scan: from the effect of each line of steps to the state that enters it.

A line ell turns the state h that enters it into decay_ell h + value_ell. The states that enter are

    h_0 = initial,   h_{ell+1} = decay_ell h_ell + value_ell

and are computed in blocks of 64 lines by a parallel prefix over pairs; the same function carries the blocks' own pairs,
so that 24 hours (a million lines) need four levels and no long serial chain. The lines of a short map need no levels:
one launch visits the blocks of both orders one after another.

Glossary: P independent scans (batch items x directions), Q independent lanes (channels, or channels x states).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.steps import after

LINES_PER_BLOCK = 64
LANES_PER_BLOCK = 32
SHORT_LINES = 512  # at most, where blocks follow one another
SHORT_LANES = 16  # of a program of those


def map_states(decay: Tensor, value: Tensor, lines: tuple[int, int], lanes: int) -> Tensor:
    """Compute the state that enters each line of a map, in both orders of lines; the first of each is zero.

    Args:
        decay: (P x (lines along time + lines along frequency) x Q,) float32: one order after the other, each
            (P, lines, Q) in scan order.
        value: likewise.
        lines: number of lines along time, and along frequency.
        lanes: Q.

    Returns:
        The states, shaped as `decay`.
    """
    states = torch.empty_like(value)
    scans = value.numel() // (sum(lines) * lanes)
    split = scans * lines[0] * lanes
    if max(lines) <= SHORT_LINES:
        grid = (2 * scans * triton.cdiv(lanes, SHORT_LANES),)
        sizes = (scans, *lines, split, lanes, LINES_PER_BLOCK, SHORT_LANES)
        _short_map_states[grid](decay, value, states, *sizes)
        return states
    for order, count in zip((slice(0, split), slice(split, None)), lines, strict=True):
        shape = (scans, count, lanes)
        pairs = decay[order].view(shape), value[order].view(shape)
        entering_states(*pairs, out=states[order].view(shape))
    return states


def entering_states(
    decay: Tensor, value: Tensor, initial: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """Compute the state that enters each line.

    Args:
        decay: (P, lines, Q) float32, contiguous, in scan order.
        value: (P, lines, Q) float32, contiguous, in scan order.
        initial: (P, Q) float32; None is zero.
        out: (P, lines, Q) float32 to write to; None makes it.

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
    states = torch.empty_like(value) if out is None else out
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


@triton.jit(do_not_specialize=["scans", "row_lines", "column_lines"])
def _short_map_states(
    decay, value, states, scans, row_lines, column_lines, split: tl.int64,
    LANES: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write the states of one order, scan and group of lanes, block after block."""
    lane_blocks: tl.constexpr = (LANES + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    lane = (program % lane_blocks) * WIDTH + tl.arange(0, WIDTH)
    scan = program // lane_blocks % scans
    along_time = program // lane_blocks // scans == 0
    lines = tl.where(along_time, row_lines, column_lines)
    base = tl.where(along_time, 0, split) + scan * lines * LANES
    first = tl.zeros((WIDTH,), tl.float32)
    for begin in range(0, lines, BLOCK):
        line = begin + tl.arange(0, BLOCK)
        here = base + line[:, None] * LANES + lane[None, :]
        real = (line < lines)[:, None] & (lane < LANES)[None, :]
        follows = real & (line > begin)[:, None]
        a = tl.load(decay + here - LANES, mask=follows, other=1.0)
        b = tl.load(value + here - LANES, mask=follows, other=0.0)
        a, b = tl.associative_scan((a, b), 0, after)
        entering = a * first[None, :] + b
        tl.store(states + here, entering, mask=real)
        last = tl.minimum(begin + BLOCK, lines) - 1
        final = base + last * LANES + lane
        last_decay = tl.load(decay + final, mask=lane < LANES, other=0.0)
        last_value = tl.load(value + final, mask=lane < LANES, other=0.0)
        at_last = tl.sum(tl.where((line == last)[:, None], entering, 0.0), 0)
        first = last_decay * at_last + last_value
