"""Effective lengths of each model in each kind of scene: L85 and L50, and the smallest detectable drop.

L85 and L50 come from the `relative` and `drop` columns of the cells, so they also exist for a table that was published
without scores. `niah.metrics.effective_length` defines them. The report's table and the leaderboard both use
`effective_lengths`.
"""

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

from niah.metrics.drop import detectable_drop, smallest_drop
from niah.metrics.effective_length import LEVELS, EffectiveLength, Reached, effective_length
from niah.records.naming import length_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve, distinct_curves, length_curves, relative_share
from niah.tables.drop import scene_columns, scene_texts
from niah.tables.positions import MOVED, MOVED_NOTE, is_moved
from niah.tables.table import CHANCE, Table

if TYPE_CHECKING:
    import pandas as pd

FEWEST_LENGTHS = 2  # the needle alone and one longer scene
RECOVERED_NOTE = "* it fell below that earlier and came back"
CAPTION = (
    "Effective length: the longest at which a model keeps 85 % (L85) and 50 % (L50) of its own 10 s "
    "score, interpolated in log length, in noise from its 10 s score in that noise [95 % interval]; "
    f"{RECOVERED_NOTE}; "
    "chance: random scores keep as much. Detectable: the smallest drop, in per cent, that these "
    "clips show 4 times in 5 at a level of 5 %, none where they would not show even the loss of all."
)
BRIEF = "Longest length at which 85 % (L85) and 50 % (L50) of the 10 s score is kept"


@dataclass(frozen=True)
class KeptLength:
    """An effective length of one curve, in numbers and in words.

    `at_chance`: random scores keep as large a share, so that the length has no meaning. `rests_on_moved`: it is
    interpolated from a scene whose needle the protocol moved to the end, so that length and position are confounded.
    """

    length: EffectiveLength
    at_chance: bool
    rests_on_moved: bool = False

    @property
    def text(self) -> str:
        """Return "53 s", "≥ 300 s", "53 s *" for a curve that recovered, "12 s †" for `rests_on_moved`, or "chance"."""
        if self.at_chance:
            return CHANCE
        marks = " *" * self.length.dips + f" {MOVED}" * self.rests_on_moved
        return _reached(self.length.at) + marks

    @property
    def bounds(self) -> tuple[str, str] | None:
        """Return the ends of the 95 % interval; None without one, or when it is only the longest length."""
        low, high = self.length.low, self.length.high
        if self.at_chance or low is None or high is None or low == high:
            return None
        return _reached(low), _reached(high)

    @property
    def interval(self) -> str:
        """Return "41 s to 70 s"; "" without `bounds`."""
        return "" if self.bounds is None else " to ".join(self.bounds)

    @property
    def text_with_interval(self) -> str:
        """Return "53 s [41 s, 70 s]" or "≥ 300 s [210 s, ≥ 300 s]"."""
        return self.text if self.bounds is None else f"{self.text} [{', '.join(self.bounds)}]"


def effective_lengths(curve: LengthCurve) -> dict[str, KeptLength | None]:
    """Return "L85" and "L50" of a curve; None without its 10 s score or without a longer one."""
    return {level_name(share): kept_length(curve, share) for share in LEVELS}


def level_name(share: float) -> str:
    """Return "L85" for 0.85."""
    return f"L{100 * share:.0f}"


def kept_length(curve: LengthCurve, share: float) -> KeptLength | None:
    """Return the longest length at which `curve` keeps `share` of its 10 s score.

    Args:
        curve: cells by length; those with a share (`relative`) count.
        share: in 0..1, of the 10 s score.

    Returns:
        None without the 10 s score or without a longer one.
    """
    length = length_of(curve, share)
    if length is None:
        return None
    return KeptLength(length, share <= (curve.chance_share or 0.0), _rests_on_moved(curve, length))


def _rests_on_moved(curve: LengthCurve, length: EffectiveLength) -> bool:
    """Return whether one of the two cells that the length is interpolated from has a moved needle."""
    at_s, scored = length.at.length_s, curve.scored()
    before = [point for s, point in scored if s <= at_s][-1:]
    after = [point for s, point in scored if s >= at_s][:1]
    return any(map(is_moved, before + after))


