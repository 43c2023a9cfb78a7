"""mAP of the list without each clip in turn, in closed form: one sort a class, no n evaluations.

With P positives, and TP_p, N_p the positives and clips ranked up to the end of positive p's tie
group, AP = 1/P sum_p TP_p / N_p. Without a clip i, N of every positive at or below i's group is one
less, and TP too if i was positive:

    i negative:  1/P     [ sum_{p above i} TP_p / N_p  +  sum_{p not above i} TP_p / (N_p - 1) ]
    i positive:  1/(P-1) [ sum_{p above i} TP_p / N_p  +  sum_{p not above i, not i} (TP_p - 1) / (N_p - 1) ]

A class whose only positive is left out is not in the mean, as in mAP.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64, Ranking


def leave_one_out_map(rankings: Sequence[Ranking], clips: int) -> tuple[float, Float64]:
    """Compute mAP of the whole list, and without each clip.

    Args:
        rankings: of the classes with a positive.
        clips: number of clips.

    Returns:
        mAP, and (clips,) float64; NaN where no class is left.
    """
    if not rankings:
        return nan, np.full(clips, nan)
    total, whole = np.zeros(clips), 0.0
    classes = np.full(clips, len(rankings))
    for ranking in rankings:
        ap, without = leave_one_out_ap(ranking, clips)
        whole += ap
        total += without
        if ranking.hits.sum() == 1:
            classes[ranking.order[ranking.hits]] -= 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return whole / len(rankings), total / np.where(classes > 0, classes, nan)


def leave_one_out_ap(ranking: Ranking, clips: int) -> tuple[float, Float64]:
    """Compute AP of a class, and without each clip; a clip that is not in the ranking changes nothing.

    Args:
        ranking: of a class with a positive.
        clips: number of clips.

    Returns:
        AP, and (clips,) float64; 0 when no positive is left.
    """
    ends = ranking.last[ranking.hits]  # ascending
    counted = np.cumsum(ranking.hits)
    true_positives = counted[ends]
    seen = ends + 1
    # 0 only for the best positive without itself, which is not used
    fewer = np.maximum(seen - 1, 1)
    summed = np.concatenate(([0.0], np.cumsum(true_positives / seen)))
    # positives above each clip's group
    above: NDArray[np.intp] = (counted - ranking.hits)[ranking.first]
    positives = ends.size
    negative, others = true_positives / fewer, (true_positives - 1) / fewer
    without = ((summed + _from(negative)) / positives)[above]
    of_hits = (summed + _from(others))[above[ranking.hits]] - others
    without[ranking.hits] = of_hits / max(positives - 1, 1)
    ap = float(summed[-1] / positives)
    by_clip = np.full(clips, ap)
    by_clip[ranking.order] = without
    return ap, by_clip


def _from(values: Float64) -> Float64:
    """Return the sums of values[k:] for k = 0 .. size."""
    return np.concatenate((np.cumsum(values[::-1])[::-1], [0.0]))
