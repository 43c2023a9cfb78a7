"""Ranking metrics: how well scores rank the clips that have a label above those that do not.

Goal
    One number a class and one a cell for multi-label audio tagging, equal to those of
    `sklearn.metrics.average_precision_score` and `roc_auc_score`, ties included.

Conventions
    `targets` is bool (clips, classes); `scores` is any real dtype (clips, classes), higher means
    "more likely present". Only the order of the scores of one class matters, so logits and their
    sigmoids give the same result as long as rounding creates no ties. All results are float64 in
    natural units (0..1, not per cent); a class for which a metric is undefined is NaN.

Formulas
    AP     sum over the distinct thresholds t, from high to low, of (R_t - R_t-1) P_t: precision at
           the *end* of each group of tied scores, no interpolation (the AudioSet convention).
    mAP    mean of AP over the classes with at least one positive clip (DASS paper, section 4.1).
    AUC    probability that a positive outranks a negative, ties counting one half (Mann-Whitney).
    d'     sqrt(2) Phi^-1(mean AUC), as AST and DASS report it; undefined at 0 and 1.
    chance expectation of AP under a uniformly random order, exact (`chance_average_precision`).

Excluded entries
    `excluded` (clips, classes) marks entries that are neither positive nor negative, such as a distractor's labels in
    its own scene. The class is then scored over its other clips: AP, AUC and chance alike.
"""

from dataclasses import dataclass
from math import nan, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError

Targets = NDArray[np.bool_]
Scores = NDArray[Any]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEW_POSITIVES = 10  # a class, on average: up to here a positive is compared with all clips faster than these are sorted
COMPARED = 1 << 22  # scores at a time


def validate(targets: Targets, scores: Scores) -> None:
    """Check the shapes and dtypes of targets and scores.

    Args:
        targets: (clips, classes) bool.
        scores: (clips, classes), finite.

    Raises:
        NiahError: they are wrong; the message has the first clip.
    """
    if targets.ndim != 2 or targets.shape != scores.shape:
        raise NiahError(
            f"targets and scores must both be (clips, classes) but are {targets.shape} and "
            f"{scores.shape}: is one of them transposed?"
        )
    if targets.dtype != np.bool_:
        raise NiahError(f"targets must be bool but are {targets.dtype}: threshold them first")
    if not np.isfinite(scores).all():
        clips = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        raise NiahError(
            f"scores of {clips.size} clips are NaN or infinite (first: row {clips[0]}): "
            "the model overflowed; try --dtype float32"
        )


@dataclass(frozen=True)
class Ranking:
    """The clips of one class in descending order of score.

    `order` (n,) clip indices; `hits` (n,) bool, the targets in that order; `first` and `last` (n,):
    ranks (0 = best) at which the group of clips tied with each starts and ends.
    """

    order: NDArray[np.intp]
    hits: NDArray[np.bool_]
    first: NDArray[np.intp]
    last: NDArray[np.intp]


def rank(targets: Mask, scores: NDArray[Any], excluded: Mask | None = None) -> Ranking:
    """Rank the clips of one class; tied clips keep their order.

    Args:
        targets: Clips that have the class, (n,).
        scores: Any real dtype, (n,).
        excluded: Clips to leave out, (n,); None for none.

    Returns:
        The ranking of the other clips, whose indices are those of `targets`.
    """
    if excluded is not None and excluded.any():
        counted = np.flatnonzero(~excluded)
        part = rank(targets[counted], scores[counted])
        return Ranking(counted[part.order], part.hits, part.first, part.last)
    # float64 represents every float16/32 exactly, so no new tie appears, and negation cannot overflow
    negated = -np.asarray(scores, dtype=np.float64)
    n = negated.size
    order = np.argsort(negated)  # a stable sort takes three times as long
    ordered = negated[order]
    opens = np.ones(n, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=opens[1:])
    starts = np.flatnonzero(opens)
    sizes = np.append(starts[1:], n) - starts
    first = np.repeat(starts, sizes)
    if starts.size < n:  # sort the clips of each tie group
        order = np.sort(first * n + order) - first * n
    return Ranking(order, targets[order], first, first + np.repeat(sizes, sizes) - 1)


def rankings(targets: Targets, scores: Scores, excluded: Mask | None = None) -> list[Ranking]:
    """Rank the clips of every class.

    Args:
        targets: (clips, classes) bool.
        scores: (clips, classes) of any real dtype.
        excluded: (clips, classes) bool, entries to leave out; None for none.

    Returns:
        One ranking a class.

    Raises:
        NiahError: shapes that disagree, or scores that are not finite.
    """
    validate(targets, scores)
    masks = [None] * targets.shape[1] if excluded is None else list(excluded.T)
    return [rank(t, s, m) for t, s, m in zip(targets.T, scores.T, masks, strict=True)]


def average_precision(targets: Targets, scores: Scores, excluded: Mask | None = None) -> Float64:
    """Compute the AP of each class.

    AP = 1/P sum over positives i of precision at the end of i's tie group.

    Args:
        targets: (clips, classes) bool.
        scores: (clips, classes) of any real dtype.
        excluded: (clips, classes) bool, entries to leave out; None for none.

    Returns:
        (classes,) float64; NaN where a class has no positive clip.

    Raises:
        NiahError: shapes that disagree, or scores that are not finite.
    """
    return np.array([_one_ap(each) for each in rankings(targets, scores, excluded)])


def _one_ap(ranking: Ranking) -> float:
    ends = ranking.last[ranking.hits]
    if ends.size == 0:
        return nan
    true_positives = np.cumsum(ranking.hits)[ends]
    return float(np.mean(true_positives / (ends + 1)))


