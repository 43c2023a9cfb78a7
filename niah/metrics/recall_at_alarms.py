"""Recall at a number of false alarms: thresholds from needle-free scenes, hits on scenes with a needle.

An alarm of class c is a scene whose logit of c is above the class's threshold. With x_1c >= x_2c >= .. the logits of
class c in the n needle-free scenes, and a of them allowed to be alarms,

    t_c = x_(a+1)c        R_c = share of the scenes with c whose logit of c is above t_c        R = mean of R_c

R averages the classes that have a positive, as mAP does. A needle that ties with the threshold is missed.

Resampling: a draw takes recordings with all their scenes, those with the needle and those without it, because a clip's
two scenes hold the same stretch of the haystack at the same level. t_c is determined anew in each draw, at the same
share of alarms, a m / n rounded for a draw of m scenes, so that the uncertainty of both is in the interval. A constant
haystack has one needle-free scene, whose logits are thresholds without any uncertainty.

Where c is truly in some of the scenes without the needle, as in natural recordings, these do not count for c: with n_c
others, floor(a n_c / n) of them may be alarms.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.metrics.average_precision import Float64, Mask, Scores, Targets, validate
from niah.metrics.draws import LEFT_OUT, drawn, group_count, group_indices, left_out
from niah.metrics.resampling import (
    DRAWS,
    PLAIN_BLOCK_BYTES,
    SEED,
    Resampled,
    jackknife_share,
)
from niah.metrics.weighted_precision import Counts

_ROUNDING = 1e-9
_SPARE = (
    10.0,
    30,
)  # standard deviations, and scenes, beyond the allowed ones that a draw may reach into


@dataclass(frozen=True)
class _ClassScores:
    """One class: its needle-free logits in falling order, and the logits of its positives.

    Attributes:
        order: scenes by falling needle-free logit, (n,).
        falling: their logits, (n,).
        positives: clips that have the class, (p,).
        logits: of these clips' scenes with the needle, (p,).
        share: of the needle-free scenes that count for the class, n_c / n.
    """

    order: NDArray[np.intp]
    falling: Scores
    positives: NDArray[np.intp]
    logits: Scores
    share: float = 1.0


def recall_at_alarms(
    targets: Targets,
    logits: Scores,
    free: Scores,
    allowed: Sequence[int],
    *,
    groups: Sequence[str] | None = None,
    counted: NDArray[np.bool_] | None = None,
    free_excluded: Mask | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[Resampled]:
    """Compute the mean recall at each allowed number of alarms a class.

    Args:
        targets: clips that have each class, (clips, classes) bool.
        logits: of the scenes with the needle, (clips, classes).
        free: of the same clips' scenes without it, (clips, classes); (1, classes) for the one scene of a constant.
        allowed: numbers of needle-free scenes that may be alarms, for each class.
        groups: the recording of each clip, (clips,); None if each clip is its own.
        counted: (classes,) bool, classes that count; None for all.
        free_excluded: (clips, classes) bool, needle-free scenes that a class is truly in; None for none.
        draws: number of drawn lists.
        seed: of the draws.

    Returns:
        One score for each of `allowed`; NaN where no class that counts has a positive.

    Raises:
        NiahError: shapes that disagree, or more allowed alarms than there are scenes.
    """
    validate(targets, logits)
    clips, classes = targets.shape
    if free.shape not in ((clips, classes), (1, classes)):
        raise NiahError(
            f"needle-free logits must be {(clips, classes)} or one scene but are {free.shape}"
        )
    if any(not 0 <= each < len(free) for each in allowed):
        raise NiahError(f"allowed alarms must be 0 to {len(free) - 1} but are {list(allowed)}")
    scored = targets.any(axis=0) & (True if counted is None else counted)
    if free_excluded is not None:
        free = np.where(free_excluded, -np.inf, free)  # below every threshold
    parts = [_class_scores(targets[:, c], logits[:, c], free[:, c]) for c in np.flatnonzero(scored)]
    of = group_indices(groups, clips)
    block = max(1, PLAIN_BLOCK_BYTES // (4 * max(clips, 1)))
    whole = _recalls(parts, [np.ones((clips, 1), dtype=np.int32)], allowed)[:, 0]
    lists = _recalls(parts, drawn(of, draws, min(block, draws), seed), allowed)
    left = _recalls(parts, left_out(of, min(block, LEFT_OUT)), allowed)
    share = jackknife_share(targets[:, scored], of)
    return [
        Resampled(float(value), own, without, group_count(of), share)
        for value, own, without in zip(whole, lists, left, strict=True)
    ]


def _class_scores(hits: NDArray[np.bool_], logits: Scores, free: Scores) -> _ClassScores:
    order = np.argsort(-free, kind="stable")
    positives = np.flatnonzero(hits)
    share = float(np.isfinite(free).mean())
    return _ClassScores(order, free[order], positives, logits[positives], share)


def _recalls(
    parts: Sequence[_ClassScores], blocks: Iterable[Counts], allowed: Sequence[int]
) -> Float64:
    """Compute the mean recall on every list, (allowed, lists)."""
    return np.concatenate([_block_recalls(parts, counts, allowed) for counts in blocks], axis=1)


def _block_recalls(
    parts: Sequence[_ClassScores], counts: Counts, allowed: Sequence[int]
) -> Float64:
    clips, lists = counts.shape
    share = counts.sum(axis=0) / clips  # of the whole list's length, 1 without groups
    total, classes = np.zeros((len(allowed), lists)), np.zeros(lists)
    for part in parts:
        weights = counts[part.positives]
        positives = weights.sum(axis=0)
        present = positives > 0
        classes += present
        for row, alarms in enumerate(allowed):
            limits = np.rint(floor(alarms * part.share + _ROUNDING) * share).astype(np.int64)
            above = part.logits[:, None] > thresholds_on_lists(
                part.order, part.falling, counts, limits
            )
            hits = (weights * above).sum(axis=0)
            total[row, present] += hits[present] / positives[present]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(classes > 0, total / classes, nan)


def thresholds_on_lists(
    order: NDArray[np.intp], falling: Scores, counts: Counts, limits: NDArray[np.int64]
) -> Scores:
    """Return a class's threshold on every list: the highest logit above which at most the limit lies.

    Args:
        order: the clip of each needle-free logit, by falling logit, (n,).
        falling: these logits, (n,); a single one is the threshold of every list.
        counts: multiplicities of the clips, (clips, lists).
        limits: alarms allowed on each list, (lists,).

    Returns:
        (lists,).
    """
    scenes = order.size
    if scenes == 1:
        return np.broadcast_to(falling[0], limits.shape)
    limit = int(limits.max())
    first = min(scenes, ceil(limit + _SPARE[0] * sqrt(limit + 1)) + _SPARE[1])
    reached = np.cumsum(counts[order[:first]], axis=0)
    if first < scenes and not (reached[-1] > limits).all():
        reached = np.cumsum(counts[order], axis=0)
    place = (reached <= limits).sum(axis=0)
    return np.asarray(falling[np.minimum(place, scenes - 1)])
