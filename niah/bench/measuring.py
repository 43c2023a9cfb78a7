"""One point, on a CPU in a separate process: its peak memory is its own, and running out of it ends only that process.

`python -m niah.bench.measuring POINT.json ROW.json` measures one point.
"""

import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from niah.bench.point import PUBLISHED, RATES, BenchPoint
from niah.errors import NiahError
from niah.system.python_command import python_command

_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b")


def measure(point: BenchPoint) -> dict[str, Any]:
    """Measure a point: on a CUDA device in this process, whose allocator knows its own peak, else in a fresh one."""
    from niah.adapters.loading import choose_device

    if choose_device(point.device).type != "cuda":
        return measure_in_process(point)
    row = measure_machine(point) if point.model == RATES else measure_point(point)
    gc.collect()
    import torch

    torch.cuda.empty_cache()
    return row


def measure_in_process(point: BenchPoint) -> dict[str, Any]:
    """Run `measure_point` in a fresh interpreter; return its row, with a `status` also where it crashed."""
    with tempfile.TemporaryDirectory() as folder:
        point_file, row_file = Path(folder) / "point.json", Path(folder) / "row.json"
        point_file.write_text(json.dumps(asdict(point)))
        command = python_command("niah.bench.measuring", str(point_file), str(row_file))
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if row_file.exists():
            row: dict[str, Any] = json.loads(row_file.read_text())
            return row
    if process.returncode == -9:  # Linux's out-of-memory killer
        return {"status": "oom", "error": "killed: the machine is out of memory"}
    return {"status": "error", "error": _error_of(process.stderr, process.returncode)}


def _error_of(printed: str, status: int) -> str:
    """Return the exception at the end of what a process printed, in one line; else its last line, or its status."""
    lines = printed.strip().splitlines() or [f"exit status {status}"]
    begins = [n for n, line in enumerate(lines) if _EXCEPTION.match(line)]
    return " ".join(lines[begins[-1] :]) if begins else lines[-1]


def main(point_file: str, row_file: str) -> None:
    """Read a point from a JSON file, measure it, and write its row to another."""
    with suppress(OSError):  # if memory runs out, Linux kills this process first
        Path("/proc/self/oom_score_adj").write_text("1000")
    point = BenchPoint(**json.loads(Path(point_file).read_text()))
    row = measure_machine(point) if point.model == RATES else measure_point(point)
    Path(row_file).write_text(json.dumps(row))


def measure_machine(point: BenchPoint) -> dict[str, Any]:
    """Measure this machine's rates for the point's device and dtype, and describe it."""
    import torch

    from niah.adapters.loading import choose_device
    from niah.bench.roofline import measure_rates
    from niah.sweep import provenance

    device = choose_device(point.device)
    rates = measure_rates(device, getattr(torch, point.dtype))
    machine = {"hardware": provenance.hardware(device), "versions": provenance.versions()}
    busy = os.getloadavg()[0]
    return {**machine, "git": provenance.git(), "load_average": busy, "rates": asdict(rates)}


def measure_point(point: BenchPoint) -> dict[str, Any]:
    """Measure a point in this process and return its row; out of memory and refusals are rows too."""
    from niah.system.memory import is_out_of_memory

    try:
        return _measure(point)
    except NiahError as error:
        return {"status": "error", "error": str(error)}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {
            "status": "oom",
            "error": str(error).splitlines()[0] if str(error) else "MemoryError",
        }


def _measure(point: BenchPoint) -> dict[str, Any]:
    import torch

    from niah.adapters.loading import adapter_info, choose_device, load_source
    from niah.adapters.network_adapter import NetworkAdapter
    from niah.adapters.scan_choice import use_scan
    from niah.adapters.scoring import scored
    from niah.adapters.sources import find_source
    from niah.adapters.wrappers.sliding_window import SlidingWindow, over_windows
    from niah.placement import FRAMES_PER_SECOND, scene_frames
    from niah.system.memory import PeakMemory, keep_freed_memory

    keep_freed_memory()
    device = choose_device(point.device)
    source = find_source(point.model, point.request)
    adapter: Any = load_source(
        source, point.checkpoint or None, device=str(device), dtype=point.dtype
    )
    use_scan(adapter, point.kernel)
    frontend = adapter.frontend
    if point.tokens:
        frames = _frames_of_tokens(adapter, point.tokens)
    else:
        frames = scene_frames(point.length_s, frontend.needle_frames)
    length_s = point.length_s or frames / FRAMES_PER_SECOND
    if point.training:
        adapter.network.train()
    window_s = point.window_s
    scorer = SlidingWindow(adapter, window_s) if window_s else over_windows(adapter)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(point.batch_size, frames, frontend.mels, generator=generator)
    if not isinstance(scorer, SlidingWindow):  # which moves a window at a time, as in a sweep
        features = features.to(device)
    loaded = PeakMemory(device).bytes()
    memory = PeakMemory(device)
    seconds = []
    with _attention(point):
        for _ in range(point.warmup + point.repeats):
            if not isinstance(adapter, NetworkAdapter):
                features.normal_(generator=generator)  # it may know an input that it had before
            begin = time.perf_counter()
            scores = scored(scorer, features)
            seconds.append(time.perf_counter() - begin)
    if not bool(torch.isfinite(scores).all()):
        raise NiahError(f"{point.name}: the scores are not finite")
    seconds_a_clip = [s / point.batch_size for s in seconds[point.warmup :]]
    return {
        "status": "ok",
        "kernel": _kernel(scorer.kernel, point),
        "length_s": length_s,
        "frames": frames,
        "tokens": _tokens(adapter, frames),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "latency_s": median(seconds_a_clip),
        "latency_min_s": min(seconds_a_clip),
        "rtf": length_s / median(seconds_a_clip),
        "peak_memory_bytes": memory.bytes(),
        "loaded_memory_bytes": loaded,
        "checkpoint_sha256": adapter_info(adapter).weights_sha256,
        **(_work(adapter, frames) if scorer is adapter else {}),
    }


def _work(adapter: Any, frames: int) -> dict[str, float]:
    """Count the work of one clip; empty where a network cannot be counted."""
    from niah.bench.roofline import work_of

    try:
        work = work_of(adapter.network, 1, frames, adapter.frontend.mels, adapter.dtype)
    except Exception:  # an operation without a rule for shapes: the roofline's columns stay empty
        return {}
    return {
        "matrix_gflop": work.matrix_flop / 1e9,
        "scan_gflop": work.scan_flop / 1e9,
        "gbyte": work.bytes / 1e9,
    }


def _kernel(kernel: str, point: BenchPoint) -> str:
    return kernel.replace("sdpa", "matrix") if point.variant == PUBLISHED else kernel


def _attention(point: BenchPoint) -> Any:
    """Use full attention matrices for published settings, else the fused kernel that torch chooses."""
    if point.variant != PUBLISHED:
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH)


def _tokens(adapter: Any, frames: int) -> int | None:
    """Return the tokens of an input; None for a network without patches, or a user's own."""
    from niah.adapters.network_adapter import NetworkAdapter

    return adapter.tokens(frames) if isinstance(adapter, NetworkAdapter) else None


def _frames_of_tokens(adapter: Any, tokens: int) -> int:
    from niah.adapters.protocol import largest

    if _tokens(adapter, 10_000) is None:
        raise NiahError(f"model '{adapter.name}' has no tokens: give a length in seconds")
    shortest: int = adapter.frontend.needle_frames
    more: int = largest(lambda more: (_tokens(adapter, shortest + more) or 0) <= tokens)
    return shortest + more


if __name__ == "__main__":
    main(*sys.argv[1:])
