"""Frames of a stream that do not fill a patch yet."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FrameBuffer:
    """The frames from the next patch's first on, fewer than a patch has.

    Attributes:
        patch: frames of a patch.
        stride: frames from one patch to the next, at most `patch`.
        frames: (B, n, M); None before the first.
    """

    patch: int
    stride: int
    frames: Tensor | None = None

    def add(self, x: Tensor) -> tuple["FrameBuffer", Tensor | None]:
        """Append frames.

        Args:
            x: (B, n, M), n from 0 on.

        Returns:
            The buffer after them, and the frames of all patches that are full, (B, m, M); None if none is.
        """
        frames = x if self.frames is None else torch.cat([self.frames, x], dim=1)
        patches = (frames.shape[1] - self.patch) // self.stride + 1
        if patches < 1:
            return FrameBuffer(self.patch, self.stride, frames), None
        rest = frames[:, patches * self.stride :].clone()  # no view of frames that are done
        ready = frames[:, : (patches - 1) * self.stride + self.patch]
        return FrameBuffer(self.patch, self.stride, rest), ready
