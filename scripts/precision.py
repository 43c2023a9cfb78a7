"""Measure every scan backend against float64, and write docs/precision.md's tables.

    python scripts/precision.py            measure what runs here into results/benchmarks/precision.csv, write the page
    TRITON_INTERPRET=1 python scripts/precision.py --triton     only Triton's rows: here short ones, in its interpreter
    python scripts/precision.py --memory undamped               only one memory's rows (short, long, undamped)
    python scripts/precision.py --table    write the page from the CSV, without measuring
    python scripts/precision.py --check    exit 1 if the page is stale

Rows of backends that were not measured (Triton's without a CUDA device) stay as they are. Errors are largest error
over largest value of y. The truth is the recurrence in float64 by plain numba loops, written here and nowhere else, on
the same rounded inputs, so the rounding of inputs does not count as an error of the backend.
"""

import csv
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE, CSV = ROOT / "docs" / "precision.md", ROOT / "results" / "benchmarks" / "precision.csv"
LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
DTYPES = ("float32", "bfloat16", "float16")
BACKENDS = ("chunked", "cpu", "triton")
INTERPRETED, INTERPRETER = os.environ.get("TRITON_INTERPRET") == "1", "Triton's interpreter"
INTERPRETED_LENGTHS = LENGTHS[:1]
MAP_ROWS, MAP_CHANNELS, RANK = 8, 32, 2
CHANNELS, STATES = 16, 16
# A: a memory of a few steps, of all of a sequence, and one that forgets next to nothing
MEMORIES = {"short": -2.0, "long": -1e-4, "undamped": -1e-6}


@dataclass(frozen=True)
class Row:
    """One line of precision.csv: the largest error of a backend over the largest value."""

    scan: str  # map (four directions, one state) or sequence (sixteen states)
    backend: str
    dtype: str  # of the inputs
    memory: str
    steps: int
    error: float
    machine: str


def measured(
    backends: tuple[str, ...], lengths: tuple[int, ...], memories: tuple[str, ...]
) -> Iterator[Row]:
    """Measure each backend on each memory, length and input type."""
    import torch

    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    machine = INTERPRETER if INTERPRETED else machine
    for scan, inputs, truth in (
        ("map", map_inputs, map_truth),
        ("sequence", sequence_inputs, sequence_truth),
    ):
        for memory in memories:
            decay = MEMORIES[memory]
            for steps in lengths:
                for dtype in DTYPES:
                    args = [x.to(getattr(torch, dtype)) for x in inputs(steps, decay)]
                    expected = truth(*(x.double().numpy() for x in args))
                    for backend in backends:
                        begin = time.perf_counter()
                        error = error_of(scan, backend, args, expected)
                        row = Row(scan, backend, dtype, memory, steps, error, machine)
                        print(row, f"{time.perf_counter() - begin:.1f} s", file=sys.stderr)
                        yield row


def error_of(scan: str, backend: str, args: list[Any], expected: Any) -> float:
    """Return the relative error of a backend; all but Triton get float32 inputs, as from the networks."""
    import torch

    from niah.scan import cross_scan, selective_scan

    inputs = args if backend == "triton" else [x.float() for x in args]
    if backend == "triton" and not INTERPRETED:
        inputs = [x.cuda() for x in args]
    call: Any = cross_scan if scan == "map" else selective_scan
    with torch.no_grad():
        y = call(*inputs, backend=backend)
    if args[0].dtype == torch.bfloat16:
        y = y.bfloat16()
    outputs = y.double().cpu().numpy()
    return float(abs(outputs - expected).max() / abs(expected).max())


