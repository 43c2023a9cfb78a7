"""How long does each model hold, in each kind of scene? L85, L50, and what the clips could show.

L85 and L50 come from the `relative` and `drop` columns of the cells, so a table that was published
without scores has them too. See `niah.metrics.effective_length` for what they are.
"""

from math import isnan, nan
from typing import TYPE_CHECKING

from niah.metrics.drop import detectable_drop
from niah.metrics.effective_length import LEVELS, EffectiveLength, Reached, effective_length
from niah.records.naming import length_name
from niah.tables.curves import LengthCurve, lines
from niah.tables.drop import Table, scene_columns, scene_texts

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "Effective length: the longest at which a model keeps 85 % (L85) and 50 % (L50) of its own 10 s "
    "score, interpolated in log length [95 % interval]; * it fell below that earlier and came back; "
    "chance: random scores keep as much. Detectable: the smallest drop, in per cent, that these "
    "clips show 4 times in 5 at a level of 5 %."
)
BRIEF = "Longest length at which 85 % (L85) and 50 % (L50) of the 10 s score is kept"


def lengths_table(cells: "pd.DataFrame", *, brief: bool = False) -> Table | None:
    """The table of a run's cells, a row a line; None when no line has a score beyond 10 s.

    `brief`, for a terminal: L85 and L50 without their intervals, and nothing else.

    Raises `NiahError` as `niah.tables.curves.lines` does.
    """
    found = lines(cells)
    levels = {id(line): [length_of(line, share) for share in LEVELS] for line in found}
    found = [line for line in found if levels[id(line)][0] is not None]
    if not found:
        return None
    columns = scene_columns(found)
    text = _at if brief else effective_length_text
    texts = {
        id(line): [
            text(level) if level is None or level.share > _floor(line) else "chance"
            for level in levels[id(line)]
        ]
        for line in found
    }
    names = tuple(f"L{100 * share:.0f}" for share in LEVELS)
    if brief:
        short = [(*scene_texts(line, columns), *texts[id(line)]) for line in found]
        return Table(BRIEF, (*columns, *names), tuple(short))
    rows = [
        (
            *scene_texts(line, columns),
            *_ten_seconds(line),
            *texts[id(line)],
            _detectable(line),
        )
        for line in found
    ]
    return Table(CAPTION, (*columns, "10 s mAP", "AUC", "d'", *names, "detectable"), tuple(rows))


def length_of(line: LengthCurve, share: float) -> EffectiveLength | None:
    """L_`share` of a line; None without its 10 s score or without a longer one."""
    known = [(s, p) for s, p in line.scored() if p["relative"] is not None]
    if line.base is None or len(known) < 2:
        return None
    lengths_s = [length for length, _ in known]
    low = [nan if p["drop_hi"] is None else 1.0 - p["drop_hi"] for _, p in known]
    high = [nan if p["drop_lo"] is None else 1.0 - p["drop_lo"] for _, p in known]
    bounds = None if all(isnan(value) for value in low[1:]) else (low, high)
    return effective_length(lengths_s, [p["relative"] for _, p in known], share, bounds)


def effective_length_text(level: EffectiveLength | None) -> str:
    """ "53 s [41 s, 70 s]", "≥ 300 s [210 s, ≥ 300 s]", "53 s *"; "" when it is not known.

    No interval where nothing but the longest length is in it.
    """
    if level is None or level.low is None or level.high is None or level.low == level.high:
        return _at(level)
    return f"{_at(level)} [{_reached(level.low)}, {_reached(level.high)}]"


def _at(level: EffectiveLength | None) -> str:
    return "" if level is None else _reached(level.at) + (" *" if level.dips else "")


def _reached(reached: Reached) -> str:
    sign = {"": "", "<": "< ", ">=": "≥ "}[reached.censored]
    seconds = reached.length_s
    if not reached.censored and seconds < 3600:
        seconds = float(f"{seconds:.3g}")
    return f"{sign}{length_name(seconds)}"


def _floor(line: LengthCurve) -> float:
    """The share of the 10 s score that random scores get: below it no length can be found."""
    base = line.base or {}
    known = base.get("chance_mAP") is not None and base.get("mAP")
    return float(base["chance_mAP"] / base["mAP"]) if known else 0.0


def _ten_seconds(line: LengthCurve) -> tuple[str, ...]:
    base = line.base or {}
    forms = (("mAP", ".3f"), ("auc", ".3f"), ("d_prime", ".2f"))
    known = ((base.get(name), form) for name, form in forms)
    return tuple("" if value is None else f"{value:{form}}" for value, form in known)


def _detectable(line: LengthCurve) -> str:
    """The largest over the line's lengths: what could be missed at some length."""
    points = [p for s, p in line.scored() if line.base is not None and p is not line.base]
    bounds = [(p["drop_lo"], p["drop_hi"]) for p in points]
    found = [detectable_drop(low, high) for low, high in bounds if None not in (low, high)]
    return f"{100 * max(found):.1f}" if found else ""
