"""Real positions of needles: `dass-v1` moves a needle that would overrun the scene to its end.

Under `dass-v1` a position is a share of the whole scene, so that 0.5, 0.75 and 1 at 20 s are the same scene, with the
needle last. Tables show the effective position, the share of the free room before the needle
(`niah.placement.effective_position`), and list equal scenes once.
"""

from collections.abc import Iterable

from niah.errors import NiahError
from niah.placement import effective_position
from niah.records.axes import ARRANGING_AXES
from niah.records.naming import Point, length_name
from niah.records.schema import BASE_LENGTH_S

MOVED = "†"
_AS_GOOD_AS_LAST = 0.995  # the needle ends there by rounding to whole frames, in any protocol
MOVED_NOTE = (
    f"{MOVED} the protocol moved the needle to the scene's end: a step to such a scene changes length and "
    "position together."
)


def needle_position(point: Point) -> float | None:
    """Return the share of the free room before the needle; the nominal position where that is unknown.

    None for the needle alone.
    """
    if point["position"] is None or point["length_s"] == BASE_LENGTH_S:
        return None
    position = float(point["position"])
    if any(point.get(name) for name in ARRANGING_AXES):
        return position
    try:
        return effective_position(float(point["length_s"]), position, str(point["protocol"]))
    except NiahError:  # a length or protocol of another version
        return position


def is_moved(point: Point) -> bool:
    """Return whether the needle is at the scene's end though its nominal position is earlier."""
    return needle_position(point) == 1.0 and float(point["position"]) < _AS_GOOD_AS_LAST


def position_text(point: Point) -> str:
    """Return "0.5", or "0.5 (effectively 0.63)"; "" without a position."""
    position = None if point["position"] is None else float(point["position"])
    return shown_position(position, needle_position(point))


def shown_position(position: float | None, effective: float | None) -> str:
    """Return a nominal position in words, with the effective one where they differ.

    Args:
        position: nominal, in [0, 1].
        effective: share of the free room before the needle.
    """
    if position is None:
        return ""
    if effective is None or f"{effective:.2f}" == f"{position:.2f}":
        return f"{position:g}"
    return f"{position:g} (effectively {float(f'{effective:.2f}'):g})"


def positions_note(points: Iterable[Point]) -> str | None:
    """Return a sentence on every position that differs from the effective one; None where none does.

    "Effective positions, as shares of the free room: 0.5 is 1 at 20 s, 0.63 at 50 s."
    """
    apart: dict[float, dict[float, str]] = {}
    for point in points:
        effective = needle_position(point)
        if effective is None:
            continue
        nominal = float(point["position"])
        text = f"{effective:.2f}"
        if text != f"{nominal:.2f}":
            apart.setdefault(nominal, {})[float(point["length_s"])] = f"{float(text):g}"
    if not apart:
        return None
    parts = []
    for nominal, by_length in sorted(apart.items()):
        places = [f"{text} at {length_name(s)}" for s, text in sorted(by_length.items())]
        parts.append(f"{nominal:g} is " + ", ".join(places))
    return "Effective positions, as shares of the free room: " + "; ".join(parts) + "."
