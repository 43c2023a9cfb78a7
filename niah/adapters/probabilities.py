"""Probabilities that a model gives in the place of logits."""

import numpy as np
from numpy.typing import NDArray

from niah.probabilities import log_odds

LEAST_PROBABILITY = 1e-7


def logits_of(p: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the log odds ln(p / (1 - p)) of probabilities, p kept to [1e-7, 1 - 1e-7].

    Args:
        p: probabilities of any shape.

    Returns:
        float32 of the same shape, from float64.
    """
    return log_odds(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY).astype(np.float32)
