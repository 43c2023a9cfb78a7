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

Equal windows, of one scene or of several, can be scored once (`niah.adapters.reuse`): the answers are the same bits.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from niah.adapters.loading import adapter_info
from niah.adapters.protocol import Adapter
from niah.adapters.reuse import AnswerMemory, Array, Item, ReusingScorer, is_steady
from niah.adapters.scoring import scored
from niah.placement import FRAMES_PER_SECOND, NEEDLE_ALONE_S
from niah.scenes.lazy import FeatureBlocks

_LEAST = sys.float_info.min
_POOLED_AT_ONCE = 256  # windows
_ROUNDING = 1e-6  # of frames: 0.29 s times 100 is 28.999..
_TIMED = 1000  # the newest forward passes


class SlidingWindow:
    """`adapter` applied to windows of `window_s` seconds, `hop_s` apart; itself an adapter.

    Args:
        adapter: scores each window.
        window_s: length of a window.
        hop_s: from one window to the next; None is half a window.
        pool: a key of `POOLS`.
        windows_at_once: number of windows in one forward pass.
        reuse: score equal windows once.
    """

    def __init__(
        self,
        adapter: Adapter,
        window_s: float,
        hop_s: float | None = None,
        pool: str = "max",
        windows_at_once: int = 1,
        *,
        reuse: bool = False,
    ) -> None:
        self.adapter = adapter
        self.name = adapter.name
        self.sample_rate = adapter.sample_rate
        self.frontend = adapter.frontend
        self.labels = adapter.labels
        self.frames, self.hop = window_frames(
            window_s, hop_s, adapter.frontend.needle_frames, adapter_info(adapter).fixed_seconds
        )
        self.kernel = f"{adapter.kernel}+window-{pool}-hop{hop_s or window_s / 2:g}s"
        self.windows_at_once = windows_at_once
        self.windows_scored = 0
        self._reuse = reuse
        self._pool = POOLS[pool]
        self._scorers: dict[tuple[int, int], ReusingScorer] = {}  # by frames and windows at once
        self._memories: dict[int, AnswerMemory] = {}  # by windows at once
        self._seconds: dict[int, deque[float]] = {}  # of a window in a forward pass, by its frames

    def logits(self, features: Tensor | FeatureBlocks) -> Tensor:
        """Compute logits: (B, frames, mels), in memory or rendered on demand -> (B, classes) float32."""
        batch, frames, _ = features.shape
        size, starts = min(frames, self.frames), window_starts(frames, self.frames, self.hop)
        scorer = self._scorer(size, max(self.windows_at_once, batch))
        before = scorer.scored
        answers = scorer(_windows(features, starts, size))
        self.windows_scored += scorer.scored - before
        logits = torch.from_numpy(answers).view(batch, len(starts), -1).transpose(0, 1)
        return self._pool(part.double() for part in torch.split(logits, _POOLED_AT_ONCE)).float()

    def scene_latency_s(self, frames: int) -> float | None:
        """Return the seconds of forward passes of a scene whose windows are all scored: the median window's times them.

        Args:
            frames: of the scene.

        Returns:
            None before a window of this size was scored.
        """
        seconds = self._seconds.get(min(frames, self.frames))
        if not seconds:
            return None
        times = list(seconds)
        return median(times[1:] or times) * len(window_starts(frames, self.frames, self.hop))

    def _scorer(self, frames: int, at_once: int) -> ReusingScorer:
        if (frames, at_once) not in self._scorers:
            score = partial(
                self._window_logits, self._seconds.setdefault(frames, deque(maxlen=_TIMED))
            )
            shape = frames, self.frontend.mels
            reuse = self._reuse and is_steady(partial(self._window_logits, []), shape, at_once)
            memory = self._memories.setdefault(at_once, AnswerMemory()) if reuse else None
            self._scorers[frames, at_once] = ReusingScorer(score, at_once, memory)
        return self._scorers[frames, at_once]

    def _window_logits(self, seconds: "deque[float] | list[float]", windows: Array) -> Array:
        """(n, frames, mels) -> (n, classes) float32."""
        begin = time.perf_counter()
        logits: Array = scored(self.adapter, torch.from_numpy(windows)).numpy()
        seconds.append((time.perf_counter() - begin) / len(windows))
        return logits


def _windows(features: Tensor | FeatureBlocks, starts: list[int], frames: int) -> Iterator[Item]:
    """Yield the windows of one scene after another."""
    for number in range(len(features)):
        if isinstance(features, Tensor):
            rows = features[number].detach().float().cpu().contiguous().numpy()
            yield from ((None, partial(_rows, rows, start, frames)) for start in starts)
        else:
            scene, read = features.scenes[number], _Reader(features, number, frames)
            yield from ((scene.content(start, frames), partial(read, start)) for start in starts)


def _rows(features: Array, start: int, frames: int) -> Array:
    return features[start : start + frames]


class _Reader:
    """Windows of one scene, from the first to the last: what the one before had of the next is not rendered again."""

    def __init__(self, blocks: FeatureBlocks, number: int, frames: int) -> None:
        self._blocks, self._number, self._frames = blocks, number, frames
        self._start, self._rows = 0, np.empty((0, blocks.shape[2]), np.float32)

    def __call__(self, start: int) -> Array:
        """Return the rows (frames, mels) from the frame `start` on."""
        shared = self._rows[start - self._start :]
        first = start + len(shared)
        more = self._blocks[self._number : self._number + 1, first : start + self._frames][0]
        self._start, self._rows = start, np.concatenate([shared, more.numpy()])
        return self._rows


def over_windows(adapter: Adapter, windows_at_once: int = 1, *, reuse: bool = False) -> Adapter:
    """Return the adapter, over windows where it pads or crops every input to one length.

    Args:
        adapter: the model.
        windows_at_once: number of windows in one forward pass.
        reuse: score equal windows once.
    """
    fixed_s = adapter_info(adapter).fixed_seconds
    if fixed_s is None:
        return adapter
    return SlidingWindow(adapter, fixed_s, windows_at_once=windows_at_once, reuse=reuse)


def window_frames(
    window_s: float, hop_s: float | None, needle_frames: int, fixed_s: float | None = None
) -> tuple[int, int]:
    """Convert a window and its hop from seconds to frames.

    Args:
        window_s: 10 s is as long as a needle.
        hop_s: None is half a window.
        needle_frames: frames of a needle in the model's front end.
        fixed_s: length that the model pads or crops to, of which a window is whole frames at most; None for none.

    Returns:
        (frames of a window, frames from one window to the next).
    """
    alone = window_s == NEEDLE_ALONE_S
    frames = needle_frames if alone else round(window_s * FRAMES_PER_SECOND)
    if fixed_s is not None and not alone and window_s <= fixed_s:
        frames = min(frames, int(fixed_s * FRAMES_PER_SECOND + _ROUNDING))
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
