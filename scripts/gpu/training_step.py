"""Seconds and peak memory of a training step (forward, backward, AdamW), batch 12 x 10 s, by scan.

    python scripts/gpu/training_step.py OUT.csv [--models dass-medium,dass-small] [--kernels triton,mamba_ssm,chunked]
        [--device cuda] [--batch-size 12] [--steps 20] [--frames 1024]

bfloat16 autocast on a CUDA device. `mamba_ssm` needs that package (scripts/gpu/peers.sh); what cannot run is a row that
says why.
"""

import argparse
import csv
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from niah.adapters.loading import load_model
from niah.adapters.scan_choice import use_scan
from niah.errors import one_line
from niah.system.memory import PeakMemory, is_out_of_memory

HEADER = (
    "model",
    "kernel",
    "batch_size",
    "frames",
    "status",
    "seconds",
    "peak_memory_bytes",
    "error",
)


def measured(model: str, kernel: str, options: argparse.Namespace) -> tuple[Any, ...]:
    """Return status, median seconds of a step, peak bytes, and no error."""
    device = torch.device(options.device)
    adapter: Any = load_model(model, "random", device=str(device))
    use_scan(adapter, kernel)
    network = adapter.network.train().requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    shape = (options.batch_size, options.frames, adapter.frontend.mels)
    features = torch.randn(*shape, device=device)
    targets = torch.zeros(options.batch_size, len(adapter.labels), device=device)
    memory, seconds = PeakMemory(device), []
    for _ in range(options.steps + 3):
        begin = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = network(features)
        loss = binary_cross_entropy_with_logits(logits.float(), targets)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        float(loss.detach())  # waits for the forward pass
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return "ok", f"{median(seconds[3:]):.4g}", memory.bytes(), ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", default="dass-medium,dass-small")
    parser.add_argument("--kernels", default="triton,mamba_ssm,chunked")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--frames", type=int, default=1024)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        for model in options.models.split(","):
            for kernel in options.kernels.split(","):
                figures: tuple[Any, ...]
                try:
                    figures = measured(model, kernel, options)
                except Exception as error:  # Triton's are no RuntimeError
                    status = "oom" if is_out_of_memory(error) else "error"
                    figures = (status, "", "", one_line(error))
                row = (model, kernel, options.batch_size, options.frames, *figures)
                writer.writerow(row)
                stream.flush()
                print(*row)


if __name__ == "__main__":
    main()
