"""Scenes without a needle: what does a model say when there is nothing to say?

A score that survives in long scenes is worth little if the model says the same of an empty one. On
needle-free scenes of every length, (scenes, classes) scores in 0..1:

    threshold    of a class, fixed at 10 s: the highest at which it finds a stated share (recall) of
                 its positives there
    false alarm  a needle-free scene scored at or above it, for a label that its haystack does not
                 contain; `share` = alarms / scenes. A tagger names a label at most once a scene, so
                 alarms per hour of sound fall with length by themselves and say nothing of a model:
                 they are for comparing models at one length
    drift        mean log odds of a class at one length less that at another: 0 when length alone
                 changes nothing
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from niah.diagnosis.controls.calibration import HIGHEST, LOWEST
from niah.errors import NiahError
from niah.metrics.average_precision import Float64, Scores, Targets, validate

RECALL = 0.8


def thresholds(targets: Targets, scores: Scores, recall: float = RECALL) -> Float64:
    """Compute each class's threshold: the ceil(recall P)-th highest score among its P positives.

    Args:
        targets: of the 10 s cell, (clips, classes) bool.
        scores: of the 10 s cell, (clips, classes) in 0..1.
        recall: share of the positives that the threshold finds.

    Returns:
        (classes,) float64, NaN without a positive.

    Raises:
        NiahError: a recall outside (0, 1].
    """
    validate(targets, scores)
    if not 0.0 < recall <= 1.0:
        raise NiahError(f"recall must be in (0, 1] but is {recall}")
    found = np.full(targets.shape[1], np.nan)
    for index, (hits, column) in enumerate(zip(targets.T, scores.T, strict=True)):
        if hits.any():
            ordered = np.sort(column[hits].astype(np.float64))[::-1]
            found[index] = ordered[ceil(recall * ordered.size - 1e-9) - 1]
    return found


@dataclass(frozen=True)
class FalseAlarms:
    """Per class (classes,): `share` of scenes with an alarm, `per_hour` of sound; NaN where the
    class has no threshold or is truly in the haystack."""

    share: Float64
    per_hour: Float64

    @property
    def mean_per_hour(self) -> float:
        """Mean over the classes that count; NaN when none does."""
        return _mean_of_counted(self.per_hour)

    @property
    def mean_share(self) -> float:
        """Alarms a scene: mean share over the classes that count; NaN when none does."""
        return _mean_of_counted(self.share)

    def worst(self, classes: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
        """Return the classes that are named in most scenes, with their share; those in none are left out."""
        order = np.argsort(-np.nan_to_num(self.share), kind="stable")[:count]
        return [(classes[i], float(self.share[i])) for i in order if self.share[i] > 0]


def _mean_of_counted(values: Float64) -> float:
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if counted.size else float("nan")


def false_alarms(
    scores: Scores,
    fixed: Float64,
    length_s: float,
    contained: NDArray[np.bool_] | None = None,
) -> FalseAlarms:
    """Count the false alarms in needle-free scenes.

    Args:
        scores: (scenes, classes) in 0..1.
        fixed: threshold of each class, (classes,), NaN where it has none.
        length_s: seconds of each scene.
        contained: (classes,) bool, labels truly in the haystack, for which an alarm is not false.

    Raises:
        NiahError: no scene, a length that is not positive, or other numbers of classes.
    """
    if scores.ndim != 2 or scores.shape[0] == 0 or fixed.shape != scores.shape[1:]:
        raise NiahError(
            f"scores must be (scenes, classes) with a threshold a class but are {scores.shape} "
            f"with {fixed.shape}"
        )
    if not length_s > 0:
        raise NiahError(f"length_s must be positive but is {length_s}")
    share = (scores.astype(np.float64) >= fixed).mean(axis=0)
    share[np.isnan(fixed)] = np.nan
    if contained is not None:
        share[contained] = np.nan
    return FalseAlarms(share, share * 3600.0 / length_s)


def score_drift(scores: Scores, reference: Scores) -> Float64:
    """Mean log odds of `scores` less those of `reference`, both (scenes, classes): (classes,).

    Scores are kept off 0 and 1 where float16 rounds to them.
    """
    if scores.ndim != 2 or reference.ndim != 2 or scores.shape[1] != reference.shape[1]:
        raise NiahError(f"scores of {scores.shape} and {reference.shape} have not the same classes")
    return np.asarray(_log_odds(scores).mean(axis=0) - _log_odds(reference).mean(axis=0))


def _log_odds(scores: Scores) -> Float64:
    p = np.clip(scores.astype(np.float64), LOWEST, HIGHEST)
    return np.asarray(np.log(p) - np.log1p(-p))
