"""The part of macro mAP that is due to few clips, computed from a run's chance mAP.

The expected AP of random scores is linear in the number of positives P of a class
(`niah.metrics.average_precision.chance_average_precision`), so the mean of P follows from its mean over classes:

    chance = 1/n [H_n + (P-1)/(n-1) (n - H_n)],    excess = chance - P/n

P/n is the score of random scores on many clips; the excess is due to few clips.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FEWEST_RECORDINGS = 10  # from which on intervals are right
ONE_RECORDING = (
    "Scores have no intervals (those of one recording have none): nothing says what other clips would give, and no "
    "difference is tested."
)
EXCESS = 0.01  # of mAP, from which a table needs a warning


def mean_positives(chance_mAP: float, clips: int) -> float:
    """Compute the mean number of positives of a scored class.

    Args:
        chance_mAP: expected mAP of random scores, 0..1.
        clips: number of clips.

    Returns:
        The mean over classes.
    """
    harmonic = float(np.sum(1.0 / np.arange(1, clips + 1)))
    if clips < 2:
        return float(clips)
    return 1.0 + (chance_mAP * clips - harmonic) * (clips - 1) / (clips - harmonic)


def chance_excess(chance_mAP: float, clips: int) -> float:
    """Compute by how much `chance_mAP` exceeds that of many clips with the same share of positives.

    Args:
        chance_mAP: expected mAP of random scores, 0..1.
        clips: number of clips.

    Returns:
        The difference, 0..1.
    """
    return chance_mAP - mean_positives(chance_mAP, clips) / clips


def one_recording_warning(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """Return a warning for scores without intervals, by rows of cells.csv; None where a score has one.

    Args:
        rows: with mAP and mAP_lo, missing or None where they are unknown.
    """
    lows = [row.get("mAP_lo") for row in rows if row.get("mAP") is not None]
    return ONE_RECORDING if lows and all(low is None for low in lows) else None


def few_recordings_warning(recordings: object) -> str | None:
    """Return a warning for clips of few recordings; None of enough, or where their number is unknown."""
    if not isinstance(recordings, int) or recordings >= FEWEST_RECORDINGS:
        return None
    return (
        f"Few recordings: {recordings}. Clips of one recording are alike, and from fewer than {FEWEST_RECORDINGS} "
        "of them intervals are too narrow: those of a drop contain the truth in 87 of 100 simulated lists of six "
        "recordings, in 89 of three (docs/intervals.md)."
    )


def few_clips_warning(cells: "pd.DataFrame") -> str | None:
    """Return a warning for the reader of these cells; None when there are enough clips."""
    scored = cells.dropna(subset=["chance_mAP"])
    if scored.empty:
        return None
    chance, clips = float(scored["chance_mAP"].iloc[0]), int(scored["n_clips"].iloc[0])
    if chance >= 1.0:
        return (
            "Every clip has all classes that are scored: mAP is 1 whatever the scores. Clips without a class need a "
            "label of another, as of one for everything else."
        )
    excess = chance_excess(chance, clips)
    if excess < EXCESS:
        return None
    positives = mean_positives(chance, clips)
    return (
        f"Few clips: {clips}, with {positives:.1f} positives a class. Random scores get mAP "
        f"{chance:.3f} here and would get {chance - excess:.3f} on many clips: macro mAP rises when "
        "clips are few. Compare scores on these very clips only."
    )
