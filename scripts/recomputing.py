"""Measure a training step with and without gradient checkpointing: results/benchmarks/recomputing.csv.

    python scripts/recomputing.py

One step is a forward and a backward pass of clips of 10 s on the CPU, in processor seconds (the least of three, in
turns), which the rest of the machine's work changes little; memory is the growth of the process at its peak.
"""

import csv
import os
import platform
import sys
import time
from pathlib import Path

import torch
from torch import nn

from niah.adapters.dass import Dass
from niah.cards import find_model
from niah.system.memory import PeakMemory, free_cached
from niah.training.recomputing import recompute_blocks

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "benchmarks" / "recomputing.csv"
CPU = torch.device("cpu")
BATCHES = {"dass-nano": 8, "dass-small": 2}
TURNS = 3


def step(network: nn.Module, batch: int) -> tuple[float, int]:
    """Return processor seconds and peak bytes of one step."""
    features = torch.zeros(batch, 1024, 128)
    network.zero_grad(set_to_none=True)
    free_cached(CPU)
    memory, begin = PeakMemory(CPU), time.process_time()
    network(features).square().sum().backward()
    return time.process_time() - begin, memory.growth()


def main() -> None:
    """Measure and write the CSV."""
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    with CSV.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = ["model", "clips", "gradient_checkpointing", "cpu_seconds", "peak_mib"]
        writer.writerow([*header, "machine", "load_average"])
        for name, batch in BATCHES.items():
            networks = []
            for recomputes in (False, True):
                network = Dass.build(find_model(name)[0].config, 527).train()
                if recomputes:
                    recompute_blocks(network)
                step(network, 1)  # kernels are loaded
                networks.append(network)
            turns = [[step(network, batch) for network in networks] for _ in range(TURNS)]
            for recomputes, steps in zip((False, True), zip(*turns, strict=True), strict=True):
                seconds, peaks = zip(*steps, strict=True)
                values = f"{min(seconds):.2f}", f"{min(peaks) / 2**20:.0f}", machine
                writer.writerow([name, batch, recomputes, *values, f"{os.getloadavg()[0]:.1f}"])
    sys.stdout.write(CSV.read_text())


if __name__ == "__main__":
    main()
