"""Gradients of the four scans of a map in Triton, the same three phases from the other end.

With gy the gradient of the output and g_s = C_s gy_s + a_{s+1} g_{s+1} that of the state h_s, a_s = exp(delta_s A):

    du_s += g_s delta_s B_s + D gy_s          ddelta_s = g_s (B_s u_s + A a_s h_{s-1}),   dz_s = ddelta_s sigmoid(z_s)
    dB_s  = sum_c g_s delta_s u_s             dC_s = sum_c gy_s h_s
    dA    = sum_s g_s delta_s a_s h_{s-1}     dD = sum_s gy_s u_s
    dW    = sum_s dz_s p_s^T                  dp_s = W^T dz_s,   dbias = sum_s dz_s

a_s h_{s-1} is used as it is: h_s - delta_s B_s u_s would cancel. A line's states are run again from its entering state
into a scratch slab, then the line is run backwards.

Nothing is added atomically. Sums over channels leave as one partial a channel block, sums over steps as one partial a
program; both are then added in a fixed order, so that two backward passes give the same bits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.cross_forward import BackwardPlan, CrossScanPlan, line_states
from niah.scan.triton.cross_kernels import _entering, _weights
from niah.scan.triton.lines import slab_extent, sweep_sizes
from niah.scan.triton.steps import LN_2, has_ptx, power_of_2, step_size, step_size_and_slope

EXTRA_ROWS = tl.constexpr(2)  # beside the projection's, of which one is the bias's: A, D
WARPS = 1  # of a program, whose lanes then wait for nobody at a barrier


def gradients(plan: CrossScanPlan, saved: tuple[Tensor, ...], gy: Tensor) -> tuple[Tensor, ...]:
    """Compute the gradients of u, p, dt_weight, dt_bias, A and D.

    Args:
        plan: sizes of the call.
        saved: these tensors, and the entering states.
        gy: gradient of the output.

    Returns:
        The gradients, in this order and in the tensors' dtypes.
    """
    u, p, dt_weight, dt_bias, A, D, states = saved
    adjoints = line_states(plan, gy, p, dt_weight, dt_bias, A, adjoint=True)
    own = BackwardPlan.of(plan)
    scratch = torch.empty(2, own.programs * own.slab_size, device=u.device)
    rank = own.rank
    sums = torch.zeros(own.workers, 4, rank + EXTRA_ROWS.value, own.C, device=u.device)
    gu = torch.empty_like(u)
    gp = torch.empty(own.channel_blocks, *p.shape, device=u.device)
    _gradients[(own.programs,)](
        u, p, dt_weight, dt_bias, A, D, states, adjoints, gy, scratch[0], scratch[1], gu, gp, sums,
        own.batch * own.slabs, p.numel(), *own.extent,
        F=own.F, C=own.C, R=own.R, P=own.P, RANK=rank, M=own.lanes, WIDTH=own.width,
        PRECISION="tf32" if plan.precision == "half" else plan.precision, PTX=has_ptx(), num_warps=WARPS,
    )  # fmt: skip
    total = sums.sum(0)
    gW = total[:, : plan.R].transpose(1, 2)
    gD = total[:1, rank + 1].expand(4, -1)  # y = sum_k D_k u: the same for all directions
    computed = (gu, gp.sum(0), gW, total[:, plan.R], total[:, rank], gD)
    return tuple(g.to(x.dtype) for g, x in zip(computed, saved, strict=False))


@triton.jit
def _turn(start, count, stride, steps, j, backwards):
    """Return the step (M,) of each line at turn j of a run over its steps, and whether there is one."""
    i = tl.where(backwards, steps - 1 - j, j)
    return start + i * stride, i < tl.where(j < steps, count, -1)


@triton.jit
def _passed(
    u, p, c, start, count, stride, steps, j, backwards,
    C: tl.constexpr, R: tl.constexpr, P: tl.constexpr, RANK: tl.constexpr,
):  # fmt: skip
    """Load what the state of turn j is made from: u (M, WIDTH), coordinates (M, RANK) and B (M,)."""
    step, inside = _turn(start, count, stride, steps, j, backwards)
    full = inside[:, None] & (c < C)[None, :]
    x = tl.load(u + step[:, None] * C + c[None, :], mask=full, other=0.0)
    r = tl.arange(0, RANK)
    row = p + step * (4 * P)
    coordinates = tl.load(
        row[:, None] + r[None, :], mask=inside[:, None] & (r < R)[None, :], other=0.0
    )
    return x, coordinates, tl.load(row + R, mask=inside, other=0.0)


@triton.jit
def _pulled(
    gy, saved_states, saved_sums, p, c, own, start, count, stride, steps, j, backwards, k,
    C: tl.constexpr, R: tl.constexpr, P: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Load what else its gradients need: gy, the state before, C (M,), and the sum over the directions before."""
    step, inside = _turn(start, count, stride, steps, j, backwards)
    full = inside[:, None] & (c < C)[None, :]
    local = step[:, None] * WIDTH + own[None, :]
    pull = tl.load(gy + step[:, None] * C + c[None, :], mask=full, other=0.0)
    before = tl.load(saved_states + local, mask=full, other=0.0)
    readout = tl.load(p + step * (4 * P) + R + 1, mask=inside, other=0.0)
    return pull, before, readout, tl.load(saved_sums + local, mask=full & (k > 0), other=0.0)


