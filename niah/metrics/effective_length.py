"""Effective length: the longest length at which a model keeps a share of its own 10 s score.

L85 and L50 are read from the curve of relative score against length, linear in log length between
the measured lengths:

    L_s = sup { L : r(L) >= s },    r linear in ln L between measured lengths

The 95 % interval reaches from the longest length at which the lower bound of r is at least s to the
longest at which the upper bound is. Each bound is the paired bootstrap's at its length, so the
interval covers L_s as often as the bounds cover r. An end beyond the measured lengths is censored,
not extrapolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isnan, log
from typing import Literal

from niah.errors import NiahError

Censored = Literal["", "<", ">="]
LEVELS = (0.85, 0.5)


@dataclass(frozen=True)
class Reached:
    """The last length at which a curve is at least a share.

    Attributes:
        length_s: seconds.
        censored: "" for a crossing; "<" if the curve is below the share at the shortest length already; ">=" if it is
            not below it at the longest.
    """

    length_s: float
    censored: Censored = ""


@dataclass(frozen=True)
class EffectiveLength:
    """L_`share` with its interval (None without bounds of r).

    `dips`: the curve fell below the share before `at` and recovered, so that the length alone is misleading.
    """

    share: float
    at: Reached
    low: Reached | None
    high: Reached | None
    dips: bool


def effective_length(
    lengths_s: Sequence[float],
    relative: Sequence[float],
    share: float,
    bounds: tuple[Sequence[float], Sequence[float]] | None = None,
) -> EffectiveLength:
    """Compute L_`share` of a curve of relative score against length.

    Args:
        lengths_s: Measured lengths, in any order.
        relative: The score at each length, as a share of the 10 s score.
        share: The least share, in 0..1.
        bounds: (lower, upper) of `relative`, NaN where unknown (those lengths are then ignored).

    Returns:
        The length and its interval.

    Raises:
        NiahError: no length, a length that is not positive or is repeated, different numbers of lengths and values.
    """
    curve = _curve(lengths_s, relative)
    low = high = None
    if bounds is not None:
        low, high = (_bound(lengths_s, each, share) for each in bounds)
    at = _last_reached(curve, share)
    below = [length for length, value in curve if value < share and length < at.length_s]
    return EffectiveLength(share, at, low, high, bool(below) and at.censored != "<")


def _curve(lengths_s: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    if len(lengths_s) != len(values) or not lengths_s:
        raise NiahError(
            f"{len(lengths_s)} lengths for {len(values)} scores: one each, at least one"
        )
    if len(set(lengths_s)) < len(lengths_s) or min(lengths_s) <= 0:
        raise NiahError(f"lengths must be positive and different but are {list(lengths_s)}")
    return sorted(zip(map(float, lengths_s), map(float, values), strict=True))


def _bound(lengths_s: Sequence[float], values: Sequence[float], share: float) -> Reached | None:
    if len(values) != len(lengths_s):
        raise NiahError(f"{len(values)} bounds for {len(lengths_s)} lengths: one each")
    known = [(s, v) for s, v in zip(lengths_s, values, strict=True) if not isnan(v)]
    return _last_reached(_curve(*map(list, zip(*known, strict=True))), share) if known else None


def _last_reached(curve: list[tuple[float, float]], share: float) -> Reached:
    """Return the last place where the curve is at least `share`."""
    if curve[-1][1] >= share:
        return Reached(curve[-1][0], ">=")
    for (s0, v0), (s1, v1) in zip(reversed(curve[:-1]), reversed(curve[1:]), strict=True):
        if v0 >= share:
            part = (v0 - share) / (v0 - v1)
            return Reached(exp(log(s0) + part * (log(s1) - log(s0))))
    return Reached(curve[0][0], "<")
