"""Scoring of scenes of one length: whole, at pooled positions, by windows, block by block, or padded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from niah.adapters.loading import adapter_info
from niah.adapters.protocol import Adapter, ReusesAnswers
from niah.adapters.wrappers.lazy_features import InBlocks, ReadsBlocks
from niah.adapters.wrappers.padded import Padded
from niah.adapters.wrappers.pooled import Pooled
from niah.adapters.wrappers.sliding_window import SlidingWindow, window_starts
from niah.placement import scene_frames
from niah.sweep.inference import is_large, probe_batch_size
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.system.memory import is_out_of_memory


def windowed(options: RunOptions, adapter: Adapter) -> RunOptions:
    """Return the options of a model's cells: one that pads and crops to a fixed length is run over windows of it."""
    fixed_s = adapter_info(adapter).fixed_seconds
    if fixed_s is None or options.window_s is not None:
        return options
    return replace(options, window_s=fixed_s)


@dataclass
class Scorer:
    """An adapter, with what is wrapped around it for each scene.

    Attributes:
        adapter: of the model.
        options: of its cells (`windowed`).
        n_clips: number of clips, which bounds a batch.
        device: that computes.
        batch_size: scenes, or windows, in a forward pass; None until it is probed.
        windows: the model over windows; None where it takes scenes whole.
        padded: lengths below 10 s, in seconds, that the model takes only padded to the needle's frames.
    """

    adapter: Adapter
    options: RunOptions
    n_clips: int
    device: torch.device

    def __post_init__(self) -> None:
        options = self.options
        self.batch_size = options.batch_size
        self.windows: SlidingWindow | None = None
        self.padded: set[float] = set()
        if options.window_s is not None:
            self.windows = SlidingWindow(
                self.adapter,
                options.window_s,
                options.hop_s,
                options.window_pool,
                reuse=options.reuse,
            )
        if not options.reuse and isinstance(self.adapter, ReusesAnswers):
            self.adapter.forget_answers()

    def of(self, cells: Sequence[Cell]) -> tuple[Adapter, int]:
        """Return what scores cells of the same scenes, which differ in pooling alone, and scenes a batch."""
        cell, size = cells[0], self.scenes_at_once(cells)
        adapter = self._wrapped(cells)
        if cell.is_short and not self._takes(adapter, cell.length_s):
            adapter = Padded(adapter)
            self.padded.add(cell.length_s)
        return adapter, size

    def scenes_at_once(self, cells: Sequence[Cell]) -> int:
        """Return the scenes of a batch; few long ones fill a batch of windows."""
        size = self._probed_batch_size()
        if self.windows is None or self._is_pooled(cells):
            return size
        self.windows.windows_at_once = size
        if self.options.reuse:  # each may have few new windows
            return size
        return max(1, size // self._windows_of(cells[0].length_s))

    def kernel(self, cell: Cell) -> str:
        """Return the scan kernel by which a cell is scored."""
        wrapped = self._wrapped([cell])
        return (wrapped if isinstance(wrapped, InBlocks) else self.adapter).kernel

    def latency_s(self, cell: Cell) -> float | None:
        """Return the seconds of a scene's windows, those that were scored before too; None where there are none."""
        return None if self.windows is None else self.windows.scene_latency_s(self.frames(cell))

    def frames(self, cell: Cell) -> int:
        """Return the frames of a cell's scenes."""
        return self._frames(cell.length_s)

    def _wrapped(self, cells: Sequence[Cell]) -> Adapter:
        if self._is_pooled(cells):
            return Pooled(
                self.adapter, *(cell.pooling for cell in cells if cell.pooling is not None)
            )
        if self.windows is not None:
            return self.windows
        size = self.frames(cells[0]), self.adapter.frontend.mels
        if isinstance(self.adapter, ReadsBlocks) and is_large(self.batch_size or 1, *size):
            return InBlocks(self.adapter)
        return self.adapter

    @staticmethod
    def _is_pooled(cells: Sequence[Cell]) -> bool:
        return any(cell.pooling is not None for cell in cells)

    def _takes(self, adapter: Adapter, length_s: float) -> bool:
        """Return whether a scene shorter than the needle has a native mode: some networks need more frames."""
        frontend = adapter.frontend
        try:
            adapter.logits(torch.zeros(1, self._frames(length_s), frontend.mels))
        except (Exception, SystemExit) as error:  # a user's network may raise anything
            if is_out_of_memory(error):
                raise
            return False
        return True

    def _probed_batch_size(self) -> int:
        if self.batch_size is None:
            self.batch_size = self._probed()
        return self.batch_size or 1

    def _probed(self) -> int:
        """Return the batch size: clips, or windows."""
        if self.windows is not None:
            many = self.n_clips * self._windows_of(max(self.options.lengths_s))
            return probe_batch_size(self.adapter, [self.windows.frames], many, self.device)
        lengths = [self._frames(length_s) for length_s in self.options.lengths_s]
        return probe_batch_size(self.adapter, lengths, self.n_clips, self.device)

    def _windows_of(self, length_s: float) -> int:
        assert self.windows is not None
        return len(window_starts(self._frames(length_s), self.windows.frames, self.windows.hop))

    def _frames(self, length_s: float) -> int:
        return scene_frames(length_s, self.adapter.frontend.needle_frames)
