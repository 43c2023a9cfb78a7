"""Time until something happens, where the watch may end before it: Kaplan and Meier's estimate, weighted.

    S(t) = product over times t_i <= t of (1 - d_i / n_i)

d_i is the weight of what happens at t_i, n_i the weight of all that is still watched just before. What happens at a
time comes before what is no longer watched from it on. Where no watch ends before t, 1 - S(t) is the plain share.

Arrays are (items, lists): each list has its own weights, and may have its own times (`niah.metrics.draws`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.metrics.average_precision import Float64
from niah.metrics.weighted_precision import Counts


@dataclass(frozen=True)
class Survival:
    """Estimates for several lists of the same items.

    Attributes:
        times: (items, lists), rising in each list.
        still: (items, lists), S just after each of them.
        weight: (lists,), of all items.
    """

    times: Float64
    still: Float64
    weight: Float64

    def share_by(self, time: float) -> Float64:
        """Return 1 - S(time), (lists,); NaN for a list without weight."""
        last = (self.times <= time).sum(axis=0) - 1
        still = np.where(last >= 0, self._at(np.maximum(last, 0)), 1.0)
        return np.where(self.weight > 0, 1.0 - still, np.nan)

    def median(self) -> Float64:
        """Return the first time at which S is 1/2 or less, (lists,); infinity if there is none, NaN without weight."""
        is_half = self.still <= 0.5 + 1e-12
        first = self.times[is_half.argmax(axis=0), np.arange(self.times.shape[1])]
        reached = np.where(is_half.any(axis=0), first, np.inf)
        return np.where(self.weight > 0, reached, np.nan)

    def _at(self, places: NDArray[np.intp]) -> Float64:
        return np.asarray(self.still[places, np.arange(self.still.shape[1])])


def survival(times: Float64, happened: Float64, weights: Counts | Float64) -> Survival:
    """Estimate S for every list.

    Args:
        times: until it happened, or until the watch ended, (items, lists); at least one item.
        happened: whether it happened, (items, lists) bool or 0 and 1.
        weights: of the items in each list, (items, lists), 0 or more.
    """
    order = np.lexsort((happened < 0.5, times), axis=0)
    times = np.take_along_axis(times, order, axis=0)
    happened = np.take_along_axis(np.asarray(happened, dtype=np.float64), order, axis=0)
    own = np.take_along_axis(np.asarray(weights, dtype=np.float64), order, axis=0)
    watched = own[::-1].cumsum(axis=0)[::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(own > 0, happened * own / watched, 0.0)
    still = np.asarray(np.cumprod(1.0 - share, axis=0), dtype=np.float64)
    return Survival(times, still, np.asarray(watched[0]))
