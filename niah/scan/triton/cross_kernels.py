"""The kernels of the map scan's first and third phase, and the device functions that the backward pass shares.

Four steps of a group of lines are taken at a time: their step sizes come from one matrix product (4 x 16 positions by
32 channels) and change from its layout to the lanes' once, and their loads are under way together. Slabs whose lanes
all have all their steps, which is every slab of a map but its last, run without masks.
"""

import triton
import triton.language as tl

from niah.scan.triton.lines import (
    is_ragged,
    line_starts,
    line_turns,
    slab_extent,
    state_offset,
    sweep_sizes,
)
from niah.scan.triton.steps import LN_2, LOG2_E, power_of_2, quarters, step_size, widened

# 16-bit elements of a map that a thread loads at once beside the sums: four, like those of the sums, which are float32.
# Both then have one layout, and nothing is exchanged through shared memory at every step.
CONTIGUOUS = tl.constexpr(4)


@triton.jit
def _weights(k, c, dt_weight, dt_bias, A, C: tl.constexpr, R: tl.constexpr, RANK: tl.constexpr):
    """Load one direction's step projection (RANK, WIDTH), bias and A (WIDTH,), for channels c."""
    r = tl.arange(0, RANK)
    inside = (r < R)[:, None] & (c < C)[None, :]
    weight = tl.load(dt_weight + (k * C + c)[None, :] * R + r[:, None], mask=inside, other=0.0)
    bias = tl.load(dt_bias + k * C + c, mask=c < C, other=0.0)
    a = tl.load(A + k * C + c, mask=c < C, other=0.0)
    return weight, bias.to(tl.float32), a.to(tl.float32)


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


@triton.jit
def _is_step(j, low, high):
    """Return whether low <= j < high, by one comparison of unsigned numbers."""
    return (j - low).to(tl.uint32, bitcast=True) < (high - low).to(tl.uint32, bitcast=True)


@triton.jit
def _load(pointer, inside, MASKED: tl.constexpr):
    """Load, with zeros beside the lines where there is such a place."""
    return tl.load(pointer, mask=inside, other=0.0) if MASKED else tl.load(pointer)