def mean_average_precision(ap: Float64) -> float:
    """Return the mean of `average_precision` over the classes that have one; NaN when none has."""
    return _mean_defined(ap)


def auc(targets: Targets, scores: Scores, excluded: Mask | None = None) -> Float64:
    """Compute the area under the ROC curve of each class.

    Midranks: AUC = (sum over positives of the number of negatives below, ties one half) / (P N).

    Args:
        targets: (clips, classes) bool.
        scores: (clips, classes) of any real dtype.
        excluded: (clips, classes) bool, entries to leave out; None for none.

    Returns:
        (classes,) float64; NaN without both positives and negatives.

    Raises:
        NiahError: shapes that disagree, or scores that are not finite.
    """
    validate(targets, scores)
    hits = targets if excluded is None else targets & ~excluded
    if hits.sum() <= FEW_POSITIVES * hits.shape[1]:
        return _counted_auc(hits, scores, excluded)
    return np.array([_one_auc(each) for each in rankings(targets, scores, excluded)])


def _counted_auc(hits: Targets, scores: Scores, excluded: Mask | None) -> Float64:
    """Compute `auc` to the same bits by comparing each positive with all clips of its class, without a sort."""
    classes, clips = np.nonzero(hits.T)
    columns = np.ascontiguousarray(scores.T, dtype=np.result_type(scores.dtype, np.float32))
    out = None if excluded is None else np.ascontiguousarray(excluded.T)
    below = np.empty(classes.size)  # mean number of clips ranked below, tied ones counting one half
    step = max(1, COMPARED // max(len(hits), 1))
    for start in range(0, classes.size, step):
        of, own = classes[start : start + step], clips[start : start + step]
        values = columns[of]
        lower, tied = (
            compared(values, columns[of, own][:, None]) for compared in (np.less, np.equal)
        )
        if out is not None:
            lower, tied = lower & ~out[of], tied & ~out[of]
        ties = np.count_nonzero(tied, axis=1) - 1
        below[start : start + step] = np.count_nonzero(lower, axis=1) + ties / 2
    positives = hits.sum(axis=0)
    negatives = (len(hits) if out is None else (~out).sum(axis=1)) - positives
    summed = np.bincount(classes, weights=below, minlength=hits.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (summed - positives * (positives - 1) / 2) / (positives * negatives)
    return np.where((positives > 0) & (negatives > 0), area, nan)


def _one_auc(ranking: Ranking) -> float:
    n = ranking.hits.size
    positives = int(ranking.hits.sum())
    negatives = n - positives
    if positives == 0 or negatives == 0:
        return nan
    # mean number of clips ranked below, tied ones counting one half
    below = n - 1 - (ranking.first + ranking.last)[ranking.hits] / 2
    return float((below.sum() - positives * (positives - 1) / 2) / (positives * negatives))


def mean_auc(class_auc: Float64) -> float:
    """Return the mean of `auc` over the classes that have one; NaN when none has."""
    return _mean_defined(class_auc)


def d_prime(area: float) -> float:
    """Return d' = sqrt(2) Phi^-1(area) of one (mean) AUC: 0 at chance, NaN for a perfect or a reversed ranking.

    Raises:
        NiahError: an area outside [0, 1].
    """
    if np.isnan(area) or area in (0.0, 1.0):
        return nan
    if not 0.0 <= area <= 1.0:
        raise NiahError(f"AUC must be in [0, 1] but {area} was given: did you give per cent?")
    return sqrt(2.0) * NormalDist().inv_cdf(area)


def chance_average_precision(
    positives: NDArray[np.int64], clips: NDArray[np.int64] | int
) -> Float64:
    """Compute E[AP] of a uniformly random order of clips, for each count of positives.

    With P positives among n, rank k has a positive with probability P/n, and then each of the
    k - 1 ranks above has another with probability (P-1)/(n-1). So
    E[AP] = 1/P sum_k P/n (1 + (k-1)(P-1)/(n-1)) / k = 1/n [H_n + (P-1)/(n-1) (n - H_n)],
    where H_n is the n-th harmonic number. It exceeds P/n, by much when clips are few.

    Args:
        positives: P, any shape.
        clips: n, one number or in the shape of `positives`.

    Returns:
        float64 in the shape of `positives`; NaN for 0 positives.
    """
    most = int(np.max(clips, initial=0))
    harmonic = np.r_[0.0, np.cumsum(1.0 / np.arange(1, most + 1))][clips]
    others = (positives - 1) / np.maximum(np.asarray(clips) - 1, 1)  # n = 1: P - 1 is 0 as well
    expected = (harmonic + others * (clips - harmonic)) / np.maximum(clips, 1)
    return np.where(positives > 0, expected, nan)


def chance_mAP(targets: Targets, excluded: Mask | None = None) -> float:  # noqa: N802 - the field writes mAP
    """Compute the expected mAP of random scores on these clips: the floor of every table and figure.

    Args:
        targets: (clips, classes) bool.
        excluded: (clips, classes) bool, entries to leave out; None for none.

    Returns:
        A share in 0..1; NaN without positives.
    """
    clips: NDArray[np.int64] | int = targets.shape[0]
    if excluded is not None:
        clips = targets.shape[0] - excluded.sum(axis=0, dtype=np.int64)
    return _mean_defined(chance_average_precision(targets.sum(axis=0, dtype=np.int64), clips))


def classes_scored(targets: Targets) -> int:
    """Return the number of classes with a positive clip, which mAP averages over."""
    return int(targets.any(axis=0).sum())


def _mean_defined(values: Float64) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else nan
