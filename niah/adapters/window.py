"""The sliding-window baseline: any tagger over windows of the length it was trained on, one score for all.

The score of a class is its largest over the windows: the event is there if it is in any window. Windows lie half
their length apart; the last one ends with the input.
"""

import torch
from torch import Tensor

from niah.adapters import Adapter
from niah.placement import FRAMES_PER_SECOND, NEEDLE_ALONE_S


class SlidingWindow:
    """`adapter` applied to windows of `window_s` seconds; itself an adapter."""

    def __init__(self, adapter: Adapter, window_s: float) -> None:
        self.adapter = adapter
        self.name = adapter.name
        self.sample_rate = adapter.sample_rate
        self.frontend = adapter.frontend
        self.labels = adapter.labels
        self.kernel = f"{adapter.kernel}+window-max"
        alone = window_s == NEEDLE_ALONE_S
        self.frames = (
            adapter.frontend.needle_frames if alone else round(window_s * FRAMES_PER_SECOND)
        )

    def logits(self, features: Tensor) -> Tensor:
        """(B, frames, mels) -> (B, classes): the maximum over windows, one window at a time in memory."""
        best: Tensor | None = None
        for start in window_starts(features.shape[1], self.frames):
            scores = self.adapter.logits(features[:, start : start + self.frames])
            best = scores if best is None else torch.maximum(best, scores)
        assert best is not None
        return best


def window_starts(frames: int, window: int) -> list[int]:
    """First frames of windows half their length apart; the last ends with the input."""
    if frames <= window:
        return [0]
    starts = list(range(0, frames - window, max(1, window // 2)))
    return [*starts, frames - window]
