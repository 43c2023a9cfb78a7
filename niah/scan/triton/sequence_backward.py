"""Gradients of Mamba's scan in Triton, deterministic: as `niah.scan.triton.cross_backward`, with N states a channel.

    g_t = C_t gy_t + a_{t+1} g_{t+1}   (E, N),    a_t = exp(delta_t A)
    du_t = delta_t sum_n g_t B_t + D gy_t         ddelta_t = u_t sum_n g_t B_t + sum_n g_t A a_t s_{t-1}
    dB_t = sum_e g_t delta_t u_t                  dC_t = sum_e gy_t s_t
    dA   = sum_t g_t delta_t a_t s_{t-1}          dD = sum_t gy_t u_t

The gradient of the final state enters from the far end; what leaves at the near end is that of the initial state.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from niah.scan.triton.sequence_forward import SequenceScanPlan, by_state, line_states
from niah.scan.triton.steps import LN_2, LOG2_E, sigmoid, softplus

CHANNELS = 32  # of a program's tile
WARPS = 1
PROGRAMS_PER_PROCESSOR = 12


def gradients(
    plan: SequenceScanPlan, saved: tuple[Tensor, ...], gy: Tensor, gfinal: Tensor
) -> tuple[Tensor, ...]:
    """Compute the gradients of u, z, B, C, A, D and the initial state.

    Args:
        plan: sizes of the call.
        saved: these tensors, and the entering states.
        gy: gradient of the output.
        gfinal: gradient of the final state.

    Returns:
        The gradients, in this order and in the tensors' dtypes.
    """
    u, z, B, C, A, D, initial, states = saved
    adjoints = line_states(plan, gy, z, C, by_state(A), gfinal, adjoint=True)
    blocks = triton.cdiv(plan.E, CHANNELS)
    workers = max(1, min(plan.items, PROGRAMS_PER_PROCESSOR * plan.processors // blocks))
    programs = workers * blocks
    tile = {**plan.sizes, "WIDTH": CHANNELS, "num_warps": WARPS}
    device = u.device
    scratch = torch.empty(programs * plan.line * CHANNELS * tile["STATES"], device=device)
    gu, gz = torch.empty_like(u), torch.empty_like(z)
    gB, gC = (torch.empty(blocks, *B.shape, device=device) for _ in range(2))
    gA = torch.zeros(workers, *A.shape, device=device)
    gD = torch.zeros(workers, *D.shape, device=device)
    ginitial = torch.empty(initial.shape, device=device)
    _gradients[(programs,)](
        u, z, B, C, A, D, states, adjoints, gy, scratch, gu, gz, gB, gC, gA, gD, ginitial,
        plan.items, B.numel(), plan.L, plan.line, plan.lines, **tile,
    )  # fmt: skip
    computed = (gu, gz, gB.sum(0), gC.sum(0), gA.sum(0), gD.sum(0), ginitial)
    return tuple(g.to(x.dtype) for g, x in zip(computed, saved, strict=False))


@triton.jit(do_not_specialize=["items", "L", "line", "lines"])
def _gradients(
    u, z, B, C, A, D, states, adjoints, gy, scratch, gu, gz, gB, gC, gA, gD, ginitial,
    items, B_size: tl.int64, L, line, lines,
    E: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, WIDTH: tl.constexpr,
    REVERSE: tl.constexpr,
):  # fmt: skip
    """Process lines one after another for a fixed channel block, so that each program has its own sums."""
    blocks: tl.constexpr = (E + WIDTH - 1) // WIDTH
    program = tl.program_id(0).to(tl.int64)
    worker = program // blocks
    workers = tl.num_programs(0) // blocks
    block = program % blocks
    own = tl.arange(0, WIDTH)
    e = block.to(tl.int32) * WIDTH + own
    n = tl.arange(0, STATES)
    inside = (e < E)[:, None] & (n < N)[None, :]
    offset = e[:, None] * N + n[None, :]
    stored = n[None, :] * E + e[:, None]  # of a line's states
    local = own[:, None] * STATES + n[None, :]
    scratch += program * line * WIDTH * STATES
    a = tl.load(A + offset, mask=inside, other=0.0).to(tl.float32) * LOG2_E
    skip = tl.load(D + e, mask=e < E, other=0.0).to(tl.float32)
    sum_a = tl.zeros((WIDTH, STATES), tl.float32)
    sum_d = tl.zeros((WIDTH,), tl.float32)
    for turn in range(0, (items - worker + workers - 1) // workers):
        work = worker + turn * workers
        at = work % lines
        item = work // lines
        rank = lines - 1 - at if REVERSE else at
        first = item * L + at * line
        steps = tl.minimum(L - at * line, line).to(tl.int32)
        h = tl.load(states + (item * lines + rank) * E * N + stored, mask=inside, other=0.0)
        for j in range(0, steps):
            t = first + (steps - 1 - j if REVERSE else j)
            tl.store(scratch + j * (WIDTH * STATES) + local, h)
            delta = softplus(tl.load(z + t * E + e, mask=e < E, other=0.0).to(tl.float32))
            x = tl.load(u + t * E + e, mask=e < E, other=0.0).to(tl.float32)
            b = tl.load(B + t * N + n, mask=n < N, other=0.0).to(tl.float32)
            h = tl.exp2(delta[:, None] * a) * h + (delta * x)[:, None] * b[None, :]
        tl.debug_barrier()
        # the far end's order of lines is the other way round
        other = adjoints + (item * lines + lines - 1 - rank) * E * N
        later = tl.load(other + stored, mask=inside, other=0.0)
        for back in range(0, steps):
            j = steps - 1 - back
            t = first + (steps - 1 - j if REVERSE else j)
            before = tl.load(scratch + j * (WIDTH * STATES) + local)
            stepping = tl.load(z + t * E + e, mask=e < E, other=0.0).to(tl.float32)
            delta = softplus(stepping)
            x = tl.load(u + t * E + e, mask=e < E, other=0.0).to(tl.float32)
            pull = tl.load(gy + t * E + e, mask=e < E, other=0.0).to(tl.float32)
            b = tl.load(B + t * N + n, mask=n < N, other=0.0).to(tl.float32)
            readout = tl.load(C + t * N + n, mask=n < N, other=0.0).to(tl.float32)
            decay = tl.exp2(delta[:, None] * a)
            remembered = decay * before
            g = pull[:, None] * readout[None, :] + later
            later = decay * g
            drive = tl.sum(g * b[None, :], 1)
            gdelta = x * drive + tl.sum(g * (a * LN_2) * remembered, 1)
            tl.store(gu + t * E + e, delta * drive + skip * pull, mask=e < E)
            tl.store(gz + t * E + e, gdelta * sigmoid(stepping), mask=e < E)
            # sums over this block's channels: those beside E have x = pull = 0
            gb = tl.sum(g * (delta * x)[:, None], 0)
            h = remembered + (delta * x)[:, None] * b[None, :]
            gc = tl.sum(pull[:, None] * h, 0)
            tl.store(gB + block * B_size + t * N + n, gb, mask=n < N)
            tl.store(gC + block * B_size + t * N + n, gc, mask=n < N)
            sum_a += g * delta[:, None] * remembered
            sum_d += pull * x
        if rank == 0:
            tl.store(ginitial + item * E * N + offset, later, mask=inside)
        tl.debug_barrier()  # the next line writes the scratch anew
    tl.store(gA + worker * E * N + offset, sum_a, mask=inside)
    tl.store(gD + worker * E + e, sum_d, mask=e < E)
