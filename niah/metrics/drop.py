"""mAP and drop of one cell with their intervals, and the smallest drop that the clips can show.

drop = (base mAP - mAP) / base mAP, both on the same clips and the same draws
"""

from dataclasses import dataclass
from math import nan
from statistics import NormalDist

from niah.metrics.average_precision import Scores, Targets
from niah.metrics.resampling import CONFIDENCE, DRAWS, SEED, Resampled, paired, resample

POWER = 0.8  # of a test at 5 %: how often a drop of the detectable size is found


@dataclass(frozen=True)
class Intervals:
    """95 % bounds of mAP and of drop = (base mAP - mAP) / base mAP; NaN where there is no base."""

    mAP_lo: float
    mAP_hi: float
    drop_lo: float
    drop_hi: float


def bootstrap_drop(
    targets: Targets,
    base_scores: Scores | None,
    scores: Scores,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Intervals:
    """Intervals of `scores`' mAP and of its drop from `base_scores` on the same clips.

    `targets` bool (clips, classes); both score arrays (clips, classes), rows in the same order;
    `base_scores` None when the base was not measured (drop bounds are NaN then).
    """
    sets = [scores] if base_scores is None else [scores, base_scores]
    own, *base = resample(targets, sets, draws, seed)
    return intervals(own, base[0] if base else None)


def intervals(own: Resampled, base: Resampled | None) -> Intervals:
    """The same of scores that were resampled before."""
    mAP_lo, mAP_hi = own.unit_interval()
    if base is None:
        return Intervals(mAP_lo, mAP_hi, nan, nan)
    drop_lo, drop_hi = drop(own, base).interval()
    return Intervals(mAP_lo, mAP_hi, drop_lo, min(drop_hi, 1.0))


def drop(own: Resampled, base: Resampled) -> Resampled:
    """1 - mAP / base mAP."""
    return paired(lambda m, b: 1.0 - m / b, own, base)


def detectable_drop(drop_lo: float, drop_hi: float, power: float = POWER) -> float:
    """The smallest true drop that a test at 5 % on these clips finds with `power`, from the 95 %
    interval of the measured drop.

    (z_0.975 + z_power) SE, SE = (drop_hi - drop_lo) / (2 z_0.975): 1.43 half widths at 80 % power.
    The spread is that at the measured drop; where `drop_hi` was cut at 1 it is a lower bound.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return (z + NormalDist().inv_cdf(power)) / (2 * z) * (drop_hi - drop_lo)
