"""Scenes without a needle: false alarms and drift of scores with length.

A score that survives in long scenes means little if the model gives it to an empty scene too. On
needle-free scenes of every length, (scenes, classes) scores in 0..1:

    threshold    of a class, fixed at 10 s: the highest at which a stated share (recall) of its
                 positives there is detected. The lowest of all classes' scores is no detection where
                 clips without the label have it too: so a system that names or does not name says
                 no. Then it is the lowest score above of a positive, infinite without one
    false alarm  a needle-free scene scored at or above it, for a label that its haystack does not
                 contain; `share` = alarms / scenes. A tagger names a label at most once a scene, so
                 alarms an hour of sound would fall with length for any model
    drift        mean log odds of a class at one length less that at another: 0 when length alone
                 changes nothing
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.metrics.average_precision import Float64, Scores, Targets, validate
from niah.probabilities import log_odds

RECALL = 0.8


def thresholds(targets: Targets, scores: Scores, recall: float = RECALL) -> Float64:
    """Compute each class's threshold: the ceil(recall P)-th highest score among its P positives, above unnamed ones.

    Args:
        targets: of the 10 s cell, (clips, classes) bool.
        scores: of the 10 s cell, (clips, classes) in 0..1.
        recall: share of the positives that the threshold detects.

    Returns:
        (classes,) float64, NaN without a positive.

    Raises:
        NiahError: a recall outside (0, 1].
    """
    validate(targets, scores)
    if not 0.0 < recall <= 1.0:
        raise NiahError(f"recall must be in (0, 1] but is {recall}")
    lowest, unnamed = np.full(targets.shape[1], np.nan), scores.min(initial=np.inf)
    names_some = scores.max(initial=-np.inf) > unnamed
    for index, (hits, column) in enumerate(zip(targets.T, scores.T, strict=True)):
        if hits.any():
            ordered = np.sort(column[hits].astype(np.float64))[::-1]
            lowest[index] = ordered[ceil(recall * ordered.size - 1e-9) - 1]
            if names_some and lowest[index] == unnamed and (column[~hits] == unnamed).any():
                lowest[index] = min(ordered[ordered > unnamed], default=np.inf)
    return lowest


@dataclass(frozen=True)
class FalseAlarms:
    """False alarms of each class; NaN where it has no threshold or is in the haystack.

    Attributes:
        share: of scenes with an alarm, (classes,).
    """

    share: Float64

    @property
    def mean_share(self) -> float:
        """Return the alarms a scene, the mean share over the classes that count; NaN when none does."""
        return _mean_of_counted(self.share)

    def worst(self, classes: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
        """Return the classes with alarms in most scenes, with their share; only those with any."""
        order = np.argsort(-np.nan_to_num(self.share), kind="stable")[:count]
        return [(classes[i], float(self.share[i])) for i in order if self.share[i] > 0]


def _mean_of_counted(values: Float64) -> float:
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if counted.size else float("nan")


def false_alarms(
    scores: Scores,
    fixed: Float64,
    contained: NDArray[np.bool_] | None = None,
) -> FalseAlarms:
    """Count the false alarms in needle-free scenes.

    Args:
        scores: (scenes, classes) in 0..1.
        fixed: threshold of each class, (classes,), NaN where it has none.
        contained: (classes,) bool, labels that are in the haystack, for which an alarm is not false.

    Returns:
        The alarms of each class.

    Raises:
        NiahError: no scene, or other numbers of classes.
    """
    if scores.ndim != 2 or scores.shape[0] == 0 or fixed.shape != scores.shape[1:]:
        raise NiahError(
            f"scores must be (scenes, classes) with a threshold a class but are {scores.shape} "
            f"with {fixed.shape}"
        )
    share = (scores.astype(np.float64) >= fixed).mean(axis=0)
    share[np.isnan(fixed)] = np.nan
    if contained is not None:
        share[contained] = np.nan
    return FalseAlarms(share)


def score_drift(scores: Scores, reference: Scores) -> Float64:
    """Compute the mean log odds of scores less those of a reference; scores are clipped where float16 rounds to 0 or 1.

    Args:
        scores: (scenes, classes) in 0..1.
        reference: (scenes, classes) in 0..1.

    Returns:
        (classes,) float64.

    Raises:
        NiahError: other numbers of classes.
    """
    if scores.ndim != 2 or reference.ndim != 2 or scores.shape[1] != reference.shape[1]:
        raise NiahError(
            f"scores of {scores.shape} and {reference.shape} do not have the same classes"
        )
    return np.asarray(log_odds(scores).mean(axis=0) - log_odds(reference).mean(axis=0))
