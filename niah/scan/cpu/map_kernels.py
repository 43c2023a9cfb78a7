"""Compiled passes over a chunk of a map, for `niah.scan.cpu.map`, whose glossary holds here.

A step z = W p + bias is computed from its few coordinates inside the kernel, one column of the map at a time, and is
never stored. Nothing is copied or transposed for a direction: each is an order of indices.
"""

import numpy as np

from niah.scan.cpu.compile import kernel
from niah.scan.cpu.math import exp_of_non_positive, softplus_in_place

BLOCK = 1024  # elements (rows x channels) whose steps are in scratch at a time: three such fit the first-level cache


@kernel()
def _steps_of_position(delta, offset, coordinates, start, weight, bias):  # type: ignore[no-untyped-def]
    """delta[offset:] = weight^T coordinates[start:] + bias, weight (R, C); six ranks a turn."""
    rank, channels = weight.shape
    if offset < 0 or start < 0:
        return  # tells LLVM that no index wraps around, without which nothing is vectorised
    for c in range(channels):
        delta[offset + c] = bias[c]
    r = 0
    while r + 5 < rank:
        p0, p1, p2 = coordinates[start + r], coordinates[start + r + 1], coordinates[start + r + 2]
        p3, p4, p5 = (
            coordinates[start + r + 3],
            coordinates[start + r + 4],
            coordinates[start + r + 5],
        )
        for c in range(channels):
            delta[offset + c] += (
                weight[r, c] * p0
                + weight[r + 1, c] * p1
                + weight[r + 2, c] * p2
                + weight[r + 3, c] * p3
                + weight[r + 4, c] * p4
                + weight[r + 5, c] * p5
            )
        r += 6
    while r < rank:
        p0 = coordinates[start + r]
        for c in range(channels):
            delta[offset + c] += weight[r, c] * p0
        r += 1


@kernel()
def _step(h, y, u, delta, offset, a, b, readout):  # type: ignore[no-untyped-def]
    """One step of the recurrence for all channels; adds to y."""
    if offset < 0:
        return
    for c in range(h.shape[0]):
        push = delta[offset + c] * b * u[c]
        h[c] = exp_of_non_positive(delta[offset + c] * a[c]) * h[c] + push
        y[c] += readout * h[c]


@kernel()
def _step_silently(h, passed, u, delta, offset, a, b):  # type: ignore[no-untyped-def]
    """One step without output; adds the step sizes to `passed`."""
    if offset < 0:
        return
    for c in range(h.shape[0]):
        push = delta[offset + c] * b * u[c]
        h[c] = exp_of_non_positive(delta[offset + c] * a[c]) * h[c] + push
    for c in range(h.shape[0]):
        passed[c] += delta[offset + c]


@kernel()
def sweep(  # type: ignore[no-untyped-def]
    u, p, weight, bias, A, D, row_state, column_state, row_sum, column_sum, y, reverse, first_kind
):
    """Directions 0 and 1 of a chunk in one pass over it, or 2 and 3 (`reverse`); `first_kind` 1 leaves the rows out.

    u, y (L, C); p (L, K); weight (4, R, C); bias, A (4, C); D (C,); row_state (F, C) and column_state (C,) enter and
    leave. With an empty y only states and the sums of delta are made; else y is set (forward) or added to (reverse).
    """
    positions, channels = u.shape
    rows, rank = row_state.shape[0], weight.shape[1]
    with_output = y.shape[0] > 0
    k = 2 if reverse else 0
    at_once = max(1, min(rows, BLOCK // channels))
    delta = np.empty(at_once * channels, np.float32)
    scratch = np.empty(at_once * channels, np.float32)
    columns = positions // rows
    for i in range(columns):
        t = columns - 1 - i if reverse else i
        for j in range(0, rows, at_once):
            count = min(at_once, rows - j)
            low = rows - j - count if reverse else j  # lowest row of those at once
            base = t * rows + low
            if t < 0 or low < 0 or base < 0:
                return  # as above
            if with_output and not reverse and first_kind == 0:
                for f in range(base, base + count):
                    for c in range(channels):
                        y[f, c] = D[c] * u[f, c]
            for kind in range(first_kind, 2):
                start = (k + kind) * (rank + 2)
                a = A[k + kind]
                for f in range(count):
                    _steps_of_position(
                        delta, f * channels, p[base + f], start, weight[k + kind], bias[k + kind]
                    )
                softplus_in_place(delta, scratch, count * channels)
                for step in range(count):
                    f = count - 1 - step if reverse else step
                    if f < 0:
                        return
                    h = column_state if kind else row_state[low + f]
                    b, readout = p[base + f, start + rank], p[base + f, start + rank + 1]
                    if with_output:
                        _step(h, y[base + f], u[base + f], delta, f * channels, a, b, readout)
                    else:
                        passed = column_sum if kind else row_sum[low + f]
                        _step_silently(h, passed, u[base + f], delta, f * channels, a, b)


@kernel()
def rows_in_order(u, p, weight, bias, A, D, rows, y, reverse):  # type: ignore[no-untyped-def]
    """y = D u + direction 0 (or 2) of a whole map, row after row; u, y (L, C), D (C,)."""
    positions, channels = u.shape
    rank, k = weight.shape[1], 2 if reverse else 0
    start, columns = k * (rank + 2), positions // rows
    at_once = max(1, BLOCK // channels)
    delta = np.empty(at_once * channels, np.float32)
    scratch = np.empty(at_once * channels, np.float32)
    h = np.zeros(channels, np.float32)
    for i in range(rows):
        f = rows - 1 - i if reverse else i
        for j in range(0, columns, at_once):
            count = min(at_once, columns - j)
            for n in range(count):
                t = columns - 1 - j - n if reverse else j + n
                at = t * rows + f
                _steps_of_position(delta, n * channels, p[at], start, weight[k], bias[k])
            softplus_in_place(delta, scratch, count * channels)
            for n in range(count):
                t = columns - 1 - j - n if reverse else j + n
                at = t * rows + f
                x, out = u[at], y[at]
                for c in range(channels):
                    out[c] = D[c] * x[c]
                b, readout = p[at, start + rank], p[at, start + rank + 1]
                _step(h, out, x, delta, n * channels, A[k], b, readout)


@kernel()
def _enter(ends, sums, A, state):  # type: ignore[no-untyped-def]
    """The state past one chunk: what enters takes the place of E in `ends`, and `state` is what enters the next one."""
    for c in range(A.shape[0]):
        end = ends[c]
        ends[c] = state[c]
        state[c] = exp_of_non_positive(A[c] * sums[c]) * state[c] + end


@kernel()
def carry(row_ends, row_sums, column_ends, column_sums, A):  # type: ignore[no-untyped-def]
    """row_* (chunks, 2, F, C), column_* (chunks, 2, C), second axis forward and reverse; ends become entries."""
    chunks, _, rows, channels = row_ends.shape
    for way in range(2):
        state = np.zeros(channels, np.float32)
        for i in range(rows):
            f = rows - 1 - i if way else i
            for n in range(chunks):
                j = chunks - 1 - n if way else n
                _enter(row_ends[j, way, f], row_sums[j, way, f], A[2 * way], state)
        state[:] = 0
        for n in range(chunks):
            j = chunks - 1 - n if way else n
            _enter(column_ends[j, way], column_sums[j, way], A[2 * way + 1], state)
