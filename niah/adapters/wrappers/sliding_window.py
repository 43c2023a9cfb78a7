"""The sliding window: any tagger over windows of the length it was trained on, one score a class for the whole.

Windows of `frames` frames start `hop` frames apart; the last one ends with the input. A window of 10 s has as many
frames as a needle (`needle_frames`); an input shorter than a window is one window. With x_w the logit of a class in
window w of W, the pooled logit is that of the probability

    max         max_w sigmoid(x_w)                     the event is there if it is in any window
    mean        mean_w sigmoid(x_w)                    HTS-AT's and PaSST's rule for long input
    noisy-or    1 - prod_w (1 - sigmoid(x_w))          windows as independent witnesses

computed from log-probabilities in float64, which neither overflow nor lose the small end. Only noisy-or needs a clamp:
its logit is ln(1 - e^s) - s with s = sum_w ln(1 - p_w), and s is clamped to minus the smallest normal float64, so
that no logit falls below -708.
"""

import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from niah.adapters.loading import adapter_info
from niah.adapters.protocol import Adapter
from niah.placement import FRAMES_PER_SECOND, NEEDLE_ALONE_S

_LEAST = sys.float_info.min


class SlidingWindow:
    """`adapter` applied to windows of `window_s` seconds, `hop_s` apart; itself an adapter.

    Args:
        adapter: scores each window.
        window_s: length of a window.
        hop_s: from one window to the next; None is half a window.
        pool: a key of `POOLS`.
        windows_at_once: number of windows in one forward pass.
    """

    def __init__(
        self,
        adapter: Adapter,
        window_s: float,
        hop_s: float | None = None,
        pool: str = "max",
        windows_at_once: int = 1,
    ) -> None:
        self.adapter = adapter
        self.name = adapter.name
        self.sample_rate = adapter.sample_rate
        self.frontend = adapter.frontend
        self.labels = adapter.labels
        self.frames, self.hop = window_frames(window_s, hop_s, adapter.frontend.needle_frames)
        self.kernel = f"{adapter.kernel}+window-{pool}-hop{hop_s or window_s / 2:g}s"
        self.windows_at_once = windows_at_once
        self._pool = POOLS[pool]

    def logits(self, features: Tensor) -> Tensor:
        """Compute logits: (B, frames, mels) -> (B, classes) float32."""
        return self._pool(self._groups(features)).float()

    def _groups(self, features: Tensor) -> Iterator[Tensor]:
        """Yield logits (windows, B, classes) float64, of the windows of one forward pass each."""
        batch, frames, mels = features.shape
        starts = window_starts(frames, self.frames, self.hop)
        together = max(1, self.windows_at_once // batch)
        for first in range(0, len(starts), together):
            group = starts[first : first + together]
            windows = torch.stack([features[:, start : start + self.frames] for start in group])
            logits = self.adapter.logits(windows.view(-1, windows.shape[2], mels))
            yield logits.double().view(len(group), batch, -1)


def over_windows(adapter: Adapter) -> Adapter:
    """Return the adapter, over windows where it pads or crops every input to one length."""
    fixed_s = adapter_info(adapter).fixed_seconds
    return adapter if fixed_s is None else SlidingWindow(adapter, fixed_s)


def window_frames(window_s: float, hop_s: float | None, needle_frames: int) -> tuple[int, int]:
    """Convert a window and its hop from seconds to frames.

    Args:
        window_s: 10 s is as long as a needle.
        hop_s: None is half a window.
        needle_frames: frames of a needle in the model's front end.

    Returns:
        (frames of a window, frames from one window to the next).
    """
    alone = window_s == NEEDLE_ALONE_S
    frames = needle_frames if alone else round(window_s * FRAMES_PER_SECOND)
    hop = frames // 2 if hop_s is None else round(hop_s * FRAMES_PER_SECOND)
    return frames, max(1, hop)


def window_starts(frames: int, window: int, hop: int | None = None) -> list[int]:
    """Compute the first frame of each window; the last window ends with the input.

    Args:
        frames: of the input.
        window: frames of a window.
        hop: frames from one window to the next; None is half a window.

    Returns:
        First frames, in order.
    """
    if frames <= window:
        return [0]
    return [*range(0, frames - window, hop or max(1, window // 2)), frames - window]


def _max(groups: Iterator[Tensor]) -> Tensor:
    best = next(groups).amax(dim=0)
    for logits in groups:
        best = torch.maximum(best, logits.amax(dim=0))
    return best


def _mean(groups: Iterator[Tensor]) -> Tensor:
    """Compute ln(sum p) - ln(sum (1 - p)): the factors 1 / W cancel."""
    first = next(groups)
    present, absent = logsigmoid(first).logsumexp(dim=0), logsigmoid(-first).logsumexp(dim=0)
    for logits in groups:
        present = torch.logaddexp(present, logsigmoid(logits).logsumexp(dim=0))
        absent = torch.logaddexp(absent, logsigmoid(-logits).logsumexp(dim=0))
    return present - absent


def _noisy_or(groups: Iterator[Tensor]) -> Tensor:
    """Compute ln(1 - e^s) - s, s = sum ln(1 - p)."""
    s = logsigmoid(-next(groups)).sum(dim=0)
    for logits in groups:
        s = s + logsigmoid(-logits).sum(dim=0)
    s = s.clamp_max(-_LEAST)
    return torch.log(-torch.expm1(s)) - s


POOLS: dict[str, Callable[[Iterator[Tensor]], Tensor]] = {
    "max": _max,
    "mean": _mean,
    "noisy-or": _noisy_or,
}