@triton.jit
def _step_sizes(
    p, start, low, high, stride, j, weight, bias,
    P: tl.constexpr, LOADED: tl.constexpr, RANK: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr,
    PRECISION: tl.constexpr, PTX: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Compute the step sizes (M, WIDTH) of turns j to j + 3 of each lane; beside a line's steps they are zero."""
    turn = j + tl.arange(0, 4 * M) // M
    inside = _is_step(turn, low, high)
    r = tl.arange(0, RANK)
    here = (start + turn * stride) * (4 * P)
    mask = inside[:, None] & (r < LOADED)[None, :]
    coordinates = _load(p + here[:, None] + r[None, :], mask, MASKED or LOADED < RANK)
    if PRECISION == "half":
        z = tl.dot(coordinates, weight)
    else:
        z = tl.dot(coordinates.to(tl.float32), weight.to(tl.float32), input_precision=PRECISION)
    d = step_size(z, bias[None, :], PRECISION == "ieee" or PRECISION == "tf32x3", PTX)
    if MASKED:
        d = tl.where(inside[:, None], d, 0.0)
    return quarters(d, M, WIDTH)


@triton.jit
def _pushed(
    x, p, c, start, low, high, stride, j,
    C: tl.constexpr, P: tl.constexpr, COLUMN: tl.constexpr, PTX: tl.constexpr,
    MASKED: tl.constexpr,
):  # fmt: skip
    """Return ln 2 times one column of p times x, (M, WIDTH), at turn j of each lane; zero beside the line."""
    step = start + j * stride
    inside = _is_step(j, low, high)
    full = inside[:, None] & (c < C)[None, :]
    value = widened(_load(x + step[:, None] * C + c[None, :], full, MASKED), PTX)
    scale = _load(p + step * (4 * P) + COLUMN, inside, MASKED).to(tl.float32)
    return (scale * LN_2)[:, None] * value


@triton.jit
def _lead(h, d, a, pushed, ADJOINT: tl.constexpr, PTX: tl.constexpr):
    """Return what a line hands on after one more step."""
    decay = power_of_2(d * a[None, :], PTX)
    return decay * (h + pushed * LOG2_E) if ADJOINT else decay * h + d * pushed


@triton.jit
def _position(
    c, own, start, low, high, stride, j, C: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """Return turn j of each lane: its step (M,), whether there is one, and its places in a map and in the scratch."""
    step = start + j * stride
    inside = _is_step(j, low, high)
    here = tl.max_contiguous(step[:, None] * C + c[None, :], (1, CONTIGUOUS))
    return step, inside, here, step[:, None] * WIDTH + own[None, :]


@triton.jit
def _read(
    x, p, scratch, c, own, start, low, high, stride, j, k,
    C: tl.constexpr, P: tl.constexpr, R: tl.constexpr, WIDTH: tl.constexpr,
    MASKED: tl.constexpr, DIRECTION: tl.constexpr,
):  # fmt: skip
    """Load what the output of turn j needs: x (M, WIDTH), B and C (M,), and the sum over the directions before."""
    step, inside, here, place = _position(c, own, start, low, high, stride, j, C, WIDTH)
    full = inside[:, None] & (c < C)[None, :]
    value = _load(x + here, full, MASKED)
    b = _load(p + step * (4 * P) + R, inside, MASKED).to(tl.float32)
    readout = _load(p + step * (4 * P) + R + 1, inside, MASKED).to(tl.float32)
    if MASKED:
        total = tl.load(scratch + place, mask=full & (k > 0), other=0.0)
    elif DIRECTION == 0:
        total = tl.zeros_like(place).to(tl.float32)
    else:
        total = tl.load(scratch + place)
    return value, b, readout, total


@triton.jit
def _step(
    h, d, a, skip, value, b, readout, total, k,
    PTX: tl.constexpr, MASKED: tl.constexpr, DIRECTION: tl.constexpr,
):  # fmt: skip
    """Take one step; return the state after it, and the sum with its output."""
    value = widened(value, PTX)
    if MASKED:
        total += tl.where(k == 0, skip, 0.0)[None, :] * value
    elif DIRECTION == 0:
        total = skip[None, :] * value
    h = power_of_2(d * a[None, :], PTX) * h + d * ((b * LN_2)[:, None] * value)
    return h, total + readout[:, None] * h


@triton.jit
def _write(
    total, y, scratch, c, own, start, low, high, stride, j, k,
    C: tl.constexpr, WIDTH: tl.constexpr, MASKED: tl.constexpr, DIRECTION: tl.constexpr,
):  # fmt: skip
    """Store the sum at turn j of each lane: to the scratch, and after the last direction to y."""
    _step, inside, here, place = _position(c, own, start, low, high, stride, j, C, WIDTH)
    full = inside[:, None] & (c < C)[None, :]
    if MASKED:
        tl.store(scratch + place, total, mask=full & (k < 3))
        tl.store(y + here, total, mask=full & (k == 3))
    elif DIRECTION == 3:
        tl.store(y + here, total)
    else:
        tl.store(scratch + place, total)


@triton.jit(do_not_specialize=["T", "line", "pieces", "chunks", "slabs"])
def _line_pairs(
    x, p, dt_weight, dt_bias, A, decay, value,
    T, line, pieces, chunks, slabs, rows_size: tl.int64,
    F: tl.constexpr, C: tl.constexpr, R: tl.constexpr, P: tl.constexpr, LOADED: tl.constexpr,
    RANK: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
    PTX: tl.constexpr, ADJOINT: tl.constexpr,
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
    p += first * (4 * P) + k * P
    reverse = (k >= 2) != ADJOINT
    groups, steps, _, lines = sweep_sizes(k, columns, T, line, chunks, F, M)
    weight, bias, a = _weights(k, c, dt_weight, dt_bias, A, C, R, RANK)
    ragged = is_ragged(columns, steps, line, pieces, F, M) or C % WIDTH != 0
    for group in range(0, groups):
        lane = group * M + tl.arange(0, M)
        _start, low, high, _stride = line_turns(k, lane, columns, line, reverse, F)
        if ragged:
            h, total = _run(
                x, p, c, weight, bias, a, k, group, steps, columns, line, reverse,
                F, C, R, P, LOADED, RANK, M, WIDTH, PRECISION, PTX, ADJOINT, True,
            )  # fmt: skip
        else:
            h, total = _run(
                x, p, c, weight, bias, a, k, group, steps, columns, line, reverse,
                F, C, R, P, LOADED, RANK, M, WIDTH, PRECISION, PTX, ADJOINT, False,
            )  # fmt: skip
        offset = state_offset(
            k, item, slab, lane, reverse, line, pieces, chunks, lines, rows_size, C, F
        )
        full = (low < high)[:, None] & (c < C)[None, :]
        offsets = offset[:, None] + c[None, :]
        tl.store(decay + offsets, power_of_2(total * a[None, :], PTX), mask=full)
        tl.store(value + offsets, h, mask=full)


@triton.jit
def _run(
    x, p, c, weight, bias, a, k, group, steps, columns, line, reverse,
    F: tl.constexpr, C: tl.constexpr, R: tl.constexpr, P: tl.constexpr, LOADED: tl.constexpr,
    RANK: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
    PTX: tl.constexpr, ADJOINT: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Run a group of lines from zero; return what they hand on, and their sums of step sizes, (M, WIDTH)."""
    lane = group * M + tl.arange(0, M)
    start, low, high, stride = line_turns(k, lane, columns, line, reverse, F)
    lanes = group * M + tl.arange(0, 4 * M) % M
    starts, lows, highs, _ = line_turns(k, lanes, columns, line, reverse, F)
    h = tl.zeros((M, WIDTH), tl.float32)
    total = tl.zeros((M, WIDTH), tl.float32)
    for j in range(0, steps, 4):
        d0, d1, d2, d3 = _step_sizes(
            p, starts, lows, highs, stride, j, weight, bias,
            P, LOADED, RANK, M, WIDTH, PRECISION, PTX, MASKED,
        )  # fmt: skip
        u0 = _pushed(x, p, c, start, low, high, stride, j, C, P, R + ADJOINT, PTX, MASKED)
        u1 = _pushed(x, p, c, start, low, high, stride, j + 1, C, P, R + ADJOINT, PTX, MASKED)
        u2 = _pushed(x, p, c, start, low, high, stride, j + 2, C, P, R + ADJOINT, PTX, MASKED)
        u3 = _pushed(x, p, c, start, low, high, stride, j + 3, C, P, R + ADJOINT, PTX, MASKED)
        h = _lead(h, d0, a, u0, ADJOINT, PTX)
        h = _lead(h, d1, a, u1, ADJOINT, PTX)
        h = _lead(h, d2, a, u2, ADJOINT, PTX)
        h = _lead(h, d3, a, u3, ADJOINT, PTX)
        total += (d0 + d1) + (d2 + d3)
    return h, total


@triton.jit(do_not_specialize=["items", "T", "line", "pieces", "chunks", "slabs"])
def _outputs(
    u, p, dt_weight, dt_bias, A, D, states, scratch, y, items,
    T, line, pieces, chunks, slabs, rows_size: tl.int64,
    F: tl.constexpr, C: tl.constexpr, R: tl.constexpr, P: tl.constexpr, LOADED: tl.constexpr,
    RANK: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
    PTX: tl.constexpr,
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
            groups, steps, _stride, lines = sweep_sizes(k, columns, T, line, chunks, F, M)
            weight, bias, a = _weights(k, c, dt_weight, dt_bias, A, C, R, RANK)
            ragged = is_ragged(columns, steps, line, pieces, F, M) or C % WIDTH != 0
            x = u + first * C
            part = p + first * (4 * P) + k * P
            out = y + first * C
            for group in range(0, groups):
                _start, _count, h = _entering(
                    states, c, k, group, item, slab, reverse,
                    columns, line, pieces, chunks, lines, rows_size, F, C, M,
                )  # fmt: skip
                if ragged:
                    _rerun(
                        h, x, part, out, scratch, c, own, weight, bias, a, skip,
                        k, group, steps, columns, line, reverse,
                        F, C, R, P, LOADED, RANK, M, WIDTH, PRECISION, PTX, True, 1,
                    )  # fmt: skip
                elif k == 0:
                    _rerun(
                        h, x, part, out, scratch, c, own, weight, bias, a, skip,
                        k, group, steps, columns, line, reverse,
                        F, C, R, P, LOADED, RANK, M, WIDTH, PRECISION, PTX, False, 0,
                    )  # fmt: skip
                elif k == 3:
                    _rerun(
                        h, x, part, out, scratch, c, own, weight, bias, a, skip,
                        k, group, steps, columns, line, reverse,
                        F, C, R, P, LOADED, RANK, M, WIDTH, PRECISION, PTX, False, 3,
                    )  # fmt: skip
                else:
                    _rerun(
                        h, x, part, out, scratch, c, own, weight, bias, a, skip,
                        k, group, steps, columns, line, reverse,
                        F, C, R, P, LOADED, RANK, M, WIDTH, PRECISION, PTX, False, 1,
                    )  # fmt: skip
            tl.debug_barrier()  # the next direction reads the scratch by other lanes


@triton.jit
def _rerun(
    h, x, p, y, scratch, c, own, weight, bias, a, skip, k, group, steps, columns, line, reverse,
    F: tl.constexpr, C: tl.constexpr, R: tl.constexpr, P: tl.constexpr, LOADED: tl.constexpr,
    RANK: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
    PTX: tl.constexpr, MASKED: tl.constexpr, DIRECTION: tl.constexpr,
):  # fmt: skip
    """Run a group of lines from the states that enter them, and add their outputs to the sum over directions."""
    lane = group * M + tl.arange(0, M)
    start, low, high, stride = line_turns(k, lane, columns, line, reverse, F)
    lanes = group * M + tl.arange(0, 4 * M) % M
    starts, lows, highs, _ = line_turns(k, lanes, columns, line, reverse, F)
    for j in range(0, steps, 4):
        d0, d1, d2, d3 = _step_sizes(
            p, starts, lows, highs, stride, j, weight, bias,
            P, LOADED, RANK, M, WIDTH, PRECISION, PTX, MASKED,
        )  # fmt: skip
        # all loads come before the first store, which they may not pass
        x0, b0, r0, y0 = _read(
            x, p, scratch, c, own, start, low, high, stride, j, k,
            C, P, R, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
        x1, b1, r1, y1 = _read(
            x, p, scratch, c, own, start, low, high, stride, j + 1, k,
            C, P, R, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
        x2, b2, r2, y2 = _read(
            x, p, scratch, c, own, start, low, high, stride, j + 2, k,
            C, P, R, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
        x3, b3, r3, y3 = _read(
            x, p, scratch, c, own, start, low, high, stride, j + 3, k,
            C, P, R, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
        h, y0 = _step(h, d0, a, skip, x0, b0, r0, y0, k, PTX, MASKED, DIRECTION)
        h, y1 = _step(h, d1, a, skip, x1, b1, r1, y1, k, PTX, MASKED, DIRECTION)
        h, y2 = _step(h, d2, a, skip, x2, b2, r2, y2, k, PTX, MASKED, DIRECTION)
        h, y3 = _step(h, d3, a, skip, x3, b3, r3, y3, k, PTX, MASKED, DIRECTION)
        _write(
            y0, y, scratch, c, own, start, low, high, stride, j, k,
            C, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
        _write(
            y1, y, scratch, c, own, start, low, high, stride, j + 1, k,
            C, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
        _write(
            y2, y, scratch, c, own, start, low, high, stride, j + 2, k,
            C, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
        _write(
            y3, y, scratch, c, own, start, low, high, stride, j + 3, k,
            C, WIDTH, MASKED, DIRECTION,
        )  # fmt: skip
