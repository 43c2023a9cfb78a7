"""The four scans of a map in chunks of time, for inference on a CPU: summarise, carry, rerun.

A chunk is a range of columns of one map. Scanned from zero, direction k ends it with the state E and G = sum of delta;
entered with the state h it would end with

    exp(A G) h + E

so the summaries (E, G) of all chunks give the states that enter them, and a second scan of each chunk, independent of
all others, gives the exact output:

    summarise(chunk)  (E, G) of each of its mel rows for k = 0 and 2, and of the chunk for k = 1 and 3
    carry()           entering states: along the chunks of a row and on to the next row for k = 0 and 2 (2 from the far
                      end), along the chunks for k = 1 and 3
    run(chunk)        y, all four directions added up

A scan of any length needs memory for one chunk, and 16 F C bytes of summaries a chunk. The pair (decay, value) only
underflows, and the decay of any range of steps is one exponential, exp(A sum delta).

A step z = W p + bias is computed from its few coordinates inside the kernel, one column of the map at a time, and is
never stored. Nothing is copied or transposed for a direction: each is an order of indices.

Glossary: L positions of a chunk (t F + f), F mel rows, C channels, R rank, K = 4 (R + 2) coordinates a position.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.scan import output_dtype
from niah.scan.cpu.compile import kernel
from niah.scan.cpu.math import as_float32, exp_of_non_positive, softplus_in_place
from niah.system.threads import run_jobs

CHUNK_POSITIONS = (
    2048  # of a chunk of `cross_scan`: its output is still in a cache when the way back adds to it
)
BLOCK = 1024  # elements (rows x channels) whose steps are in scratch at a time: three such fit the first-level cache

Floats = NDArray[np.float32]


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
def _sweep(  # type: ignore[no-untyped-def]
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
def _rows_in_order(u, p, weight, bias, A, D, rows, y, reverse):  # type: ignore[no-untyped-def]
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
def _carry(row_ends, row_sums, column_ends, column_sums, A):  # type: ignore[no-untyped-def]
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


@dataclass(frozen=True)
class Parameters:
    """The parameters of a map's scan in the layout of the kernels."""

    weight: Floats  # (4, R, C)
    bias: Floats  # (4, C)
    A: Floats  # (4, C)
    D: Floats  # (C,): the four add up

    @classmethod
    def of(cls, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor) -> "Parameters":
        """Convert the parameters of `niah.scan.cross_scan`.

        Args:
            dt_weight: (4, C, R).
            dt_bias: (4, C).
            A: (4, C).
            D: (4, C).
        """
        return cls(_array(dt_weight.mT), _array(dt_bias), _array(A), _array(D.sum(0)))


class ChunkedMapScan:
    """The scan of one map of F rows in chunks (module docstring).

    Args:
        parameters: of the scan.
        rows: F.
        chunks: number of chunks; each is named by its index, and may have any number of columns.
    """

    def __init__(self, parameters: Parameters, rows: int, chunks: int) -> None:
        self._parameters = parameters
        channels = len(parameters.D)
        self._row_ends = np.zeros((chunks, 2, rows, channels), np.float32)
        self._row_sums = np.zeros_like(self._row_ends)
        self._column_ends = np.zeros((chunks, 2, channels), np.float32)
        self._column_sums = np.zeros_like(self._column_ends)

    def summarise(self, chunk: int, u: Tensor, p: Tensor) -> None:
        """Run the first pass over a chunk; chunks may come in any order, from any thread.

        Args:
            chunk: its index.
            u: (L, C), contiguous.
            p: (L, K), contiguous.
        """
        for reverse in (False, True):
            self._sweep(chunk, u, p, np.empty((0, u.shape[1]), np.float32), reverse)

    def carry(self) -> None:
        """Compute the states that enter the chunks: after the last `summarise`, before the first `run`."""
        _carry(
            self._row_ends, self._row_sums, self._column_ends, self._column_sums, self._parameters.A
        )
        self._row_sums = self._row_ends  # `run` makes no sums, and they are half of the memory

    def run(self, chunk: int, u: Tensor, p: Tensor, y: Tensor) -> None:
        """Run the second pass over a chunk; chunks may come in any order, from any thread, any number of times.

        Args:
            chunk: its index.
            u: (L, C), contiguous.
            p: (L, K), contiguous.
            y: (L, C), contiguous; is overwritten.
        """
        for reverse in (False, True):
            self._sweep(chunk, u, p, y.numpy(), reverse)

    def _sweep(self, chunk: int, u: Tensor, p: Tensor, y: Floats, reverse: bool) -> None:
        rows, columns = (ends[chunk, int(reverse)] for ends in (self._row_ends, self._column_ends))
        if y.shape[
            0
        ]:  # states enter the kernel and leave it in one place: another run finds them as they were
            rows, columns = rows.copy(), columns.copy()
        _sweep(
            u.numpy(),
            p.numpy(),
            *_fields(self._parameters),
            rows,
            columns,
            self._row_sums[chunk, int(reverse)],
            self._column_sums[chunk, int(reverse)],
            y,
            reverse,
            0,
        )


