"""Exact interval of a proportion (Clopper and Pearson 1934), never of zero width.

With k of n successes the bounds are the proportions p at which k or more, and k or fewer, have probability (1 - c) / 2:

    lower: P(X >= k | p) = (1 - c) / 2        upper: P(X <= k | p) = (1 - c) / 2        X ~ Binomial(n, p)

30 of 30 is [0.884, 1] at c = 0.95; of n of n the lower bound is ((1 - c) / 2)^(1/n), the two-sided rule of three.
"""

from collections.abc import Callable
from math import exp, lgamma, log, nan

from niah.errors import NiahError

_STEPS = 60  # bisections: to 1e-18


def proportion_interval(
    successes: int, trials: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the Clopper-Pearson bounds of a proportion.

    Args:
        successes: k.
        trials: n.
        confidence: c.

    Returns:
        (lower, upper) in 0..1; NaN without a trial.

    Raises:
        NiahError: fewer than 0 or more than `trials` successes.
    """
    if not 0 <= successes <= trials:
        raise NiahError(f"successes must be 0 to {trials} but are {successes}")
    if trials == 0:
        return nan, nan
    tail = (1.0 - confidence) / 2.0
    low = _where(lambda p: _at_least(successes, trials, p) >= tail) if successes > 0 else 0.0
    failures = trials - successes
    high = 1.0 - _where(lambda q: _at_least(failures, trials, q) >= tail) if failures > 0 else 1.0
    return low, high


def _at_least(k: int, n: int, p: float) -> float:
    """Return P(X >= k) of Binomial(n, p), 0 < p < 1."""
    whole = lgamma(n + 1)
    logs = (
        whole - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log(1.0 - p)
        for i in range(k, n + 1)
    )
    return sum(map(exp, logs))


def _where(reached: Callable[[float], bool]) -> float:
    """Return the smallest p in 0..1 at which a monotone condition becomes true."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
