"""Compile the Triton kernels of forward passes and training steps for another card, without a GPU, into a cache.

    TRITON_CACHE_DIR=/tmp/niah-triton python scripts/gpu/warm.py JOB..
    JOB: forward:MODEL:DTYPE; step:MODEL:DTYPE, a training step under autocast; tests, of the map scan on a device

The first pass on a card compiles for minutes, which a machine lent for fifteen cannot spare. The networks run here on
CPU tensors, with every launch replaced by its compilation; what they compute is garbage. Triton must be the version of
the other machine, and the cache must lie at the same path there, for it names its files absolutely.
"""

import os
import sys
import time
import traceback
import types
from pathlib import Path
from typing import Any

import torch
import triton.runtime.jit
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from niah.adapters.loading import load_model  # noqa: E402
from niah.adapters.scan_choice import use_scan  # noqa: E402
from niah.scan import cross_scan  # noqa: E402
from niah.scan.triton import steps  # noqa: E402
from tests.helpers.scan_inputs import (  # noqa: E402
    DEVICE_COLUMNS,
    DEVICE_MAPS,
    DTYPES,
    HALVES,
    TRAINING_MAPS,
    arguments,
)

H100 = types.SimpleNamespace(
    name="NVIDIA H100 80GB HBM3",
    major=9,
    minor=0,
    multi_processor_count=132,
    L2_cache_size=50 << 20,
    total_memory=80 << 30,
    shared_memory_per_block_optin=232448,
)


class NoDevice:
    """Triton's driver of a card that is not there."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 10 * H100.major + H100.minor, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int = 0) -> int:  # noqa: ARG002
        return 0

    def get_device_properties(self, device: int) -> dict[str, int]:  # noqa: ARG002
        return {
            "max_shared_mem": H100.shared_memory_per_block_optin,
            "multiprocessor_count": H100.multi_processor_count,
        }


def compile_instead_of_launching() -> set[str]:
    """Replace launches and the card's properties; return the set of the kernels' hashes, which grows."""
    kernels: set[str] = set()
    function: Any = triton.runtime.jit.JITFunction
    original = function.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:  # noqa: ARG001
        kernel = original(self, *args, grid=grid, warmup=True, **options)
        kernels.add(kernel.hash)
        return kernel

    function.run = run
    driver.set_active(NoDevice())
    torch.cuda.get_device_properties = lambda *_: H100  # type: ignore[assignment]
    torch.cuda.get_device_capability = lambda *_: (H100.major, H100.minor)
    steps.check_device = lambda *_: None
    return kernels


def compile_job(kind: str, model: str, dtype: str) -> None:
    """Run a forward pass, or a forward and a backward one of two clips."""
    adapter: Any = load_model(model, "random", dtype=dtype if kind == "forward" else "float32")
    use_scan(adapter, "triton")
    frames = adapter.frontend.needle_frames
    if model.startswith("dass"):  # whose kernels take any length
        frames = min(256, frames)
    if kind == "forward":
        adapter.logits(torch.randn(1, frames, adapter.frontend.mels))
        return
    network = adapter.network.train().requires_grad_(True)
    features = torch.randn(2, frames, adapter.frontend.mels)
    with torch.autocast("cpu", getattr(torch, dtype), enabled=dtype != "float32"):
        logits = network(features)
    logits.float().sum().backward()


def compile_tests() -> None:
    """Scan what `tests/scan/test_triton.py` scans on a device: gradients in mixed precision, then the grid."""
    for dtype in HALVES:
        for _, *training_map in TRAINING_MAPS:
            u, p, *rest = arguments((1, 1, *training_map))
            inputs = [x.requires_grad_() for x in (u.to(dtype), p.to(dtype), *rest)]
            torch.autograd.backward(cross_scan(*inputs, backend="triton").sum())
    for dtype in DTYPES:
        for device_map in DEVICE_MAPS:
            for columns in DEVICE_COLUMNS:
                inputs = [x.to(dtype) for x in arguments((2, columns, *device_map))]
                cross_scan(*inputs, backend="triton")


def main() -> None:
    """Compile the jobs of the command line; one that fails is printed, and the next follows."""
    assert os.environ.get("TRITON_CACHE_DIR"), "TRITON_CACHE_DIR names the cache"
    kernels = compile_instead_of_launching()
    for job in sys.argv[1:]:
        before, begin = len(kernels), time.monotonic()
        try:
            compile_tests() if job == "tests" else compile_job(*job.split(":"))
        except Exception:
            traceback.print_exc()
        seconds = time.monotonic() - begin
        print(f"{job}: {len(kernels) - before} kernels, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
