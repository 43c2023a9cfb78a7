"""Probabilities of logits, and logits of probabilities, of which rounding may have made 0 or 1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 2.0**-25, 1.0 - 2.0**-12  # probabilities that float16 rounds to 0 and to 1


def sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the sigmoids of logits of any shape, float32, computed in float64."""
    small = np.exp(-np.abs(logits.astype(np.float64)))  # cannot overflow
    return (np.where(logits < 0, small, 1.0) / (1.0 + small)).astype(np.float32)


def are_probabilities(outputs: NDArray[Any]) -> bool:
    """Return whether each output of a model lies in [0, 1]; NaN does not."""
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def clipped(
    p: NDArray[Any], lowest: float = LOWEST, highest: float = HIGHEST
) -> NDArray[np.float64]:
    """Return probabilities of any shape between two bounds off 0 and 1, so that they have log odds; float64."""
    return np.clip(p.astype(np.float64), lowest, highest)


def log_odds(
    p: NDArray[Any], lowest: float = LOWEST, highest: float = HIGHEST
) -> NDArray[np.float64]:
    """Return the logits ln p - ln(1 - p) of probabilities of any shape, clipped to two bounds; float64."""
    inner = clipped(p, lowest, highest)
    return np.asarray(np.log(inner) - np.log1p(-inner))