def scan_way(parameters: Parameters, u: Tensor, p: Tensor, y: Tensor, reverse: bool) -> None:
    """Run two directions of a whole map in one pass each: half the work of the chunked scan, but at most two jobs.

    Rows are read across the map, which is slower per element from some thousands of columns on.

    Args:
        parameters: of the scan.
        u: (T, F, C), contiguous.
        p: (T, F, K), contiguous.
        y: (T, F, C), contiguous; is set to D u + directions 0 and 1, or to directions 2 and 3.
        reverse: directions 2 and 3.
    """
    _, rows, channels = u.shape
    flat_u, flat_p, flat_y = (x.flatten(0, 1).numpy() for x in (u, p, y))
    weight, bias, A, D = _fields(parameters)
    _rows_in_order(
        flat_u, flat_p, weight, bias, A, np.zeros_like(D) if reverse else D, rows, flat_y, reverse
    )
    row_state, column_state = (np.zeros((n, channels), np.float32) for n in (rows, 1))
    _sweep(
        flat_u,
        flat_p,
        weight,
        bias,
        A,
        D,
        row_state,
        column_state[0],
        row_state,
        column_state[0],
        flat_y,
        reverse,
        1,
    )


def _fields(parameters: Parameters) -> tuple[Floats, Floats, Floats, Floats]:
    return parameters.weight, parameters.bias, parameters.A, parameters.D


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()


def cross_scan(
    u: Tensor, p: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> Tensor:
    """Compute `niah.scan.cross_scan` on the CPU in float32, without gradients; same arguments."""
    dtype = output_dtype(u.dtype)
    u, p, dt_weight, dt_bias, A, D = as_float32(u, p, dt_weight, dt_bias, A, D)
    batch, columns, rows = u.shape[:3]
    if columns == 0 or rows == 0:
        return torch.zeros_like(u, dtype=dtype)
    size = max(1, CHUNK_POSITIONS // rows)
    chunks = [(a, min(a + size, columns)) for a in range(0, columns, size)]
    parameters = Parameters.of(dt_weight, dt_bias, A, D)
    scans = [ChunkedMapScan(parameters, rows, len(chunks)) for _ in range(batch)]
    u, p = u.contiguous(), p.contiguous().flatten(3)
    y = torch.empty_like(u)

    def part(x: Tensor, item: int, chunk: int) -> Tensor:
        first, last = chunks[chunk]
        return x[item, first:last].flatten(0, 1)

    def summarise(item: int, chunk: int) -> None:
        scans[item].summarise(chunk, part(u, item, chunk), part(p, item, chunk))

    def run(item: int, chunk: int) -> None:
        scans[item].run(chunk, *(part(x, item, chunk) for x in (u, p, y)))

    jobs = [(item, chunk) for item in range(batch) for chunk in range(len(chunks))]
    run_jobs(summarise, jobs)
    run_jobs(ChunkedMapScan.carry, [(scan,) for scan in scans])
    run_jobs(run, jobs)
    return y.to(dtype)