def map_inputs(steps: int, decay: float) -> list[Any]:
    """Random inputs (u, p, weight, bias, A, D) of `niah.scan.cross_scan`; every entry of A is `decay`."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Any:
        return torch.randn(*size, generator=generator)

    columns = steps // MAP_ROWS
    shape = (1, columns, MAP_ROWS)
    A = torch.full((4, MAP_CHANNELS), decay)
    return [
        normal(*shape, MAP_CHANNELS), normal(*shape, 4, RANK + 2), normal(4, MAP_CHANNELS, RANK) / 2,
        normal(4, MAP_CHANNELS) - 3, A, torch.ones(4, MAP_CHANNELS),
    ]  # fmt: skip


def sequence_inputs(steps: int, decay: float) -> list[Any]:
    """Random inputs (u, z, B, C, A, D) of `niah.scan.selective_scan`; A is `decay` times 1 to STATES."""
    import torch

    generator = torch.Generator().manual_seed(1)

    def normal(*size: int) -> Any:
        return torch.randn(*size, generator=generator)

    A = decay * torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1)
    u, z = normal(1, steps, CHANNELS), normal(1, steps, CHANNELS) - 3
    return [u, z, normal(1, steps, STATES), normal(1, steps, STATES), A, torch.ones(CHANNELS)]


def map_truth(u: Any, p: Any, weight: Any, bias: Any, A: Any, D: Any) -> Any:
    """The scan of a map in four directions, in float64."""
    y = u * D.sum(0)
    for k in range(4):
        delta = np.logaddexp(0, p[..., k, :RANK] @ weight[k].T + bias[k])
        axes = (1, 0) if k % 2 == 0 else (0, 1)
        order = np.arange(u.shape[1] * u.shape[2]).reshape(u.shape[1:3]).transpose(axes).ravel()
        order = order[::-1] if k >= 2 else order
        flat = [x[0].reshape(-1, x.shape[-1]) for x in (u, delta, y)]
        B, C = (
            np.ascontiguousarray(p[0, ..., k, column].ravel()[:, None])
            for column in (RANK, RANK + 1)
        )
        _loop(flat[0], flat[1], B, C, A[k][:, None], flat[2], order)
    return y


def sequence_truth(u: Any, z: Any, B: Any, C: Any, A: Any, D: Any) -> Any:
    """The scan of a sequence, in float64."""
    y = u * D
    _loop(u[0], np.logaddexp(0, z)[0], B[0], C[0], A, y[0], np.arange(u.shape[1]))
    return y


def _loop(u: Any, delta: Any, B: Any, C: Any, A: Any, y: Any, order: Any) -> None:
    """h = exp(delta A) h + delta B u;  y += C h, step by step in float64."""
    from numba import njit

    njit(_steps)(u, delta, B, C, A, y, order)


def _steps(u, delta, B, C, A, y, order):  # type: ignore[no-untyped-def]
    h = np.zeros(A.shape)
    for i in range(order.shape[0]):
        t = order[i]
        for e in range(A.shape[0]):
            for n in range(A.shape[1]):
                h[e, n] = np.exp(delta[t, e] * A[e, n]) * h[e, n] + delta[t, e] * B[t, n] * u[t, e]
                y[t, e] += C[t, n] * h[e, n]


def read() -> list[Row]:
    """Read precision.csv."""
    with CSV.open(newline="") as file:
        return [
            Row(
                row["scan"],
                row["backend"],
                row["dtype"],
                row["memory"],
                int(row["steps"]),
                float(row["error"]),
                row["machine"],
            )
            for row in csv.DictReader(file)
        ]


def write(rows: list[Row]) -> None:
    """Write precision.csv."""
    CSV.parent.mkdir(parents=True, exist_ok=True)
    with CSV.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows((*astuple(row)[:5], f"{row.error:.3g}", row.machine) for row in rows)


def tables(rows: list[Row]) -> str:
    """Render a Markdown table for each kind of scan and memory: backends and input types down, lengths across."""
    parts = []
    for scan, memory in sorted({(row.scan, row.memory) for row in rows}):
        own = [row for row in rows if (row.scan, row.memory) == (scan, memory)]
        lengths = sorted({row.steps for row in own})
        parts.append(f"{scan.capitalize()}, {memory} memory (A = {MEMORIES[memory]:g}):\n")
        parts.append("| backend | inputs | " + " | ".join(f"{n:,} steps" for n in lengths) + " |")
        parts.append("| --- | --- |" + " --- |" * len(lengths))
        for backend, dtype in dict.fromkeys((row.backend, row.dtype) for row in own):
            cells = {row.steps: row for row in own if (row.backend, row.dtype) == (backend, dtype)}
            errors = (f"{cells[n].error:.1e}" if n in cells else "" for n in lengths)
            parts.append(f"| {backend} | {dtype} | " + " | ".join(errors) + " |")
        parts.append("")
    machines = ", ".join(sorted({f"{row.backend} on {row.machine}" for row in rows}))
    return "\n".join([*parts, f"Measured: {machines}."])


def rendered(text: str) -> str:
    """Return the page with its tables made again."""
    begin, end = "<!-- tables: scripts/precision.py -->", "<!-- end of tables -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise SystemExit(f"{PAGE.name} has no part between '{begin}' and '{end}'")
    return f"{before}{begin}\n\n{tables(read())}\n\n{end}{after}"


def main(arguments: list[str]) -> int:
    if "--check" not in arguments and "--table" not in arguments:
        import torch

        backends: tuple[str, ...] = BACKENDS if torch.cuda.is_available() else BACKENDS[:-1]
        backends = ("triton",) if "--triton" in arguments else backends
        lengths = INTERPRETED_LENGTHS if INTERPRETED else LENGTHS
        memories: tuple[str, ...] = tuple(MEMORIES)
        if "--memory" in arguments:
            memories = (arguments[arguments.index("--memory") + 1],)
        before = read() if CSV.exists() else []
        others = [r for r in before if r.backend not in backends or r.memory not in memories]
        rows: list[Row] = []
        for row in measured(backends, lengths, memories):
            rows.append(row)
            write([*others, *rows])  # what is measured stays, if time is over
    text = PAGE.read_text()
    fresh = rendered(text)
    if "--check" in arguments:
        if fresh != text:
            print(
                "docs/precision.md is stale: python scripts/precision.py --table", file=sys.stderr
            )
        return int(fresh != text)
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
