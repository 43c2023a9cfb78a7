"""Where the time of a pass goes: milliseconds, peak memory, and the kernels that take most of it.

    python scripts/gpu/where.py OUT.json [--models dass-medium] [--lengths 10,300,9000] [--dtype bfloat16]
        [--kernels 20] [--repeats 5] [--training-clips 12]

A length in seconds is 100 frames a second. With `--training-clips N` it is a training step's time (forward, backward,
AdamW; autocast, CUDA graphs) of N clips instead of a forward pass's. Times are medians between CUDA events, after
three passes; a kernel's share is from torch's profiler in a pass of its own. Of the device itself: bytes a second of a
large copy, operations a second of a large bfloat16 product, and a second's multiply-adds and powers of 2 of all its
threads, which scans are made of.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import triton
import triton.language as tl
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from niah.adapters.loading import load_model
from niah.errors import one_line
from niah.scan.triton.steps import power_of_2
from niah.system.memory import is_out_of_memory
from niah.training.graphs import ReplayedNetwork

FRAMES_PER_S = 100
LONGEST_PROFILED_S = 10_000


def milliseconds(function: Any, repeats: int) -> float:
    """Return the median time of a call on the device."""
    times: list[float] = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return median(times)


def ceilings() -> dict[str, float]:
    """Return the device's bytes a second (read and written) and bfloat16 operations a second."""
    source, target = (torch.randn(2**29, device="cuda") for _ in range(2))
    copy = milliseconds(partial(target.copy_, source), 10)
    size = 8192
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = milliseconds(partial(torch.mm, a, b), 10)
    return {
        "bytes_per_s": 2 * 4 * 2**29 / copy * 1e3,
        "flops_per_s": 2 * size**3 / product * 1e3,
        "multiply_adds_per_s": _operations_per_s(special=False),
        "powers_of_2_per_s": _operations_per_s(special=True),
    }


def _operations_per_s(*, special: bool) -> float:
    """Return a second's multiply-adds, or powers of 2, of the device's threads: eight independent chains in each."""
    programs, tile, turns = 4096, 1024, 4096
    out = torch.empty(programs * tile, device="cuda")
    run = partial(_chain[(programs,)], out, turns, TILE=tile, SPECIAL=special, num_warps=4)
    run()
    return programs * tile * turns / milliseconds(run, 5) * 1e3


@triton.jit  # type: ignore[untyped-decorator]
def _chain(out, turns, TILE: tl.constexpr, SPECIAL: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * TILE + tl.arange(0, TILE)
    x = at.to(tl.float32) * 1e-9
    for _ in tl.range(0, turns, loop_unroll_factor=8):
        x = power_of_2(-x, True) if SPECIAL else x * 0.999 + 1e-3
    tl.store(out + at, x)


def kernels(function: Any, most: int) -> list[dict[str, Any]]:
    """Return name, calls and milliseconds of the kernels that take most time."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        function()
        torch.cuda.synchronize()
    rows = [
        {"name": row.key[:120], "calls": row.count, "ms": row.self_device_time_total / 1e3}
        for row in record.key_averages()
        if row.self_device_time_total > 0
        and not row.key.startswith(("aten::", "cuda"))
        and not getattr(row, "is_user_annotation", False)  # spans of kernels, as the optimiser's
    ]
    rows.sort(key=lambda row: -row["ms"])
    total = {
        "name": "all",
        "calls": sum(r["calls"] for r in rows),
        "ms": sum(r["ms"] for r in rows),
    }
    return [total, *rows[: most - 1]]


def forward_pass(
    model: str, frames: int, options: argparse.Namespace
) -> Callable[[], torch.Tensor]:
    """Return the pass of one recording, which returns its logits."""
    adapter: Any = load_model(model, "random", device="cuda", dtype=options.dtype)
    features = torch.randn(1, frames, adapter.frontend.mels, device="cuda").to(adapter.dtype)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = adapter.logits(features)
        return logits

    return forward


def training_step(
    model: str, frames: int, options: argparse.Namespace
) -> Callable[[], torch.Tensor]:
    """Return a step of `options.training_clips` clips, which returns their loss."""
    adapter: Any = load_model(model, "random", device="cuda")
    network = adapter.network.train().requires_grad_(True)
    dtype = getattr(torch, options.dtype)
    autocast = partial(torch.autocast, "cuda", dtype, enabled=dtype != torch.float32)
    replayed = ReplayedNetwork(network, autocast)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    clips = options.training_clips
    features = torch.randn(clips, frames, adapter.frontend.mels, device="cuda")
    targets = torch.zeros(clips, len(adapter.labels), device="cuda")

    def step() -> torch.Tensor:
        loss = binary_cross_entropy_with_logits(replayed(features).float(), targets)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        return loss.detach()

    return step


def measured(model: str, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one model at one length."""
    row: dict[str, Any] = {"model": model, "seconds": seconds, "dtype": options.dtype}
    row["training_clips"] = options.training_clips
    build = training_step if options.training_clips else forward_pass
    try:
        work = build(model, round(seconds * FRAMES_PER_S), options)
        torch.cuda.reset_peak_memory_stats()
        first = work()
        torch.cuda.synchronize()
        row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        again = [work() for _ in range(2)]
        if not options.training_clips:
            row["equal_bits"] = all(torch.equal(first, x) for x in again)
        if seconds <= LONGEST_PROFILED_S and options.kernels:
            row["kernels"] = kernels(work, options.kernels)
        row["ms"] = milliseconds(work, options.repeats)
    except Exception as error:  # Triton's are no RuntimeError
        row["error"] = "out of memory" if is_out_of_memory(error) else one_line(error)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", default="dass-medium")
    parser.add_argument("--lengths", default="10,300,9000")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--kernels", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--training-clips", type=int, default=0, metavar="N")
    options = parser.parse_args()
    rows = []
    device = {"device": torch.cuda.get_device_name(), **ceilings()}
    print(json.dumps(device), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for model in options.models.split(","):
        for seconds in options.lengths.split(","):
            rows.append(measured(model, float(seconds), options))
            torch.cuda.empty_cache()
            row = rows[-1]
            print(model, seconds, *(row.get(k) for k in ("ms", "peak_gib", "equal_bits", "error")))
            for kernel in row.get("kernels", []):
                line = f"   {kernel['ms']:9.3f} ms {kernel['calls']:6d}  {kernel['name'][:90]}"
                print(line, flush=True)
            text = json.dumps({"machine": device, "rows": rows}, indent=1)
            options.out.write_text(
                text, encoding="utf-8"
            )  # what is measured stays, if time is over


if __name__ == "__main__":
    main()
