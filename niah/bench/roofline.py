"""What a forward pass must cost at least: its operations and bytes, and this machine's measured rates for them.

    roofline = max(matrix operations / matrix product rate, bytes / copy bandwidth)

Operations are counted, not timed: the network runs once on torch's `meta` device, which has shapes and no data, and
`FlopCounterMode` adds up matrix products, convolutions and attention (2 for a multiply-add). Scans are left out there
and counted beside, 20 operations for a position, channel and direction of a map, 6 for a state of a sequence.

Bytes are the least that a fused implementation moves through memory: weights and input once, and in each block so many
elements for each of its input's: 19 in DASS, 28 in a Mamba mixer's, 14 in a transformer's (residual, norm, projections
and attention once each, the MLP's hidden layer never). Rates: copying 256 MiB, read and write counted; a product of
4096 x 384 with 384 x 1536, the shape of DASS's widest work.
"""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

ELEMENTS_PER_INPUT = {"dass": 19, "aum": 28, "ssamba": 28, "audio_mamba": 28}
TRANSFORMER_ELEMENTS = 14
MAP_SCAN_OPERATIONS, STATE_OPERATIONS = 20, 6
COPIED_BYTES = 256 << 20
PRODUCT = (4096, 384, 1536)


@dataclass(frozen=True)
class Work:
    """Of one forward pass."""

    matrix_flop: float
    scan_flop: float
    bytes: float


@dataclass(frozen=True)
class Rates:
    """Measured on this machine, for one device and dtype."""

    matrix_flops: float  # per second
    copy_bytes: float  # per second


def work_of(network: nn.Module, batch: int, frames: int, mels: int, dtype: torch.dtype) -> Work:
    """Count one forward pass of (batch, frames, mels) features, without doing it.

    Raises whatever the network raises on a device without data.
    """
    from torch.utils.flop_counter import FlopCounterMode

    ghost = copy.deepcopy(network).to("meta", dtype)
    features = torch.empty(batch, frames, mels, device="meta", dtype=dtype)
    whole: Callable[[Tensor], Tensor] = getattr(ghost, "whole", ghost)
    counter = FlopCounterMode(display=False)
    weights = sum(p.numel() for p in ghost.parameters())
    with torch.no_grad(), _without_scans() as scans, _blocks(ghost) as elements, counter:
        whole(features)
    moved = weights + features.numel() + sum(elements)
    return Work(float(counter.get_total_flops()), sum(scans), float(moved * dtype.itemsize))


def roofline_s(work: Work, rates: Rates) -> float:
    return max(work.matrix_flop / rates.matrix_flops, work.bytes / rates.copy_bytes)


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """The best of several tries each; takes about a second."""
    size = COPIED_BYTES // dtype.itemsize
    source, target = (torch.ones(size, device=device, dtype=dtype) for _ in range(2))
    copying = _seconds(lambda: target.copy_(source), device)
    rows, inner, columns = PRODUCT
    a = torch.randn(rows, inner, device=device).to(dtype)
    b = torch.randn(inner, columns, device=device).to(dtype)
    multiplying = _seconds(lambda: a @ b, device)
    return Rates(2 * rows * inner * columns / multiplying, 2 * COPIED_BYTES / copying)


def _seconds(work: Callable[[], Any], device: torch.device, tries: int = 20) -> float:
    best = float("inf")
    for _ in range(tries):
        begin = time.perf_counter()
        repeats = 10 if device.type == "cuda" else 1  # a launch is as long as the work
        for _ in range(repeats):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, (time.perf_counter() - begin) / repeats)
    return best


@contextmanager
def _without_scans() -> Iterator[list[float]]:
    """Scans only counted; yields their operations."""
    counted: list[float] = []

    def of_map(u: Tensor, *_: Any, **__: Any) -> Tensor:
        counted.append(4.0 * MAP_SCAN_OPERATIONS * u.numel())
        return torch.empty_like(u)

    def of_sequence(u: Tensor, _z: Tensor, B: Tensor, *_: Any, **options: Any) -> Any:
        counted.append(float(STATE_OPERATIONS) * u.numel() * B.shape[-1])
        y = torch.empty_like(u)
        state = u.new_empty(len(u), u.shape[-1], B.shape[-1])
        return (y, state) if options.get("return_state") else y

    with (
        patch("niah.networks.dass.network.cross_scan", of_map),
        patch("niah.networks.layers.mamba_mixer.selective_scan", of_sequence),
    ):
        yield counted


@contextmanager
def _blocks(network: nn.Module) -> Iterator[list[float]]:
    """Elements moved in the blocks of a network while it runs."""
    moved: list[float] = []

    def hook(block: nn.Module, inputs: tuple[Any, ...]) -> None:
        family = type(block).__module__.rpartition(".")[2]
        elements = ELEMENTS_PER_INPUT.get(family, TRANSFORMER_ELEMENTS)
        moved.append(float(elements) * inputs[0].numel())

    handles = [
        module.register_forward_pre_hook(hook)
        for module in network.modules()
        if type(module).__name__ == "Block"
    ]
    try:
        yield moved
    finally:
        for handle in handles:
            handle.remove()
