"""What a forward pass costs against the length of its input: latency, real-time factor, peak memory, roofline.

Every point (a model at a length) is measured in a process of its own, so that its peak is its own and running out of
memory ends only that process: the row says `oom`, and longer inputs of that model are not tried. Rows are written as
they come; the same command again goes on after the last, and tries again what failed.

    latency_s    seconds of a forward pass a clip, host to scores: the median of the repeats after the warm-up
    rtf          seconds of audio a second of wall clock (higher is faster)
    peak_memory_bytes   of the CUDA allocator, else resident set of the process, weights and input included

`python -m niah.efficiency POINT.json ROW.json` measures one point; `niah bench` is the command.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from niah import atomic
from niah.errors import NiahError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "point", "model", "variant", "kernel", "length_s", "frames", "tokens", "batch_size", "window_s", "status",
    "latency_s", "latency_min_s", "rtf", "peak_memory_bytes", "loaded_memory_bytes", "matrix_gflop", "scan_gflop",
    "gbyte", "matrix_rate_gflops", "copy_rate_gbytes", "roofline_s", "roofline_share", "repeats", "warmup", "device",
    "dtype", "threads", "checkpoint_sha256", "niah_version", "error",
)  # fmt: skip
FAIR, PUBLISHED = "fair", "published"
RATES = "rates"


@dataclass(frozen=True)
class Point:
    """One measurement. `published` is as the seeds' scripts ran: full attention matrices, training mode."""

    model: str
    length_s: float  # 0: as long as `tokens` says
    tokens: int = 0
    variant: str = FAIR
    checkpoint: str = "random"
    batch_size: int = 1
    repeats: int = 5
    warmup: int = 1
    device: str = "auto"
    dtype: str = "float32"
    kernel: str = "auto"
    window_s: float | None = None
    training: bool = False  # as published: eval() was never called

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        size = f"{self.tokens} tokens" if self.tokens else f"{self.length_s:g} s"
        return f"{self.model} {size}" + (f" ({self.variant})" if self.variant != FAIR else "")

    @property
    def series(self) -> "Point":
        """The same at no length: what one curve is drawn of."""
        return Point(**{**asdict(self), "length_s": 0.0, "tokens": 0})


def bench(
    points: Sequence[Point],
    out: Path,
    tell: Callable[[str], None],
    measure: Callable[[Point], dict[str, Any]] | None = None,
) -> "pd.DataFrame":
    """Measure what `out`/bench.csv lacks, shortest first; writes it and machine.json. Returns the points' rows.

    `measure` is for tests; by default a process a point.
    """
    measure = measure or in_a_process
    with atomic.telling(out):
        out.mkdir(parents=True, exist_ok=True)
    rows = [row for row in read(out / "bench.csv") if row["status"] != "error"]
    found = {row["point"] for row in rows}
    rates: dict[str, Any] = {}
    for point in sorted(points, key=lambda p: (p.length_s, p.tokens)):
        if point.key in found:
            continue
        rate_key = f"{point.device} {point.dtype}"
        if rate_key not in rates:
            tell(f"measuring this machine's rates ({rate_key})")
            rates[rate_key] = measure(_rates_point(point))
            _write_machine(out / "machine.json", rate_key, rates[rate_key])
        tell(point.name)
        row = _too_long(point, points, rows) or measure(point)
        rows.append(_row(point, row, rates[rate_key].get("rates", {})))
        write(out / "bench.csv", rows)
    return frame(row for row in rows if row["point"] in {point.key for point in points})


