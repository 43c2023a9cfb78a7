"""Multiple testing: p-values corrected for the number of comparisons.

Holm bounds the probability of even one false finding by the level, whatever the dependence. Benjamini
and Hochberg bound the expected share of false findings among all findings, for positively dependent
tests, as cells of one run are.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError

METHODS = ("holm", "bh", "none")


def adjusted(p_values: Sequence[float], method: str = "holm") -> NDArray[np.float64]:
    """Correct p-values, for comparison with the level.

    Holm (1979): max over j <= i of min(1, (m - j + 1) p_(j)). Benjamini-Hochberg (1995): min over
    j >= i of min(1, m p_(j) / j).

    Args:
        p_values: in 0..1; NaN are not counted.
        method: one of `METHODS`.

    Returns:
        float64, in the same order; NaN stay NaN.

    Raises:
        NiahError: another method, or a p outside 0..1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = p[~np.isnan(p)]
    if method not in METHODS:
        raise NiahError(f"correction must be one of {', '.join(METHODS)} but '{method}' was given")
    if ((known < 0) | (known > 1)).any():
        raise NiahError(f"p-values must be in [0, 1] but {p.tolist()} were given")
    result = p.copy()
    result[~np.isnan(p)] = _correct(known, method)
    return result


def _correct(p: NDArray[np.float64], method: str) -> NDArray[np.float64]:
    if method == "none" or p.size == 0:
        return p
    order = np.argsort(p, kind="stable")
    place = np.arange(1, p.size + 1)
    if method == "holm":
        sorted_p = np.maximum.accumulate((p.size - place + 1) * p[order])
    else:
        sorted_p = np.minimum.accumulate((p.size / place * p[order])[::-1])[::-1]
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(sorted_p, 1.0)
    return corrected
