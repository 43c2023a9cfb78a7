"""Batches ahead of time: steps are planned here, their clips read by workers, in order."""

import pickle
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from niah.errors import NiahError, one_line
from niah.training.data.batch import Batch, Clips
from niah.training.data.batch_plan import BatchPlan, BatchPlanner
from niah.training.data.shard_clips import ShardClips, interleaved

T = TypeVar("T")

SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_BYTES = 1 << 30  # a container has 64 MB by default


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items in their order, each made in a thread while the one before it is used."""
    source = iter(items)
    done = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, done)
        while (item := coming.result()) is not done:
            coming = thread.submit(next, source, done)
            yield item  # type: ignore[misc]  # all but `done` are items


@dataclass(frozen=True)
class _Packed(Dataset[bytes]):
    """Items as bytes, which a worker sends through a pipe, where torch puts tensors into shared memory."""

    items: Dataset[Any]

    def __getitem__(self, index: int) -> bytes:
        return pickle.dumps(self.items[index])


def _loaded(
    items: Dataset[T], indices: Sequence[int], workers: int, device: torch.device
) -> Iterable[T]:
    """Return items in the order of their indices, read ahead by workers.

    Where shared memory is small they come through pipes: a tensor that has no room there is waited for without end.
    """
    packed = workers > 0 and not _has_shared_memory()
    loader: DataLoader[Any] = DataLoader(
        _Packed(items) if packed else items,
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        pin_memory=device.type == "cuda" and not packed,
    )
    return map(pickle.loads, loader) if packed else loader


@contextmanager
def ended_workers_in_one_line() -> Iterator[None]:
    """Turn the end of a worker, which torch raises wherever the training is at that moment, into one line.

    Raises:
        NiahError: a worker was killed, as by a system that is out of memory.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise NiahError(
            f"a process that reads clips has ended ({one_line(error)}): for want of memory, perhaps, give fewer "
            "--workers; the same command goes on from the last checkpoint"
        ) from error


def _has_shared_memory() -> bool:
    """Return whether there is room for batches; True on systems that keep shared memory elsewhere."""
    if not SHARED_MEMORY.is_dir():
        return True
    return shutil.disk_usage(SHARED_MEMORY).free >= LEAST_SHARED_BYTES


@dataclass(frozen=True)
class _PlannedClips(Dataset[tuple[BatchPlan, Batch | str]]):
    """Step n and its batch; an error travels as text, since not every exception survives the way between processes."""

    clips: Clips
    planner: BatchPlanner
    share: slice

    def __getitem__(self, index: int) -> tuple[BatchPlan, Batch | str]:
        plan = self.planner[index].part(self.share)
        try:
            return plan, self.clips.batch(plan)
        except NiahError as error:
            return plan, str(error)


def batches(
    clips: Clips,
    planner: BatchPlanner,
    *,
    first: int,
    share: slice,
    workers: int,
    device: torch.device,
) -> Iterator[tuple[BatchPlan, Batch]]:
    """Yield the steps from `first` on with their clips.

    Args:
        clips: all training clips.
        planner: plans of all steps.
        first: first step.
        share: rows of each batch that this process takes.
        workers: processes that read ahead; 0 reads in this one.
        device: a CUDA device is served by pinned memory, and computes while this process reads.

    Raises:
        NiahError: a clip that cannot be read.
    """
    planned = _PlannedClips(clips, planner, share)
    loader = _loaded(planned, range(first, len(planner)), workers, device)
    steps = ahead(loader) if device.type == "cuda" and workers == 0 else loader
    for plan, batch in steps:
        if isinstance(batch, str):
            raise NiahError(batch)
        yield plan, batch


@dataclass(frozen=True)
class _ShardParts(Dataset[Batch | str]):
    """Item n x parts + k: part k of step n, whose streams one worker reads, and no other worker does."""

    clips: ShardClips
    share: slice
    parts: int

    def __getitem__(self, index: int) -> Batch | str:
        step, part = divmod(index, self.parts)
        plan = self.clips.planner[step].part(self.share).part(slice(part, None, self.parts))
        try:
            return self.clips.batch(plan)
        except NiahError as error:
            return str(error)


def shard_batches(
    clips: ShardClips, *, first: int, share: slice, workers: int, device: torch.device
) -> Iterator[tuple[BatchPlan, Batch]]:
    """Yield the steps from `first` on with clips that are read from shards in order.

    Args:
        clips: the shards' clips, with their planner.
        first: first step.
        share: rows of each batch that this process takes.
        workers: processes that read ahead, each some rows of every batch; 0 reads in this one.
        device: pinned memory serves a CUDA device.

    Raises:
        NiahError: too many clips that cannot be read.
    """
    own = len(range(clips.planner.n_streams)[share])
    parts = max(1, min(workers, own))
    indices = range(first * parts, len(clips.planner) * parts)
    # each worker in turn is given the next item
    loader = _loaded(_ShardParts(clips, share, parts), indices, parts if workers else 0, device)
    begun: list[Batch] = []
    for part in loader:
        if isinstance(part, str):
            raise NiahError(part)
        begun.append(part)
        if len(begun) == parts:
            batch = interleaved(begun)
            begun = []
            clips.bad.add(batch)
            assert batch.plan is not None
            yield batch.plan, batch