def length_of(curve: LengthCurve, share: float) -> EffectiveLength | None:
    """Return the effective length in numbers only, regardless of chance.

    Args:
        curve: cells by length; those with a share (`relative`) count.
        share: in 0..1, of the 10 s score.

    Returns:
        None without the 10 s score or without a longer one, and of natural crops.
    """
    scored = [(s, p) for s, p in curve.scored() if s >= BASE_LENGTH_S]
    shares = [(s, p) for s, p in scored if relative_share(p) is not None]
    if curve.base is None or len(shares) < FEWEST_LENGTHS:
        return None
    if curve.noise_base is not None and curve.noise_base["relative"] is not None:
        longer = [each for each in shares if each[0] != BASE_LENGTH_S]
        shares = [(BASE_LENGTH_S, curve.noise_base), *longer]  # masking is no loss with length
    lengths_s = [length_s for length_s, _ in shares]
    # a greater drop is a smaller share
    low = [nan if p["drop_hi"] is None else 1.0 - p["drop_hi"] for _, p in shares]
    high = [nan if p["drop_lo"] is None else 1.0 - p["drop_lo"] for _, p in shares]
    bounds = None if all(isnan(value) for value in low[1:]) else (low, high)
    return effective_length(lengths_s, [p["relative"] for _, p in shares], share, bounds)


def lengths_table(cells: "pd.DataFrame", *, brief: bool = False) -> Table | None:
    """Return the effective lengths of a run's cells, a row a curve.

    Args:
        cells: of one protocol and list of clips.
        brief: L85 and L50 without their intervals, and nothing else; for a terminal.

    Returns:
        None when no curve has a score beyond 10 s.

    Raises:
        NiahError: the cells are of different protocols or clips.
    """
    curves = [
        c for c in distinct_curves(length_curves(cells)) if length_of(c, LEVELS[0]) is not None
    ]
    if not curves:
        return None
    columns = scene_columns(curves)
    rows = []
    for curve in curves:
        kept_lengths = [each for each in effective_lengths(curve).values() if each is not None]
        scene = scene_texts(curve, columns)
        if brief:
            rows.append((*scene, *(each.text for each in kept_lengths)))
        else:
            texts = [each.text_with_interval for each in kept_lengths]
            rows.append((*scene, *_ten_seconds(curve), *texts, _detectable(curve)))
    names = tuple(map(level_name, LEVELS))
    moved = any(f" {MOVED}" in text for row in rows for text in row)
    notes = (MOVED_NOTE,) if moved else ()
    if brief:
        recovered = any(" *" in text for row in rows for text in row[len(columns) :])
        notes = (RECOVERED_NOTE, *notes) if recovered else notes
        return Table(BRIEF, (*columns, *names), tuple(rows), notes)
    header = (*columns, "10 s mAP", "AUC", "d'", *names, "detectable")
    return Table(CAPTION, header, tuple(rows), notes)


def _reached(reached: Reached) -> str:
    sign = {"": "", "<": "< ", ">=": "≥ "}[reached.censored]
    seconds = reached.length_s
    if not reached.censored and seconds < 3600:
        seconds = float(f"{seconds:.3g}")  # an interpolated value has three digits
    return f"{sign}{length_name(seconds)}"


def _ten_seconds(curve: LengthCurve) -> tuple[str, ...]:
    base = curve.base or {}
    forms = (("mAP", ".3f"), ("auc", ".3f"), ("d_prime", ".2f"))
    values = ((base.get(name), form) for name, form in forms)
    return tuple("" if value is None else f"{value:{form}}" for value, form in values)


def _detectable(curve: LengthCurve) -> str:
    """Return the detectable drop from the spread at the length with the smallest drop, as it grows with the drop."""
    longer = [p for _, p in curve.scored() if curve.base is not None and p is not curve.base]
    bounds = [(p["drop"], p["drop_lo"], p["drop_hi"]) for p in longer]
    smallest = smallest_drop(each for each in bounds if None not in each)
    if not smallest:
        return ""
    per_cent = 100 * detectable_drop(*smallest[1:])
    return f"{per_cent:.1f}" if per_cent <= 100 else "none"  # no score drops by more