@triton.jit(do_not_specialize=["items", "T", "line", "pieces", "chunks", "slabs"])
def _gradients(
    u, p, dt_weight, dt_bias, A, D, states, adjoints, gy, saved_states, saved_sums, gu, gp, sums,
    items, p_size: tl.int64, T, line, pieces, chunks, slabs, rows_size: tl.int64,
    F: tl.constexpr, C: tl.constexpr, R: tl.constexpr, P: tl.constexpr, RANK: tl.constexpr,
    M: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """Process slabs one after another for a fixed channel block, so that each program has its own sums.

    Step sizes d = delta / ln 2 are `steps.step_size`'s, so that delta B u = d (ln 2 B) u.
    """
    EXACT: tl.constexpr = PRECISION == "ieee" or PRECISION == "tf32x3"
    channel_blocks: tl.constexpr = (C + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    worker = program // channel_blocks
    workers = tl.num_programs(0) // channel_blocks
    block = program % channel_blocks
    own = tl.arange(0, WIDTH)
    c = block.to(tl.int32) * WIDTH + own
    saved_states += program * line * pieces * F * WIDTH
    saved_sums += program * line * pieces * F * WIDTH
    r = tl.arange(0, RANK)
    skip = tl.zeros((WIDTH,), tl.float32)
    for k in range(0, 4):
        skip += tl.load(D + k * C + c, mask=c < C, other=0.0).to(tl.float32)
    for turn in range(0, (items - worker + workers - 1) // workers):
        work = worker + turn * workers
        slab = work % slabs
        item = work // slabs
        columns, first = slab_extent(slab, item, T, line, pieces, F)
        for k in range(0, 4):
            reverse = k >= 2
            groups, steps, stride, lines = sweep_sizes(k, columns, T, line, chunks, F, M)
            weight, bias, a = _weights(k, c, dt_weight, dt_bias, A, C, R, RANK)
            weight = weight.to(tl.float32)
            once = tl.where(k == 0, skip, 0.0)
            own_u, own_gy = u + first * C, gy + first * C
            part = p + first * (4 * P) + k * P
            gpart = gp + block * p_size + first * (4 * (R + 2)) + k * (R + 2)
            sum_weight = tl.zeros((RANK, WIDTH), tl.float32)
            sum_a = tl.zeros((M, WIDTH), tl.float32)
            sum_d = tl.zeros((M, WIDTH), tl.float32)
            for group in range(0, groups):
                start, count, h = _entering(
                    states, c, k, group, item, slab, reverse,
                    columns, line, pieces, chunks, lines, rows_size, F, C, M,
                )  # fmt: skip
                x, coordinates, b = _passed(
                    own_u, part, c, start, count, stride, steps, 0, reverse, C, R, P, RANK
                )  # fmt: skip
                for j in range(0, steps):
                    # loads may not pass stores: those of the next step come first
                    next_x, next_coordinates, next_b = _passed(
                        own_u, part, c, start, count, stride, steps, j + 1, reverse, C, R, P, RANK
                    )  # fmt: skip
                    i = tl.where(reverse, steps - 1 - j, j)
                    inside = i < count
                    step = start + i * stride
                    full = inside[:, None] & (c < C)[None, :]
                    tl.store(saved_states + step[:, None] * WIDTH + own[None, :], h, mask=full)
                    z = tl.dot(coordinates.to(tl.float32), weight, input_precision=PRECISION)
                    d = step_size(z, bias[None, :], EXACT, PTX)
                    d = tl.where(inside[:, None], d, 0.0)
                    pushed = (b.to(tl.float32) * LN_2)[:, None] * x.to(tl.float32)
                    h = power_of_2(d * a[None, :], PTX) * h + d * pushed
                    x, coordinates, b = next_x, next_coordinates, next_b
                tl.debug_barrier()
                # the far end's order of lines is the other way round
                _, _, later = _entering(
                    adjoints, c, k, group, item, slab, not reverse,
                    columns, line, pieces, chunks, lines, rows_size, F, C, M,
                )  # fmt: skip
                x, coordinates, b = _passed(
                    own_u, part, c, start, count, stride, steps, 0, not reverse, C, R, P, RANK
                )  # fmt: skip
                pull, before, readout, total = _pulled(
                    own_gy, saved_states, saved_sums, part, c, own, start, count, stride, steps, 0,
                    not reverse, k, C, R, P, WIDTH,
                )  # fmt: skip
                for j in range(0, steps):
                    next_x, next_coordinates, next_b = _passed(
                        own_u, part, c, start, count, stride, steps, j + 1, not reverse,
                        C, R, P, RANK,
                    )  # fmt: skip
                    next_pull, next_before, next_readout, next_total = _pulled(
                        own_gy, saved_states, saved_sums, part, c, own, start, count, stride, steps,
                        j + 1, not reverse, k, C, R, P, WIDTH,
                    )  # fmt: skip
                    i = tl.where(reverse, j, steps - 1 - j)
                    inside = i < count
                    full = inside[:, None] & (c < C)[None, :]
                    step = start + i * stride
                    local = step[:, None] * WIDTH + own[None, :]
                    here = step[:, None] * C + c[None, :]
                    x, pull = x.to(tl.float32), pull.to(tl.float32)
                    coordinates = coordinates.to(tl.float32)
                    b, readout = b.to(tl.float32), readout.to(tl.float32)
                    z = tl.dot(coordinates, weight, input_precision=PRECISION)
                    d, slope = step_size_and_slope(z, bias[None, :], EXACT, PTX)
                    d = tl.where(full, d, 0.0)
                    decay = power_of_2(d * a[None, :], PTX)
                    remembered = decay * before
                    pushed = b[:, None] * x
                    g = readout[:, None] * pull + later
                    later = decay * g
                    gz = tl.where(full, g * (pushed + a[None, :] * remembered) * slope, 0.0)
                    g = g * (d * LN_2)
                    # sums over this block's channels
                    gb = tl.sum(g * x, 1)
                    gc = tl.sum(pull * (remembered + (d * LN_2) * pushed), 1)
                    gcoordinates = tl.dot(gz, tl.trans(weight), input_precision=PRECISION)
                    mask = inside[:, None] & (r < R)[None, :]
                    row = gpart + step * (4 * (R + 2))
                    tl.store(row[:, None] + r[None, :], gcoordinates, mask=mask)
                    tl.store(row + R, gb, mask=inside)
                    tl.store(row + R + 1, gc, mask=inside)
                    # sums over steps; a coordinate of one stands for the bias
                    with_one = tl.where((r == R)[None, :], 1.0, coordinates)
                    sum_weight += tl.dot(tl.trans(with_one), gz, input_precision=PRECISION)
                    sum_a += g * remembered
                    if k == 0:
                        sum_d += pull * x
                    # sums over directions
                    total += g * b[:, None] + once[None, :] * pull
                    tl.store(saved_sums + local, total, mask=full & (k < 3))
                    tl.store(gu + first * C + here, total, mask=full & (k == 3))
                    x, coordinates, b = next_x, next_coordinates, next_b
                    pull, before, readout, total = next_pull, next_before, next_readout, next_total
            tl.debug_barrier()  # the next direction reads the scratch by other lanes
            at = sums + ((worker * 4 + k) * (RANK + EXTRA_ROWS)) * C
            mask = (r <= R)[:, None] & (c < C)[None, :]
            rows = at + r[:, None] * C + c[None, :]
            tl.store(rows, tl.load(rows, mask=mask, other=0.0) + sum_weight, mask=mask)
            _add(at + RANK * C + c, tl.sum(sum_a, 0), c < C)
            _add(at + (RANK + 1) * C + c, tl.sum(sum_d, 0), c < C)


@triton.jit
def _add(at, more, mask):
    tl.store(at, tl.load(at, mask=mask, other=0.0) + more, mask=mask)
