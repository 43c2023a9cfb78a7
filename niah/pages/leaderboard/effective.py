"""L85 and L50 of a line, from its cells: `niah.metrics.effective_length` with bounds and words."""

from dataclasses import dataclass
from math import nan

from niah.metrics.effective_length import LEVELS, EffectiveLength, Reached, effective_length
from niah.records.naming import Point, length_name
from niah.tables.curves import LengthCurve

FEWEST = 3  # lengths, the needle alone among them: one step is no curve


@dataclass(frozen=True)
class Told:
    """An effective length in words; `interval` is "" where the bounds are not known."""

    length: EffectiveLength
    text: str
    interval: str


def effective_lengths(line: LengthCurve) -> dict[str, Told | None]:
    """ "L85" and "L50" of `line`, None without the 10 s cell or two longer ones that were scored."""
    kept = {s: p for s, p in line.scored() if p["relative"] is not None}
    if len(kept) < FEWEST or line.base is None:
        return {name(share): None for share in LEVELS}
    shares = [float(point["relative"]) for point in kept.values()]
    # a greater drop is a smaller share
    bounds = [[_less(p, bound) for p in kept.values()] for bound in ("drop_hi", "drop_lo")]
    found: dict[str, Told | None] = {}
    for share in LEVELS:
        length = effective_length(list(kept), shares, share, (bounds[0], bounds[1]))
        found[name(share)] = Told(length, _text(length.at), _interval(length))
    return found


def name(share: float) -> str:
    """ "L85" for 0.85."""
    return f"L{100 * share:.0f}"


def _less(point: Point, bound: str) -> float:
    return nan if point[bound] is None else 1 - float(point[bound])


def _text(reached: Reached) -> str:
    seconds = reached.length_s
    if not reached.censored and seconds < 3600:  # three digits of what is interpolated
        seconds = float(f"{seconds:.3g}")
    sign = {"": "", "<": "< ", ">=": "≥ "}[reached.censored]
    return f"{sign}{length_name(seconds)}"


def _interval(length: EffectiveLength) -> str:
    if length.low is None or length.high is None or length.low == length.high:
        return ""
    return f"{_text(length.low)} to {_text(length.high)}"
