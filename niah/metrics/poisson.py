"""Exact interval of a rate of rare events (Garwood 1936), and the exposure that a rate needs to be resolved.

With k events in H hours the bounds are the rates r at which k or more, and k or fewer, have probability (1 - c) / 2:

    lower: P(X >= k | r H) = (1 - c) / 2        upper: P(X <= k | r H) = (1 - c) / 2        X ~ Poisson(r H)

Without an event the upper bound is -ln((1 - c) / 2) / H = 3.69 / H at c = 0.95: hours without an event say of no
smaller rate that it is not exceeded. A rate r is therefore resolved from 3.69 / r hours on.
"""

from collections.abc import Callable
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError

CONFIDENCE = 0.95
LEAST_EXPECTED = -log((1.0 - CONFIDENCE) / 2.0)  # events: 3.69
_STEPS = 80  # bisections: below the rounding of float64


def rate_interval(events: int, hours: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Compute the bounds of a rate.

    Args:
        events: k.
        hours: H, of exposure.
        confidence: c.

    Returns:
        (lower, upper) events an hour; the lower is 0 without an event.

    Raises:
        NiahError: a negative number of events, or no exposure.
    """
    if events < 0 or not hours > 0:
        raise NiahError(
            f"a rate needs 0 events or more in more than 0 hours, got {events} in {hours:g}"
        )
    tail = (1.0 - confidence) / 2.0
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, events + 1)))])
    most = events + 20.0 * sqrt(events + 1.0) + 40.0
    low = 0.0
    if events > 0:
        low = _where(lambda mean: 1.0 - _at_most(factorials[:-1], mean) >= tail, most)
    high = _where(lambda mean: _at_most(factorials, mean) <= tail, most)
    return low / hours, high / hours


def hours_needed(per_hour: float) -> float:
    """Return the hours of exposure from which a rate is resolved: 3.69 expected events.

    Raises:
        NiahError: the rate is not positive.
    """
    if not per_hour > 0:
        raise NiahError(f"a rate must be positive but is {per_hour:g} an hour")
    return LEAST_EXPECTED / per_hour


def _at_most(factorials: NDArray[np.float64], mean: float) -> float:
    """Return P(X <= k) of Poisson(mean), from ln 0! .. ln k!."""
    if mean <= 0.0:
        return 1.0
    logs = np.arange(factorials.size) * log(mean) - mean - factorials
    return float(np.exp(logs).sum())


def _where(reached: Callable[[float], bool], most: float) -> float:
    """Return the smallest mean in 0..most at which a monotone condition becomes true."""
    low, high = 0.0, most
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
