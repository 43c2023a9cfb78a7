"""Logits of one cell and what they cost: batches of scenes through an adapter, timed."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from statistics import median
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from niah.adapters.protocol import Adapter, LimitsBatch, RunsInThreads
from niah.adapters.scoring import scored
from niah.adapters.wrappers.lazy_features import InBlocks
from niah.adapters.wrappers.padded import Padded
from niah.adapters.wrappers.pooled import Pooled
from niah.adapters.wrappers.sliding_window import SlidingWindow
from niah.errors import NiahError
from niah.scenes.lazy import FeatureBlocks, Scene, stack
from niah.system.memory import PeakMemory, free_cached, is_out_of_memory
from niah.system.memory_limit import usable_bytes
from niah.system.threads import on_one_thread, results_in_order

Item = TypeVar("Item")

LARGEST_PROBED_BATCH = 64
ALONE = 4
"""Batches before any is prepared, or scored, beside another's forward pass: a warm-up, and three to time."""

LARGE_SHARE = 8
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class InferenceResult:
    """Logits of scenes, and what their scoring took.

    Attributes:
        logits: (clips, classes) float32.
        latency_s: seconds of forward pass a clip, with nothing beside it.
        peak_memory_bytes: at the peak, with one pass at a time.
        clip_s: seconds a clip takes in all, scene and pass, once the beginning is over.
        process_peak_bytes: at the peak, with all passes that ran at once.
    """

    logits: Tensor
    latency_s: float
    peak_memory_bytes: int
    clip_s: float
    process_peak_bytes: int


def infer(
    adapter: Adapter,
    scenes: Iterable[Scene],
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], None],
    ahead: bool | None = None,
    alone: int = ALONE,
) -> InferenceResult:
    """Compute the logits of scenes of one length, in batches.

    The latency is the median over batches of wall time / clips in the batch. It includes the transfer to the device and
    excludes the making of scenes; the first batch (kernels are loaded, memory is mapped) counts only when it is alone.

    With `ahead` a thread prepares the fifth and later batches while the one before is scored. Logits are the same bits,
    one batch more is in memory, and only the first four batches are timed, since the thread slows a forward pass. On a
    CPU scenes are made on the cores that the model needs, so the default there is off.

    On a CPU the fifth and later batches are scored several at a time, each on one core, where that gives the same bits
    (`passes_at_once`): the first four are what is timed, and what the peak of memory is of.

    Args:
        adapter: the model.
        scenes: (frames, mels) each.
        batch_size: scenes a batch.
        device: the model's.
        advance: called with the number of clips of each finished batch.
        ahead: prepare batches in a thread; by default on a GPU, unless batches are large (`is_large`) or are rendered
            when they are read.
        alone: batches before any other work goes on beside one.
    """
    free_cached(device)
    memory = PeakMemory(device)
    logits_by_batch: list[Tensor] = []
    seconds: list[float] = []
    groups = _groups(scenes, batch_size)
    first = next(groups)
    if ahead is None:
        is_whole = not _reads_parts(adapter) and not is_large(len(first), *first[0].shape)
        ahead = device.type == "cuda" and is_whole
    batches = _batches(adapter, chain([first], groups))
    began = time.monotonic()
    threads, steady_s = 1, None
    with closing(one_ahead(batches, alone) if ahead else batches) as prepared:
        for batch in prepared:
            start = time.perf_counter()
            logits = _score(adapter, batch)
            if not ahead or len(seconds) < alone:
                seconds.append((time.perf_counter() - start) / len(logits))
            logits_by_batch.append(logits)
            advance(len(logits))
            if len(logits_by_batch) == alone and device.type == "cpu" and not ahead:
                threads = passes_at_once(adapter, batch, logits, memory.growth())
            del batch  # the next one takes its place
            if threads > 1:
                break
        peak_bytes, before = memory.bytes(), len(logits_by_batch)
        if threads > 1:
            start = time.monotonic()
            rest = results_in_order(partial(_score, adapter), prepared, threads)
            with on_one_thread(), closing(rest):  # scenes are made on the cores that passes need
                for logits in rest:
                    logits_by_batch.append(logits)
                    advance(len(logits))
            if len(logits_by_batch) >= before + threads:
                clips = sum(map(len, logits_by_batch[before:]))
                steady_s = (time.monotonic() - start) / clips
    logits = torch.cat(logits_by_batch)
    clip_s = steady_s or (time.monotonic() - began) / len(logits)
    latency_s = median(seconds[1:] or seconds)
    return InferenceResult(logits, latency_s, peak_bytes, clip_s, memory.bytes())


