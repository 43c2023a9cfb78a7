"""Batches ahead of time: steps are planned here, their clips read by workers, in order."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from niah.errors import NiahError
from niah.training.clips import Batch, Clips
from niah.training.steps import BatchPlan, BatchPlanner


@dataclass(frozen=True)
class _Planned(Dataset[tuple[BatchPlan, Batch | str]]):
    """Step n and its batch; an error is told as text, since not every exception survives the way to another process."""

    clips: Clips
    steps: BatchPlanner
    share: slice

    def __getitem__(self, index: int) -> tuple[BatchPlan, Batch | str]:
        step = self.steps[index].part(self.share)
        try:
            return step, self.clips.batch(step)
        except NiahError as error:
            return step, str(error)


def batches(
    clips: Clips,
    steps: BatchPlanner,
    *,
    first: int,
    share: slice,
    workers: int,
    device: torch.device,
) -> Iterator[tuple[BatchPlan, Batch]]:
    """The steps from `first` on, each this process' `share` of the rows, with their clips.

    Raises:
        NiahError: a clip that cannot be read.
    """
    loader = DataLoader(
        _Planned(clips, steps, share),
        batch_size=None,
        sampler=range(first, len(steps)),
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    for step, batch in loader:
        if isinstance(batch, str):
            raise NiahError(batch)
        yield step, batch
