"""The memory layout of the steps of a map's four scans, for the Triton kernels.

A scan's sequence is cut into *lines*: runs of steps with one stride between them, which a program's lanes process in
parallel. Along time (directions 0 and 2) a line is a piece of a mel row, `line` columns long; along frequency
(1 and 3) it is one column. A *slab* consists of `pieces` such pieces with all their mel rows: one program visits it in
all four directions while it is in the cache.

    along time       lane = (piece, row)    first step piece line F + row, stride F,   rank row chunks + piece
    along frequency  lane = column          first step column F,           stride 1,   rank column

Directions 2 and 3 visit lines, and steps in a line, from the far end. Steps count from the slab's first position and
are int32, as a slab has a few thousand positions; the offset of a slab or of a line's state is int64, since a map
exceeds 2^31 elements at 7.8 hours.
"""

import triton
import triton.language as tl


@triton.jit
def slab_extent(slab, item, T, line, pieces, F: tl.constexpr):
    """Return (columns of a slab, its first position in the whole tensor), int32 and int64, as `slab` and `item` are."""
    before = slab * pieces * line
    columns = tl.minimum(T - before, pieces * line).to(tl.int32)
    return columns, (item * T + before) * F


@triton.jit
def sweep_sizes(k, columns, T, line, chunks, F: tl.constexpr, M: tl.constexpr):
    """Return (groups of M lanes in a slab, steps of a full line, stride of a step, lines of a batch item)."""
    along_time = k % 2 == 0
    lanes = tl.where(along_time, (columns + line - 1) // line * F, columns)
    steps = tl.where(along_time, line, F)
    stride = tl.where(along_time, F, 1)
    return (lanes + M - 1) // M, steps, stride, tl.where(along_time, chunks * F, T)


@triton.jit
def line_starts(k, lane, columns, line, F: tl.constexpr):
    """Return (first step, steps) of each lane, (M,) int32; lanes beside the map have no steps."""
    along_time = k % 2 == 0
    column = tl.where(along_time, lane // F * line, lane)
    row = tl.where(along_time, lane % F, 0)
    steps = tl.where(along_time, tl.minimum(columns - column, line), tl.where(lane < columns, F, 0))
    return column * F + row, tl.maximum(steps, 0)


@triton.jit
def line_turns(k, lane, columns, line, reverse, F: tl.constexpr):
    """Return each lane's line as a program visits it: turn j is at start + j stride where low <= j < high.

    Returns:
        start, low and high (M,) int32, and the stride, a number. A visit from the far end starts at the last step of
        a full line, so that all lanes have the same stride; lines that end before it have a larger `low`.
    """
    start, count = line_starts(k, lane, columns, line, F)
    steps = tl.where(k % 2 == 0, line, F)
    stride = tl.where(k % 2 == 0, F, 1)
    return (
        tl.where(reverse, start + (steps - 1) * stride, start),
        tl.where(reverse, steps - count, 0),
        tl.where(reverse, steps, count),
        tl.where(reverse, -stride, stride),
    )


@triton.jit
def is_ragged(columns, steps, line, pieces, F: tl.constexpr, M: tl.constexpr):
    """Return whether some lane of a slab has no step at some turn, where turns come in fours."""
    full = (columns == line * pieces) & (steps % 4 == 0)
    return (full & (columns % M == 0) & (pieces * F % M == 0)) == 0


@triton.jit
def state_offset(
    k, item, slab, lane, reverse, line, pieces, chunks, lines, rows_size,
    C: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """Return the offset of each lane's pair or state, (M,) int64.

    States are (batch, 2, lines along time, C), then (batch, 2, columns, C). Ranks are in scan order, so that the carry
    always goes forwards.
    """
    along_time = k % 2 == 0
    wide = lane.to(tl.int64)
    rank_in_row = wide % F * chunks + slab * pieces + wide // F
    rank = tl.where(along_time, rank_in_row, slab * pieces * line + wide)
    rank = tl.where(reverse, lines - 1 - rank, rank)
    base = tl.where(along_time, tl.zeros_like(item), rows_size)
    return base + ((item * 2 + k // 2) * lines + rank) * C
