"""A lower bound on the cost of a forward pass: its operations and bytes, and this machine's measured rates for them.

    roofline = max(matrix operations / matrix product rate, bytes / copy bandwidth)

Operations are counted, not timed: the network runs once on torch's `meta` device, which has shapes and no data, and
`FlopCounterMode` adds up matrix products, convolutions and attention (2 for a multiply-add). It does not see scans,
which are counted separately (`niah.scan.shapes`): 20 operations for a position, channel and direction of a map, 6 for
a state of a sequence.

Bytes are a minimum for a fused implementation: weights and input are read once, and each block moves a fixed number of
elements per element of its input (its `elements_moved`): 19 in DASS, 28 in a Mamba mixer's, 14 in a transformer's
(residual, norm, projections and attention once each, the MLP's hidden layer never). Rates: a copy, reads and writes
counted; a product of n x 384 with 384 x 1536, the shape of DASS's widest layers. On a CPU 256 MiB and n = 4096; a CUDA
device takes longer to launch those than to do them, so there 2 GiB and n = 131,072.
"""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from niah.scan.shapes import counted

COPIED_BYTES, COPIED_BYTES_ON_CUDA = 256 << 20, 2 << 30
ROWS, ROWS_ON_CUDA = 4096, 131_072
PRODUCT = (384, 1536)


@runtime_checkable
class MovesElements(Protocol):
    """A block that states the minimum of elements that it moves through memory per element of its input."""

    elements_moved: int


@runtime_checkable
class Tiled(Protocol):
    """A network whose forward pass runs in tiles; `whole` is the same without tiles, which repeats no work."""

    def whole(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Work:
    """The work of one forward pass."""

    matrix_flop: float
    scan_flop: float
    bytes: float


@dataclass(frozen=True)
class Rates:
    """Rates of this machine, for one device and dtype."""

    matrix_flops: float  # per second
    copy_bytes: float  # per second


def work_of(network: nn.Module, batch: int, frames: int, mels: int, dtype: torch.dtype) -> Work:
    """Count the work of one forward pass without running it.

    Args:
        network: on any device; it is copied to one without data.
        batch: number of clips.
        frames: of each clip.
        mels: mel bands of the features.
        dtype: of the weights and the features, for the bytes.

    Returns:
        Operations and bytes.

    Raises:
        Exception: the network does not run on a device without data.
    """
    from torch.utils.flop_counter import FlopCounterMode

    ghost = copy.deepcopy(network).to("meta", dtype)
    features = torch.empty(batch, frames, mels, device="meta", dtype=dtype)
    forward: Callable[[Tensor], Tensor] = ghost.whole if isinstance(ghost, Tiled) else ghost
    counter = FlopCounterMode(display=False)
    weights = sum(p.numel() for p in ghost.parameters())
    with torch.no_grad(), counted() as scans, _blocks(ghost) as elements, counter:
        forward(features)
    moved = weights + features.numel() + sum(elements)
    return Work(float(counter.get_total_flops()), sum(scans), float(moved * dtype.itemsize))


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure copy bandwidth and matrix product rate, the best of 20 tries each; takes about a second.

    Args:
        device: where to measure.
        dtype: of the arrays.

    Returns:
        Both rates.
    """
    on_cuda = device.type == "cuda"
    copied = COPIED_BYTES_ON_CUDA if on_cuda else COPIED_BYTES
    size = copied // dtype.itemsize
    source, target = (torch.ones(size, device=device, dtype=dtype) for _ in range(2))
    copying = _seconds(lambda: target.copy_(source), device)
    rows, (inner, columns) = ROWS_ON_CUDA if on_cuda else ROWS, PRODUCT
    a = torch.randn(rows, inner, device=device).to(dtype)
    b = torch.randn(inner, columns, device=device).to(dtype)
    multiplying = _seconds(lambda: a @ b, device)
    return Rates(2 * rows * inner * columns / multiplying, 2 * copied / copying)


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
def _blocks(network: nn.Module) -> Iterator[list[float]]:
    """Collect the elements that each block of a network moves while it runs."""
    moved: list[float] = []

    def hook(block: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(block, MovesElements)
        moved.append(float(block.elements_moved) * inputs[0].numel())

    handles = [
        module.register_forward_pre_hook(hook)
        for module in network.modules()
        if isinstance(module, MovesElements)
    ]
    try:
        yield moved
    finally:
        for handle in handles:
            handle.remove()
