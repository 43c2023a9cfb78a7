"""Means over clips, resampled by recording as scores are (`niah.metrics.resampling`)."""

from collections.abc import Sequence
from math import nan

import numpy as np

from niah.metrics.average_precision import Float64
from niah.metrics.draws import drawn, group_count, group_indices, left_out
from niah.metrics.resampling import DRAWS, SEED, Resampled
from niah.metrics.weighted_precision import Counts


def resample_mean(
    values: Float64,
    *,
    groups: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Resampled:
    """Compute the mean of a value a clip.

    Args:
        values: (clips,); NaN for clips that do not count.
        groups: the recording of each clip, (clips,), drawn and left out as a whole; None if each clip is its own.
        draws: number of drawn lists.
        seed: of the draws.

    Returns:
        The mean; its units are the recordings with a clip that counts.
    """
    counted = np.isfinite(values)
    own_groups = None if groups is None else [groups[i] for i in np.flatnonzero(counted).tolist()]
    own = values[counted]
    of = group_indices(own_groups, own.size)

    def means(counts: Counts) -> Float64:
        return np.asarray((own @ counts) / counts.sum(axis=0), dtype=np.float64)

    if own.size == 0:
        return Resampled(nan, np.empty(0), np.empty(0))
    lists = np.concatenate([means(counts) for counts in drawn(of, draws, draws, seed)])
    with np.errstate(invalid="ignore"):  # of a single group nothing is left
        left = np.concatenate([means(counts) for counts in left_out(of, group_count(of))])
    return Resampled(float(own.mean()), lists, left, group_count(of))
