"""Measure DASS over hours in one pass on a CPU: results/benchmarks/one_pass.csv.

    python scripts/one_pass.py [MODEL:SECONDS ..]
    python scripts/one_pass.py --measure dass-small:86400     one row more: a day, half an hour of two cores

Each row is a process of its own with random weights and features: peak memory of the process (the features' included),
processor seconds of the pass, which the rest of the machine's work changes little, and wall time.
"""

import csv
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "benchmarks" / "one_pass.csv"
POINTS = [f"{model}:{length}" for length in (300, 9000) for model in ("dass-small", "dass-medium")]
HEADER = ("model", "length_s", "cpu_s", "wall_s", "peak_gib", "machine", "load_average")


def measure(model: str, length_s: float) -> list[str]:
    """Return the row of one point, measured in this process."""
    import torch

    from niah.adapters.loading import load_model
    from niah.system.memory import PeakMemory, keep_freed_memory

    keep_freed_memory()
    adapter = load_model(model, "random")
    adapter.logits(torch.zeros(1, 1024, 128))  # kernels are loaded
    features = torch.randn(
        1, round(100 * length_s), 128, generator=torch.Generator().manual_seed(0)
    )
    memory, wall, begin = PeakMemory(torch.device("cpu")), time.perf_counter(), time.process_time()
    adapter.logits(features)
    seconds = time.process_time() - begin, time.perf_counter() - wall
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    numbers = [f"{x:.1f}" for x in seconds], f"{memory.bytes() / 2**30:.2f}"
    return [model, f"{length_s:g}", *numbers[0], numbers[1], machine, f"{os.getloadavg()[0]:.1f}"]


def main(points: list[str]) -> None:
    """Measure each point in a fresh process and write the CSV, a row at a time."""
    with CSV.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(HEADER)
    for point in points:
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", point]
        subprocess.run(command, check=True, cwd=ROOT)
    sys.stdout.write(CSV.read_text())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        name, length = sys.argv[2].split(":")
        row = measure(name, float(length))
        with CSV.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
    else:
        main(sys.argv[1:] or POINTS)
