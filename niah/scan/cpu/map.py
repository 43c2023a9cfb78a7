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

The compiled passes are in `niah.scan.cpu.map_kernels`.

Glossary: L positions of a chunk (t F + f), F mel rows, C channels, R rank, K = 4 (R + 2) coordinates a position.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.scan import output_dtype
from niah.scan.cpu.map_kernels import carry, rows_in_order, sweep
from niah.scan.cpu.math import as_float32
from niah.system.threads import run_jobs

CHUNK_POSITIONS = (
    2048  # of a chunk of `cross_scan`: its output is still in a cache when the way back adds to it
)

Floats = NDArray[np.float32]


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
        carry(
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
        sweep(
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
    rows_in_order(
        flat_u, flat_p, weight, bias, A, np.zeros_like(D) if reverse else D, rows, flat_y, reverse
    )
    row_state, column_state = (np.zeros((n, channels), np.float32) for n in (rows, 1))
    sweep(
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
