"""mAP, drop and chance-adjusted retention of one cell with intervals, and the smallest detectable drop.

    drop       (b - m) / b                    m the cell's mAP, b the 10 s score: same clips, same draws
    adjusted   (m - c) / (b - c)              c the mAP of random scores: 1 for an unchanged score, 0 at chance

A share of b is misleading where c is a large part of it: at c = 0.15, a fall from 0.30 to chance "keeps half".

Interval of a drop d with standard error SE. If some clips are missed completely in the long scene, a list with few of
them shows a small drop and a small spread: symmetric bounds miss the truth on the high side (89 % instead of 95).
Bounds on a scale that is logarithmic in d are wider on that side. As d may also be 0 or negative, the scale is

    u = asinh(d / 3 SE)        bounds  3 SE sinh(u -+ t SE / sqrt(d^2 + 9 SE^2))

which is d exp(-+ t SE / d) for d >> 3 SE. It is used where d differs significantly from 0; else the bounds are
d -+ t SE. SE and t are those of `niah.metrics.resampling`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import asinh, isnan, nan, sinh, sqrt
from statistics import NormalDist

from niah.metrics.resampling import CONFIDENCE, Resampled, paired

POWER = 0.8  # of a test at 5 %: how often it detects a drop of the detectable size
LINEAR_WITHIN = 3.0  # standard errors of 0, where the scale turns from linear to logarithmic


@dataclass(frozen=True)
class Intervals:
    """95 % bounds of mAP, of drop and of chance-adjusted retention; NaN without a base."""

    mAP_lo: float
    mAP_hi: float
    drop_lo: float
    drop_hi: float
    adjusted: float
    adjusted_lo: float
    adjusted_hi: float


def intervals(own: Resampled, base: Resampled | None, chance: float = nan) -> Intervals:
    """Compute the bounds of a cell.

    Args:
        own: mAP of the cell.
        base: mAP of the needle alone on the same clips and draws; None if it was not measured.
        chance: expected mAP of random scores on these clips. `adjusted` is NaN where it is NaN, or where the base does
            not differ significantly from it.

    Returns:
        The bounds.
    """
    mAP_lo, mAP_hi = own.unit_interval()
    if base is None:
        return Intervals(mAP_lo, mAP_hi, *(nan,) * 5)
    if own is base:  # the base itself: its drop is 0 by definition
        return Intervals(mAP_lo, mAP_hi, 0.0, 0.0, 1.0, 1.0, 1.0)
    drop_lo, drop_hi = drop_interval(drop(own, base))
    adjusted = (nan, nan, nan)
    if base.unit_interval()[0] > chance:
        lost = paired(lambda m, b: (b - m) / (b - chance), own, base)
        lost_lo, lost_hi = drop_interval(lost)
        adjusted = (1.0 - lost.estimate, 1.0 - lost_hi, 1.0 - lost_lo)
    return Intervals(mAP_lo, mAP_hi, drop_lo, min(drop_hi, 1.0), *adjusted)


def drop(own: Resampled, base: Resampled) -> Resampled:
    """Compute 1 - mAP / base mAP, draw by draw.

    Args:
        own: mAP of the cell.
        base: mAP of the needle alone, resampled alike.

    Returns:
        The drop, resampled.
    """
    return paired(lambda m, b: 1.0 - m / b, own, base)


def drop_interval(drop: Resampled, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Compute the bounds of a drop, on the scale in the module's docstring.

    A drop without spread gets the bounds of a proportion of as many recordings, on both sides.

    Args:
        drop: resampled.
        confidence: of the interval.

    Returns:
        (lower, upper), never equal; NaN where the drop is undefined.
    """
    d, error = drop.estimate, drop.standard_error
    if isnan(error) or isnan(d):
        return nan, nan
    low, high = drop.interval(confidence)
    if low <= 0.0 or not error > 0.0:
        return low, high
    scale = LINEAR_WITHIN * error
    place = asinh(d / scale)
    half = (d - low) / sqrt(d * d + scale * scale)
    return scale * sinh(place - half), scale * sinh(place + half)


def detectable_drop(drop_lo: float, drop_hi: float, power: float = POWER) -> float:
    """Compute the smallest true drop that a test at 5 % on these clips detects with a given power.

    (z_0.975 + z_power) SE, SE = (drop_hi - drop_lo) / (2 z_0.975): 1.43 half widths at 80 % power. The spread grows
    with the drop, so the bounds should be those of a small one (`smallest_drop`).

    Args:
        drop_lo: lower bound.
        drop_hi: upper bound.
        power: of the test.

    Returns:
        A drop, as a share.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return (z + NormalDist().inv_cdf(power)) / (2 * z) * (drop_hi - drop_lo)


def smallest_drop(
    bounds: Iterable[tuple[float, float, float]],
) -> tuple[float, float, float] | None:
    """Return the (drop, drop_lo, drop_hi) whose drop is nearest to 0; None without any."""
    return min(bounds, key=lambda each: abs(each[0]), default=None)
