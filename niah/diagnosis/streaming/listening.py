"""One scene through one model, hop by hop: what it says after each hop, what that costs, what it has to remember.

After hop k the model has heard the scene's first (k + 1) H frames, and nothing later: it is handed one hop at a time.
The last hop is what is left.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from niah.adapters.streaming import Streams, next_logits, state_bytes
from niah.metrics.average_precision import Float64, Scores
from niah.placement import FRAMES_PER_SECOND
from niah.scenes.lazy import Scene

_RENDERED_FRAMES = 3000  # at a time: a hop by itself costs more


@dataclass(frozen=True)
class Heard:
    """Answers of a model to one scene, hop by hop.

    Attributes:
        ends_s: (hops,) seconds of the scene heard so far.
        logits: (hops, classes); minus infinity before the model has heard enough.
        seconds: (hops,) wall-clock time of each hop, without the making of the scene.
        state_bytes: (hops,) of the state after each hop.
    """

    ends_s: Float64
    logits: Scores
    seconds: Float64
    state_bytes: NDArray[np.int64]

    @property
    def hop_seconds(self) -> float:
        """Return the median seconds of a hop; the first one warms up."""
        return float(np.median(self.seconds[1:] if len(self.seconds) > 1 else self.seconds))

    @property
    def state_growth(self) -> float:
        """Return the bytes of state at the end over those in the middle: 1 for a state that stays as it is."""
        middle = int(self.state_bytes[len(self.state_bytes) // 2])
        return float(self.state_bytes[-1]) / middle if middle else 1.0

    @property
    def slowdown(self) -> float:
        """Return the median seconds of the last quarter's hops over those of the second quarter."""
        quarter = max(1, len(self.seconds) // 4)
        early, late = self.seconds[quarter : 2 * quarter], self.seconds[-quarter:]
        return float(np.median(late) / np.median(early)) if len(early) else 1.0


def listen(
    stream: Streams, scene: Scene, hop: int, classes: int, columns: list[int] | None = None
) -> Heard:
    """Feed a scene to a model.

    Args:
        stream: the model.
        scene: its rows are rendered as they are needed.
        hop: frames of a hop.
        classes: number of the model's classes.
        columns: those whose logits are returned; None for all.

    Raises:
        NiahError: the model's `step` returns something else than logits.
    """
    frames = scene.shape[0]
    ends = [*range(hop, frames, hop), frames]
    block = max(1, _RENDERED_FRAMES // hop) * hop
    state = stream.start()
    said, seconds, sizes = [], [], []
    rows, first = torch.empty(0, scene.mels), 0
    for end in ends:
        start = end - (end % hop or hop)
        if start >= first + len(rows):
            first = start
            rows = scene.render(torch.empty(min(block, frames - first), scene.mels), first)
        piece = rows[start - first : end - first].unsqueeze(0).clone()
        begin = time.perf_counter()
        state, logits = next_logits(stream, state, piece, classes)
        seconds.append(time.perf_counter() - begin)
        said.append(logits if columns is None else logits[columns])
        sizes.append(state_bytes(state))
    return Heard(
        np.array(ends) / FRAMES_PER_SECOND,
        np.array(said, dtype=np.float32),
        np.array(seconds),
        np.array(sizes, dtype=np.int64),
    )
