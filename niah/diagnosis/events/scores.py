"""Scores over the time of a scene: one value a place and class.

positions   the logits at every time column of the last map, mean over its rows, for models that have them (DASS)
windows     any model: logits of windows W seconds long, H seconds apart; a place is H seconds wide, and has the
            mean over the windows that cover its centre
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from niah.adapters.protocol import Adapter
from niah.adapters.scoring import scored
from niah.diagnosis.localisation.evidence import position_curve
from niah.metrics.average_precision import Float64, Scores
from niah.placement import FRAMES_PER_SECOND


def position_scores(adapter: Adapter, scene: Tensor) -> tuple[Float64, Scores]:
    """Return edges in seconds, (places + 1,), and scores, (places, classes), by position.

    Args:
        adapter: has logits by position.
        scene: (frames, mels).
    """
    curve = position_curve(adapter, scene)
    last_s = len(scene) / FRAMES_PER_SECOND
    inner = (curve.centres_s[1:] + curve.centres_s[:-1]) / 2.0
    return np.concatenate([[0.0], inner, [last_s]]), curve.values


def window_scores(
    adapter: Adapter,
    scene: Tensor,
    window_s: float,
    hop_s: float,
    batch_size: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Float64, Scores]:
    """Return edges in seconds, (places + 1,), and scores, (places, classes), by windows.

    Args:
        adapter: the model.
        scene: (frames, mels).
        window_s: seconds of a window; of the whole scene where it is shorter.
        hop_s: seconds from one window to the next.
        batch_size: windows in one forward pass.
        advance: gets the number of windows done.
    """
    frames = min(round(window_s * FRAMES_PER_SECOND), len(scene))
    hop = min(round(hop_s * FRAMES_PER_SECOND), frames)
    starts = [*range(0, len(scene) - frames, hop), len(scene) - frames]
    logits = []
    for first in range(0, len(starts), batch_size):
        some = starts[first : first + batch_size]
        windows = torch.stack([scene[start : start + frames] for start in some])
        logits.append(scored(adapter, windows).numpy())
        advance(len(some))
    edges = np.append(np.arange(0, len(scene), hop), len(scene))
    centres = (edges[1:] + edges[:-1]) / 2.0
    offset = centres[:, None] - np.array(starts)[None]
    covers = ((offset >= 0) & (offset < frames)).astype(np.float64)
    scores = (covers / covers.sum(axis=1, keepdims=True)) @ np.concatenate(logits)
    return edges / FRAMES_PER_SECOND, scores.astype(np.float32)
