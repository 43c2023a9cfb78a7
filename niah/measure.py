"""Scores of one cell and what they cost: batches of scenes through an adapter, timed."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from niah.adapters import Adapter
from niah.errors import NiahError
from niah.memory import PeakMemory, free_cached, is_out_of_memory

LARGEST_PROBED_BATCH = 64


@dataclass(frozen=True)
class Measured:
    """Scores (clips, classes) in [0, 1]; seconds of forward pass a clip; bytes at the peak."""

    scores: Tensor
    latency_s: float
    peak_memory_bytes: int


def measure(
    adapter: Adapter,
    scenes: Iterable[Tensor],
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> Measured:
    """Sigmoid scores of scenes (frames, mels), all of one length, in batches.

    The latency is the median over batches of wall time / clips in the batch, transfer to the device included; the
    first batch (kernels are loaded, memory is mapped) counts only when it is the only one.
    """
    free_cached(device)
    memory = PeakMemory(device)
    scores: list[Tensor] = []
    seconds: list[float] = []
    for batch in _batches(scenes, batch_size):
        begin = time.perf_counter()
        logits = adapter.logits(batch).float().cpu()  # the copy waits for the device
        seconds.append((time.perf_counter() - begin) / len(batch))
        scores.append(torch.sigmoid(logits))
        advance(len(batch))
    return Measured(torch.cat(scores), median(seconds[1:] or seconds), memory.bytes())


def probe_batch_size(
    adapter: Adapter, lengths: Sequence[int], clips: int, device: torch.device
) -> int:
    """The batch size for a whole run, found at the longest of `lengths` (frames) that the adapter takes at all.

    On a CPU 1, the reference mode. On a GPU the largest power of two up to 64 whose forward pass fits in memory,
    halved once for headroom, and never more than the adapter's `safe_batch` of that length, where it has one; 1 if not
    even one clip fits (that cell then records its running out of memory).
    """
    if device.type == "cpu":
        return 1
    for frames in sorted(lengths, reverse=True):
        try:
            return _probe(adapter, frames, min(LARGEST_PROBED_BATCH, clips), device)
        except NiahError:  # a length that the model has no mode for: its cell will say so
            continue
    return 1


def _probe(adapter: Adapter, frames: int, most: int, device: torch.device) -> int:
    safe_batch = getattr(adapter, "safe_batch", None)
    safe = safe_batch(frames) if safe_batch is not None else LARGEST_PROBED_BATCH
    fitting = 1
    while fitting < most and 2 * fitting <= safe:
        try:
            adapter.logits(torch.zeros(2 * fitting, frames, adapter.frontend.mels))
        except NiahError:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_cached(device)
            return max(1, fitting // 2)
        fitting *= 2
    return fitting


def _batches(scenes: Iterable[Tensor], size: int) -> Iterable[Tensor]:
    batch: list[Tensor] = []
    for scene in scenes:
        batch.append(scene)
        if len(batch) == size:
            yield torch.stack(batch) if size > 1 else batch[0][None]
            batch = []
    if batch:
        yield torch.stack(batch)
