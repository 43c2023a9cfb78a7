"""Ranks with their uncertainty: systems without a significant difference share one.

In each scene and at each length every two systems are compared, on the same draws of clips if the scores of both are
stored (the paired resampling of `niah compare`), else by their intervals, which detect fewer differences. The p-values
of a scene, length and quantity are corrected together (Holm), so that at most 5 of 100 rankings separate systems that
are equal.

    rank      1 + the number of systems that are significantly better: 1 for all that none beats
    interval  from there to the number of ranked systems less those that are significantly worse

A system whose mAP does not differ significantly from random scores has no rank. The raw share of the 10 s score is not
ranked: random scores keep all of it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from math import erfc, hypot, nan, sqrt
from statistics import NormalDist

import numpy as np

from niah.errors import NiahError
from niah.metrics.multiple_testing import adjusted
from niah.metrics.resampling import CONFIDENCE, Resampled, paired, resample
from niah.pages.leaderboard.boards import Board, Entry
from niah.pages.leaderboard.submissions import Submission
from niah.plots.curves import adjusted_of, mAP_of
from niah.records.naming import Point
from niah.records.schema import BASE_LENGTH_S

LEVEL = 0.05
MAP, ADJUSTED = "mAP", "adjusted"
QUANTITIES = (MAP, ADJUSTED)
_VALUES = {MAP: mAP_of, ADJUSTED: adjusted_of}
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Rank:
    """A system's rank among `ranked` systems, and the first and last that it may have."""

    rank: int
    last: int

    @property
    def text(self) -> str:
        """Return "2", or "2–4" where the difference to others is not significant."""
        return str(self.rank) if self.rank == self.last else f"{self.rank}–{self.last}"


@dataclass(frozen=True)
class Ranking:
    """The ranks of one scene at one length by one quantity.

    Attributes:
        quantity: "mAP", or "adjusted" for the chance-adjusted retention.
        length_s: seconds of the scenes.
        ranks: by entry; None for one at chance. Entries without a score at this length are missing.
        n_pairs: number of comparisons.
        n_by_intervals: those of them without the stored scores of both.
        p_values: of no difference, corrected, by pair of ranked entries.
    """

    quantity: str
    length_s: float
    ranks: dict[Entry, Rank | None]
    n_pairs: int
    n_by_intervals: int
    p_values: dict[tuple[Entry, Entry], float] = field(default_factory=dict)


def common_length(entries: Sequence[Entry]) -> float:
    """Return the longest length at which most entries of a scene were scored, if possible all of them."""
    scored = [{s for s, _ in entry.line.scored()} for entry in entries]
    lengths = sorted({s for each in scored for s in each if s != BASE_LENGTH_S})
    return max(lengths, key=lambda s: (sum(s in own for own in scored), s), default=BASE_LENGTH_S)


def at_chance(point: Point) -> bool:
    """Return whether a cell's mAP does not differ significantly from random scores on its clips."""
    level = point["chance_mAP"]
    low = point["mAP"] if point["mAP_lo"] is None else point["mAP_lo"]
    return level is not None and low <= level


class Ranker:
    """A ranking of the scenes of a board; each cell is resampled once."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._resampled: dict[str, tuple[str, Resampled] | None] = {}

    def rank(self, entries: Sequence[Entry], length_s: float, quantity: str) -> Ranking:
        """Rank the entries of one scene.

        Args:
            entries: systems in one kind of scene.
            length_s: at which to compare them.
            quantity: one of `QUANTITIES`.

        Returns:
            The ranks of the entries with a score.
        """
        value = _VALUES[quantity]
        scored = {
            entry: point
            for entry in entries
            if (point := entry.line.by_length.get(length_s)) is not None
            and point["mAP"] is not None
            and (value(point) or at_chance(point))
        }
        ranked = [entry for entry, point in scored.items() if not at_chance(point)]
        pairs = list(combinations(ranked, 2))
        compared = [self._compare(a, b, length_s, quantity) for a, b in pairs]
        p_values = adjusted([p for p, _ in compared])
        better = dict.fromkeys(ranked, 0)  # systems that are better beyond chance
        worse = dict.fromkeys(ranked, 0)
        for (a, b), p in zip(pairs, p_values, strict=True):
            if p < LEVEL:
                first, second = value(scored[a]), value(scored[b])
                winner, loser = (a, b) if first and second and first > second else (b, a)
                better[loser] += 1
                worse[winner] += 1
        ranks: dict[Entry, Rank | None] = dict.fromkeys(scored)
        ranks |= {e: Rank(1 + better[e], len(ranked) - worse[e]) for e in ranked}
        by_intervals = sum(not stored for _, stored in compared)
        of_pairs = {pair: float(p) for pair, p in zip(pairs, p_values, strict=True)}
        return Ranking(quantity, length_s, ranks, len(pairs), by_intervals, of_pairs)

    def _compare(self, a: Entry, b: Entry, length_s: float, quantity: str) -> tuple[float, bool]:
        """Return the p-value of no difference, and whether it is from the same draws of the same clips."""
        one, other = (self._scores(each, length_s, quantity) for each in (a, b))
        if one and other and one[0] == other[0]:
            return paired(lambda x, y: x - y, one[1], other[1]).p_value(), True
        return _p_of_intervals(a, b, length_s, quantity), False

    def _scores(self, entry: Entry, length_s: float, quantity: str) -> tuple[str, Resampled] | None:
        """Return the quantity of an entry on each draw of clips, with a digest of the clips; None if not stored."""
        point = entry.line.by_length[length_s]
        own = self._of_cell(point["cell"])
        if quantity == MAP or own is None:
            return own
        base = self._of_cell(entry.line.base["cell"]) if entry.line.base else None
        level = point["chance_mAP"]
        if base is None or base[0] != own[0] or level is None:
            return None
        return own[0], paired(partial(_retention, chance=level), own[1], base[1])

    def _of_cell(self, cell: str) -> tuple[str, Resampled] | None:
        if cell not in self._resampled:
            self._resampled[cell] = _resample(self._board.origin.get(cell), cell)
        return self._resampled[cell]


def _retention(own: np.float64, base: np.float64, chance: float) -> np.float64:
    return (own - chance) / (base - chance)


def _resample(submission: Submission | None, cell: str) -> tuple[str, Resampled] | None:
    """Resample the mAP of a cell's stored scores, with its clips in the order of their ids."""
    if submission is None or submission.run is None or not submission.run.has_scores(cell):
        return None
    try:
        stored = submission.run.read_scores(cell)
    except NiahError:
        return None
    order = np.argsort(np.asarray(stored.ids, dtype=object), kind="stable")
    clips = (sorted(zip(stored.ids, stored.labels, strict=True)), stored.classes)
    digest = hashlib.sha256(repr(clips).encode(errors="surrogatepass")).hexdigest()
    groups = [stored.groups[index] for index in order]
    (resampled,) = resample(stored.targets[order], [stored.logits[order]], groups=groups)
    return digest, resampled


def _p_of_intervals(a: Entry, b: Entry, length_s: float, quantity: str) -> float:
    """Return the two-sided p-value of a difference of two independent scores; NaN without intervals."""
    value = _VALUES[quantity]
    first, second = (value(entry.line.by_length[length_s]) for entry in (a, b))
    if first is None or second is None:
        return nan
    errors = [(high - low) / 2 / _Z for _, low, high in (first, second)]
    if not min(errors) > 0:
        return nan
    return erfc(abs(first[0] - second[0]) / hypot(*errors) / sqrt(2))
