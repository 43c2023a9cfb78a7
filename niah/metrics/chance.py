"""The part of macro mAP that is there because clips are few, from a run's own chance floor.

The expected AP of random scores is linear in the number of positives P of a class
(`niah.metrics.average_precision.chance_average_precision`), so its mean over classes gives the mean of P back:

    chance = 1/n [H_n + (P-1)/(n-1) (n - H_n)],    excess = chance - P/n

P/n is what random scores get on many clips; the excess is there only because clips are few.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

EXCESS = 0.01  # of mAP: from here on it changes what a table says


def mean_positives(chance_mAP: float, clips: int) -> float:
    """Return the positives of a scored class, averaged over classes, from `chance_mAP` on `clips` clips."""
    harmonic = float(np.sum(1.0 / np.arange(1, clips + 1)))
    if clips < 2:
        return float(clips)
    return 1.0 + (chance_mAP * clips - harmonic) * (clips - 1) / (clips - harmonic)


def chance_excess(chance_mAP: float, clips: int) -> float:
    """Return how far `chance_mAP` lies above that of many clips with as large a share of positives."""
    return chance_mAP - mean_positives(chance_mAP, clips) / clips


def few_clips_warning(cells: "pd.DataFrame") -> str | None:
    """Return what the reader of these cells must know, None when there are clips enough."""
    scored = cells.dropna(subset=["chance_mAP"])
    if scored.empty:
        return None
    chance, clips = float(scored["chance_mAP"].iloc[0]), int(scored["n_clips"].iloc[0])
    excess = chance_excess(chance, clips)
    if excess < EXCESS:
        return None
    positives = mean_positives(chance, clips)
    return (
        f"Few clips: {clips}, with {positives:.1f} positives a class. Random scores get mAP "
        f"{chance:.3f} here and would get {chance - excess:.3f} on many clips: macro mAP rises when "
        "clips are few. Compare scores on these very clips only."
    )