def frame(rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    with atomic.writing(file) as stream:
        stream.write(frame(rows).to_csv(index=False).encode())


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a bench.csv; none where there is none. Raises NiahError for another version's."""
    if not file.exists():
        return []
    import pandas as pd

    try:
        table = pd.read_csv(file, dtype={"point": str})
    except (ValueError, OSError) as error:
        raise NiahError(
            f"{file} cannot be read: {error}; move it away, or give another --out"
        ) from error
    if tuple(table.columns) != COLUMNS:
        raise NiahError(f"{file} has other columns than this version's: give another --out")
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _row(point: Point, measured: dict[str, Any], rates: dict[str, float]) -> dict[str, Any]:
    from niah import __version__

    row = {**asdict(point), "point": point.key, "niah_version": __version__, **measured}
    if "matrix_gflop" in row and rates:
        row["matrix_rate_gflops"] = rates["matrix_flops"] / 1e9
        row["copy_rate_gbytes"] = rates["copy_bytes"] / 1e9
        row["roofline_s"] = max(
            row["matrix_gflop"] / row["matrix_rate_gflops"], row["gbyte"] / row["copy_rate_gbytes"]
        )
        if row.get("latency_s"):
            row["roofline_share"] = row["roofline_s"] / row["latency_s"]
    return {name: row.get(name) for name in COLUMNS}


def _too_long(
    point: Point, points: Sequence[Point], rows: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """A row for what is longer than what ran out of memory."""
    same = {p.key: p for p in points if p.series == point.series}
    for row in rows:
        if row["status"] == "oom" and row["point"] in same:
            shorter = same[row["point"]].name
            return {"status": "oom", "error": f"not tried: out of memory at {shorter}"}
    return None


def _rates_point(point: Point) -> Point:
    return Point(RATES, 0.0, device=point.device, dtype=point.dtype)


def _write_machine(file: Path, key: str, told: dict[str, Any]) -> None:
    known = atomic.read_json(file) if file.exists() else {}
    rates = {**known.get("rates", {}), key: told.get("rates")}
    atomic.write_json(file, {**told, "rates": rates})


# --- the process of one point


def in_a_process(point: Point) -> dict[str, Any]:
    """`measure_point` in a fresh interpreter; `status` tells how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "point.json", Path(folder) / "row.json"
        asked.write_text(json.dumps(asdict(point)))
        command = [sys.executable, "-m", "niah.efficiency", str(asked), str(answer)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.exists():
            row: dict[str, Any] = json.loads(answer.read_text())
            return row
    if ended.returncode == -9:  # Linux ends the process that asks for more than there is
        return {"status": "oom", "error": "killed: the machine is out of memory"}
    last = (ended.stderr.strip() or f"exit status {ended.returncode}").splitlines()[-1]
    return {"status": "error", "error": last}


def main(asked: str, answer: str) -> None:
    """Measure the point in a JSON file and write its row as JSON."""
    with suppress(OSError):  # if memory runs out, it is this process that must go
        Path("/proc/self/oom_score_adj").write_text("1000")
    point = Point(**json.loads(Path(asked).read_text()))
    row = measure_machine(point) if point.model == RATES else measure_point(point)
    Path(answer).write_text(json.dumps(row))


def measure_machine(point: Point) -> dict[str, Any]:
    import torch

    from niah import provenance
    from niah.adapters import choose_device
    from niah.roofline import measure_rates

    device = choose_device(point.device)
    rates = measure_rates(device, getattr(torch, point.dtype))
    told = {"hardware": provenance.hardware(device), "versions": provenance.versions()}
    busy = os.getloadavg()[0]
    return {**told, "git": provenance.git(), "load_average": busy, "rates": asdict(rates)}


def measure_point(point: Point) -> dict[str, Any]:
    """The row of a point, measured in this process; out of memory and refusals are rows too."""
    from niah.memory import is_out_of_memory

    try:
        return _measured(point)
    except NiahError as error:
        return {"status": "error", "error": str(error)}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {
            "status": "oom",
            "error": str(error).splitlines()[0] if str(error) else "MemoryError",
        }


def _measured(point: Point) -> dict[str, Any]:
    import torch

    from niah.adapters import choose_device, load_model
    from niah.adapters.window import SlidingWindow
    from niah.memory import PeakMemory, keep_freed_memory
    from niah.placement import FRAMES_PER_SECOND, total_frames
    from niah.scan.override import use_scan

    keep_freed_memory()
    device = choose_device(point.device)
    adapter: Any = load_model(
        point.model, point.checkpoint or None, device=str(device), dtype=point.dtype
    )
    use_scan(adapter, point.kernel)
    frontend = adapter.frontend
    if point.tokens:
        frames = _frames_of_tokens(adapter, point.tokens)
    else:
        frames = total_frames(point.length_s, frontend.needle_frames)
    length_s = point.length_s or frames / FRAMES_PER_SECOND
    if point.training:
        adapter.network.train()
    scorer = SlidingWindow(adapter, point.window_s) if point.window_s else adapter
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(point.batch_size, frames, frontend.mels, generator=generator)
    loaded = PeakMemory(device).bytes()
    memory = PeakMemory(device)
    seconds = []
    with _attention(point):
        for _ in range(point.warmup + point.repeats):
            begin = time.perf_counter()
            scores = scorer.logits(features).float().cpu()  # the copy waits for the device
            seconds.append(time.perf_counter() - begin)
    if not bool(torch.isfinite(scores).all()):
        raise NiahError(f"{point.name}: the scores are not finite")
    kept = [s / point.batch_size for s in seconds[point.warmup :]]
    return {
        "status": "ok",
        "kernel": _kernel(scorer.kernel, point),
        "length_s": length_s,
        "frames": frames,
        "tokens": _tokens(adapter, frames),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "latency_s": median(kept),
        "latency_min_s": min(kept),
        "rtf": length_s / median(kept),
        "peak_memory_bytes": memory.bytes(),
        "loaded_memory_bytes": loaded,
        "checkpoint_sha256": getattr(adapter, "weights_sha256", ""),
        **({} if point.window_s else _work(adapter, frames)),
    }


def _work(adapter: Any, frames: int) -> dict[str, float]:
    """Of one clip; nothing where a network cannot be counted."""
    from niah.roofline import work_of

    try:
        work = work_of(adapter.network, 1, frames, adapter.frontend.mels, adapter.dtype)
    except Exception:  # an operation without a rule for shapes: the roofline's columns stay empty
        return {}
    return {
        "matrix_gflop": work.matrix_flop / 1e9,
        "scan_gflop": work.scan_flop / 1e9,
        "gbyte": work.bytes / 1e9,
    }


def _kernel(kernel: str, point: Point) -> str:
    return kernel.replace("sdpa", "matrix") if point.variant == PUBLISHED else kernel


def _attention(point: Point) -> Any:
    """Full attention matrices for what was published, else whatever fused kernel torch takes."""
    if point.variant != PUBLISHED:
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH)


def _tokens(adapter: Any, frames: int) -> int | None:
    """Patches, and class tokens where the network counts them; None for a network without patches."""
    config: Any = getattr(getattr(adapter, "network", None), "config", None)
    if hasattr(config, "tokens"):
        return int(config.tokens(frames))
    return prod(config.grid(frames)) if hasattr(config, "grid") else None


def _frames_of_tokens(adapter: Any, tokens: int) -> int:
    from niah.adapters import largest

    if _tokens(adapter, 10_000) is None:
        raise NiahError(f"model '{adapter.name}' has no tokens: give a length in seconds")
    shortest: int = adapter.frontend.needle_frames
    more: int = largest(lambda more: (_tokens(adapter, shortest + more) or 0) <= tokens)
    return shortest + more


if __name__ == "__main__":
    main(*sys.argv[1:])
