"""A scene as a list of segments, rendered when and where its rows are needed.

At 24 h a scene is 4.1 GiB of float32. `Scene` holds none of it but the clips: its haystack's rows are the bank's
levels at a gain, so that any of them are made on demand, the same bits in any blocks. A scene is rendered whole into
one buffer, or read in blocks of frames by a network that takes its input so (`FeatureBlocks`).
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from niah.errors import NiahError

_RENDERING = threading.Lock()
"""Held while blocks are read: a haystack's bank is computed once, not by every thread that reads it first."""

Render = Callable[[Tensor, int], None]
"""Write rows (n, mels), the segment's frames from `first` on."""

Content = Callable[[int, int], str | None]
"""Name the content of `count` frames of a segment from `first` on: equal names, equal bits; None where it has none."""
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `stop` of a scene; `content` where it can be named without being rendered.

    `memory_bytes` is what it has in memory as long as it lives.
    """

    start: int
    stop: int
    render: Render
    content: Content | None = None
    memory_bytes: int = 0

    @classmethod
    def of_rows(cls, start: int, rows: Tensor) -> "Segment":
        """Make a segment of rows (n, mels) that are in memory, from the scene's frame `start` on.

        Args:
            start: frame of the scene.
            rows: (n, mels) float32.
        """

        def render(out: Tensor, first: int) -> None:
            out.copy_(rows[first : first + len(out)])

        return cls(start, start + len(rows), render, memory_bytes=rows.nbytes)


@dataclass(frozen=True)
class Scene:
    """Normalised features (frames, mels) float32, rendered on demand.

    The segments follow one another from frame 0 on, without gaps.
    """

    segments: tuple[Segment, ...]
    mels: int

    @classmethod
    def of_rows(cls, rows: Tensor) -> "Scene":
        """Make a scene of features (frames, mels) that are in memory."""
        return cls((Segment.of_rows(0, rows),), rows.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, mels)."""
        return self.segments[-1].stop, self.mels

    @property
    def memory_bytes(self) -> int:
        """Bytes of the rows that are in memory."""
        return sum(each.memory_bytes for each in self.segments)

    def render(self, out: Tensor, first: int = 0) -> Tensor:
        """Write frames of the scene into `out`, on the CPU, and return it.

        Args:
            out: (n, mels) float32.
            first: frame of the scene that goes into the first row.
        """
        last = first + len(out)
        for each in self.segments:
            low, high = max(first, each.start), min(last, each.stop)
            if low < high:
                each.render(out[low - first : high - first], low - each.start)
        return out

    def content(self, first: int, count: int) -> bytes | None:
        """Return a key of the content of some frames, without rendering them; None where a segment has no name for it.

        Frames with the same key are the same bits, in whichever scene of the same front end they are.

        Args:
            first: first frame.
            count: number of frames.
        """
        names, last = [], first + count
        for each in self.segments:
            low, high = max(first, each.start), min(last, each.stop)
            if low < high:
                if each.content is None:
                    return None
                name = each.content(low - each.start, high - low)
                if name is None:
                    return None
                names.append(f"{high - low} {name}")
        text = "\n".join(names)
        return hashlib.blake2b(
            text.encode(), digest_size=_DIGEST_BYTES, person=b"niah-scene"
        ).digest()

    def whole(self, out: Tensor | None = None) -> Tensor:
        """Return all rows (frames, mels) float32, in `out` if that is not None.

        Raises:
            NiahError: `out` is no float32 CPU tensor of the scene's shape.
        """
        if out is None:
            out = torch.empty(self.shape)
        elif out.shape != self.shape or out.dtype != torch.float32 or out.device.type != "cpu":
            other = f"{out.dtype} {out.device} {tuple(out.shape)}"
            raise NiahError(f"out must be a float32 CPU tensor of shape {self.shape}, got {other}")
        return self.render(out)


class FeatureBlocks:
    """A batch of scenes (B, frames, mels) that is never whole in memory: a tiled network reads parts of it.

    It has a length and a `shape` and takes an axis of one channel at its end (`unsqueeze(-1)`). Sliced by clips it is a
    batch of fewer scenes; sliced by clips and frames it is a tensor, rendered anew each time. Safe in any thread.
    """

    def __init__(self, scenes: Sequence[Scene], channels: tuple[int, ...] = ()) -> None:
        self.scenes = list(scenes)
        self.channels = channels
        self.shape = torch.Size((len(self.scenes), *self.scenes[0].shape, *channels))

    def __len__(self) -> int:
        return len(self.scenes)

    def unsqueeze(self, dim: int) -> "FeatureBlocks":
        """Return the batch with one channel, (B, frames, mels, 1)."""
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
        with _RENDERING:
            for scene, rows in zip(scenes, out, strict=True):
                scene.render(rows, first)
        return out.view(*out.shape, *self.channels)


def stack(scenes: Sequence[Scene]) -> Tensor:
    """Return the scenes as one tensor (B, frames, mels) float32, each rendered straight into its place."""
    out = torch.empty(len(scenes), *scenes[0].shape)
    for scene, rows in zip(scenes, out, strict=True):
        scene.render(rows)
    return out
