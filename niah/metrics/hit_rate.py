"""A hit rate and its 95 % interval, which never has zero width.

The Wilson score interval of a share p of n independent trials is

    (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

Labels of one clip share its scene, and clips of one recording their sound, so pairs are not independent: n is the
number of recordings, or the number of trials that would give the standard error of their totals (ratio estimator)
where that is fewer. Where all are hit, or none, the bounds are the exact ones (Clopper and Pearson): 30 of 30 are
[88, 100] %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from niah.metrics.proportion import proportion_interval

Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class HitRate:
    """A share in 0..1 with the bounds of its 95 % interval."""

    estimate: float
    lo: float
    hi: float


def hit_rate(recordings: Sequence[str], hits: Sequence[float]) -> HitRate:
    """Compute the mean of `hits` and its interval.

    Args:
        recordings: the recording of each pair, or its clip where that is its own.
        hits: hit of each (clip, label) pair in 0..1, a share where several places tie.

    Returns:
        The rate and its interval.
    """
    ids = {clip: index for index, clip in enumerate(dict.fromkeys(recordings))}
    totals, counts = np.zeros(len(ids)), np.zeros(len(ids))
    for recording, hit in zip(recordings, hits, strict=True):
        totals[ids[recording]] += hit
        counts[ids[recording]] += 1
    rate = float(totals.sum() / counts.sum())
    trials = float(len(ids))
    variance = float(((totals - rate * counts) ** 2).sum() / counts.sum() ** 2)
    if len(ids) > 1 and variance > 0:
        variance *= len(ids) / (len(ids) - 1)
        trials = min(trials, max(1.0, rate * (1 - rate) / variance))
    if rate in (0.0, 1.0):
        return HitRate(rate, *proportion_interval(len(ids) * int(rate), len(ids)))
    return HitRate(rate, *wilson_interval(rate, trials))


def wilson_interval(rate: float, trials: float) -> tuple[float, float]:
    """Compute the bounds of the 95 % Wilson interval.

    Args:
        rate: the share of successes, in 0..1.
        trials: number of trials; need not be whole.

    Returns:
        (lower, upper) in 0..1.
    """
    square = Z**2 / trials
    middle = (rate + square / 2) / (1 + square)
    half = Z * sqrt(rate * (1 - rate) / trials + Z**2 / (4 * trials**2)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
