"""Rank correlation of two measures of the same few models (Spearman), with its interval and an exact p-value.

rho      Pearson correlation of the ranks, equal values with their mean rank; NaN where all are equal
interval 2.5 and 97.5 % of rho over resampled lists of clips: the uncertainty of the measures; NaN where no list
         differs, as of one recording. It says nothing of other models, of which the p-value speaks
p        share of all orders of the models (above 8 models, of their own and 20,000 random ones) whose |rho| is at least
         as large
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, permutations

import numpy as np

from niah.errors import NiahError
from niah.metrics.average_precision import Float64

EXACT_UP_TO = 8
RANDOM_ORDERS = 20_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho over `models`, its 95 % bounds and two-sided p-value; NaN where it is undefined."""

    rho: float
    low: float
    high: float
    p: float
    models: int


def rank_correlation(a: Float64, b: Float64, drawn_a: Float64, drawn_b: Float64) -> RankCorrelation:
    """Compute the rank correlation of two measures.

    Args:
        a: one value a model, (models,).
        b: the other measure of the same models, (models,).
        drawn_a: `a` on resampled lists of clips, (draws, models).
        drawn_b: `b` on the same lists, (draws, models).

    Returns:
        The correlation.

    Raises:
        NiahError: fewer than three models, or shapes that disagree.
    """
    models = len(a)
    if models < 3:
        raise NiahError(f"a rank correlation needs three models or more, got {models}")
    if len(b) != models or drawn_a.shape != drawn_b.shape or drawn_a.shape[1:] != (models,):
        raise NiahError(f"measures must be of the same models and draws: {models} and {len(b)}")
    rho = spearman(a, b)
    pairs = zip(drawn_a, drawn_b, strict=True)
    drawn = np.array([spearman(each, other) for each, other in pairs])
    drawn = drawn[~np.isnan(drawn)]
    varies = any((own != own[:1]).any() for own in (drawn_a, drawn_b))
    low, high = np.quantile(drawn, [0.025, 0.975]) if varies and drawn.size else (np.nan, np.nan)
    return RankCorrelation(rho, float(low), float(high), _p_value(a, b, rho), models)


def spearman(a: Float64, b: Float64) -> float:
    """Return the correlation of the ranks of `a` and `b`, (models,) each; NaN where one of them is constant."""
    x, y = (ranks - ranks.mean() for ranks in (_ranks(a), _ranks(b)))
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else float("nan")


def _ranks(values: Float64) -> Float64:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(last - (counts - 1) / 2.0, dtype=np.float64)[place]


def _p_value(a: Float64, b: Float64, rho: float) -> float:
    if np.isnan(rho):
        return float("nan")
    orders: Iterable[list[int]]
    if len(a) <= EXACT_UP_TO:
        orders = (list(order) for order in permutations(range(len(a))))
    else:
        random = np.random.default_rng(0)
        others = (random.permutation(len(a)).tolist() for _ in range(RANDOM_ORDERS))
        orders = chain([list(range(len(a)))], others)  # with its own, p is never 0
    return float(np.mean([abs(spearman(a, b[order])) >= abs(rho) - _ROUNDING for order in orders]))