def passes_at_once(adapter: Adapter, batch: Any, logits: Tensor, growth_bytes: int) -> int:
    """Return the number of forward passes to run at a time on a CPU, each on one core: 1, or that of torch's threads.

    More than one only for an adapter that runs in threads, where all of them fit in an eighth of the memory, and where
    a pass on one core gives the bits of one on all cores, which is looked at once for each shape of a batch.

    Args:
        adapter: the model.
        batch: that was scored.
        logits: its logits, computed on all cores.
        growth_bytes: memory of one pass.
    """
    threads = torch.get_num_threads()
    is_small = threads * growth_bytes <= usable_bytes() / LARGE_SHARE
    if threads == 1 or not is_small or not runs_in_threads(adapter):
        return 1
    seen = _same_bits.setdefault(_inner(adapter), {})
    shape = (threads, *batch.shape, *logits.shape)
    if shape not in seen:
        (on_one,) = results_in_order(partial(_score, adapter), [batch], threads)
        seen[shape] = torch.equal(on_one, logits)
    return threads if seen[shape] else 1


_same_bits: WeakKeyDictionary[Adapter, dict[tuple[int, ...], bool]] = WeakKeyDictionary()
"""Whether passes of an adapter on one core give the bits of those on all, by threads and shapes of batch and logits."""


def runs_in_threads(adapter: Adapter) -> bool:
    """Return whether several threads may score with an adapter at once."""
    inner = _inner(adapter)
    return isinstance(inner, RunsInThreads) and inner.runs_in_threads


def _inner(adapter: Adapter) -> Adapter:
    return adapter.adapter if isinstance(adapter, Padded | Pooled) else adapter


def _score(adapter: Adapter, batch: Any) -> Tensor:
    poolings = len(adapter.poolings) if isinstance(adapter, Pooled) else 1
    return scored(adapter, batch, poolings * len(adapter.labels))


def probe_batch_size(
    adapter: Adapter, lengths: Sequence[int], clips: int, device: torch.device
) -> int:
    """Measure the batch size for a whole run, at the longest length that the adapter accepts.

    On a CPU 1, the reference mode. On a GPU the largest power of two up to 64 whose forward pass fits in memory, halved
    once for headroom, and never more than the adapter's `safe_batch` of that length, where it has one; 1 if not
    even one clip fits (that cell then records its running out of memory).

    Args:
        adapter: the model.
        lengths: frames of the run's scenes.
        clips: number of clips, an upper limit.
        device: the model's.
    """
    if device.type == "cpu":
        return 1
    for frames in sorted(lengths, reverse=True):
        try:
            return _probe(adapter, frames, min(LARGEST_PROBED_BATCH, clips), device)
        except NiahError:  # the model does not accept this length: its cell records the reason
            continue
    return 1


def _probe(adapter: Adapter, frames: int, most: int, device: torch.device) -> int:
    safe = adapter.safe_batch(frames) if isinstance(adapter, LimitsBatch) else LARGEST_PROBED_BATCH
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


def is_large(clips: int, frames: int, mels: int) -> bool:
    """Return whether whole scenes would take more than an eighth of the memory.

    Args:
        clips: number of scenes.
        frames: frames of each.
        mels: mel bins of each frame.
    """
    return clips * frames * mels * _FLOAT32_BYTES > usable_bytes() / LARGE_SHARE


def _groups(scenes: Iterable[Scene], size: int) -> Iterator[list[Scene]]:
    iterator = iter(scenes)
    while group := list(islice(iterator, size)):
        yield group


def _batches(adapter: Adapter, groups: Iterable[list[Scene]]) -> Generator[Any, None, None]:
    """Yield each group as a batch for the adapter; no reference to a yielded batch stays here."""
    in_parts = _reads_parts(adapter)
    for group in groups:
        yield FeatureBlocks(group) if in_parts else stack(group)


def _reads_parts(adapter: Adapter) -> bool:
    """Return whether the adapter renders what it needs of its scenes."""
    return isinstance(adapter, InBlocks | SlidingWindow)


def one_ahead(items: Iterable[Item], alone: int = 0) -> Generator[Item, None, None]:
    """Yield the same items in the same order, each made while the caller works on the one before it.

    The first `alone` items are made on request. Never more than two are alive, if the caller drops one before it asks
    for the next. An error in the making is raised in the item's place; the thread ends when the generator is closed or
    has ended. Where no thread can be started, items are made on request.

    Args:
        items: made one by one, in another thread.
        alone: number of first items that are made in the caller's thread.
    """
    iterator = iter(items)
    yield from islice(iterator, alone)
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(1, thread_name_prefix="niah-ahead")
    end = object()
    pending: Future[Item | object] | None = None
    try:
        try:
            # its torch keeps to itself: a second team of threads would disturb the caller's work
            pool.submit(torch.set_num_threads, 1).result()
        except RuntimeError:  # can't start new thread: memory or a limit
            yield from iterator
            return
        pending = pool.submit(next, iterator, end)
        while (item := pending.result()) is not end:
            pending = pool.submit(next, iterator, end)
            yield item  # type: ignore[misc]  # no sentinel
    finally:
        item = pending = None  # an exception that is on its way out holds this frame
        pool.shutdown(cancel_futures=True)
        # the thread's own call had set the default of threads yet to start
        torch.set_num_threads(threads)
