"""A scene as its stretches, laid into memory when and where its rows are wanted.

At 24 h a scene is 4.1 GiB of float32. `Scene` holds none of it but the clips: its haystack's rows are the bank's
levels at a gain, so that any of them are made on demand, the same bits whichever are asked for together. A scene is
laid whole into one buffer, or read in blocks of frames by a network that takes its input so (`FeatureBlocks`).
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from niah.errors import NiahError

_LAYING = threading.Lock()
"""Of blocks: what of a haystack's bank nobody has read yet is computed once, not by every thread that asks."""

Render = Callable[[Tensor, int], None]
"""Write rows (n, mels), from the stretch's frame so and so on."""


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `stop` of a scene."""

    start: int
    stop: int
    render: Render

    @classmethod
    def of_rows(cls, start: int, rows: Tensor) -> "Segment":
        """Of rows (n, mels) that are there already."""

        def render(out: Tensor, first: int) -> None:
            out.copy_(rows[first : first + len(out)])

        return cls(start, start + len(rows), render)


@dataclass(frozen=True)
class Scene:
    """Normalised features (frames, mels) float32 that are not there until they are asked for.

    The stretches follow one another from frame 0 on, without gaps.
    """

    stretches: tuple[Segment, ...]
    mels: int

    @classmethod
    def of_rows(cls, rows: Tensor) -> "Scene":
        return cls((Segment.of_rows(0, rows),), rows.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, mels)."""
        return self.stretches[-1].stop, self.mels

    def render(self, out: Tensor, first: int = 0) -> Tensor:
        """Write the frames from `first` on into `out` (n, mels) float32, on the CPU; returns it."""
        last = first + len(out)
        for each in self.stretches:
            low, high = max(first, each.start), min(last, each.stop)
            if low < high:
                each.render(out[low - first : high - first], low - each.start)
        return out

    def whole(self, out: Tensor | None = None) -> Tensor:
        """All rows, in `out` if it is given.

        Raises:
            NiahError: `out` is no float32 CPU tensor of the scene's shape.
        """
        if out is None:
            out = torch.empty(self.shape)
        elif out.shape != self.shape or out.dtype != torch.float32 or out.device.type != "cpu":
            told = f"{out.dtype} {out.device} {tuple(out.shape)}"
            raise NiahError(f"out must be a float32 CPU tensor of shape {self.shape}, got {told}")
        return self.render(out)


class FeatureBlocks:
    """A batch of scenes (B, frames, mels) that is never whole: as much of a tensor as a tiled network asks for.

    It has a length and a `shape`, takes an axis of one channel at its end (`unsqueeze(-1)`), and sliced by clips it is
    the same of fewer scenes. Sliced by clips and frames it is a tensor, made anew each time. Any thread may ask.
    """

    def __init__(self, scenes: Sequence[Scene], channels: tuple[int, ...] = ()) -> None:
        self.scenes = list(scenes)
        self.channels = channels
        self.shape = torch.Size((len(self.scenes), *self.scenes[0].shape, *channels))

    def __len__(self) -> int:
        return len(self.scenes)

    def unsqueeze(self, dim: int) -> "FeatureBlocks":
        """The same with one channel, (B, frames, mels, 1)."""
        if dim != -1:
            raise ValueError(f"blocks of features take one axis more at their end, not at {dim}")
        return FeatureBlocks(self.scenes, (*self.channels, 1))

    @overload
    def __getitem__(self, place: slice) -> "FeatureBlocks": ...
    @overload
    def __getitem__(self, place: tuple[slice, slice]) -> Tensor: ...
    def __getitem__(self, place: slice | tuple[slice, slice]) -> "FeatureBlocks | Tensor":
        if isinstance(place, slice):
            return FeatureBlocks(self.scenes[place], self.channels)
        clips, frames = place
        first, last, _ = frames.indices(self.shape[1])
        scenes = self.scenes[clips]
        out = torch.empty(len(scenes), max(0, last - first), self.shape[2])
        with _LAYING:
            for scene, rows in zip(scenes, out, strict=True):
                scene.render(rows, first)
        return out.view(*out.shape, *self.channels)


def stack(scenes: Sequence[Scene]) -> Tensor:
    """The scenes as one tensor (B, frames, mels), each laid straight into its place."""
    out = torch.empty(len(scenes), *scenes[0].shape)
    for scene, rows in zip(scenes, out, strict=True):
        scene.render(rows)
    return out
