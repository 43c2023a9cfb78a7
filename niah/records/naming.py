"""How tables and figures call the parts of a cell: its scene, its further axes, its window, its length."""

import re
from typing import Any

from niah.records.axes import AXES

Point = dict[str, Any]  # a row of cells.csv; None where nothing is known
NO_HAYSTACK = "none"
_POOL = re.compile(r"\+(?:window|pool)-(\S+)")


def scene_name(haystack: str, snr_db: float | None) -> str:
    """The kind of scene in words: "babble, 10 dB"; haystacks without a level have none."""
    return haystack if snr_db is None else f"{haystack}, {snr_db:g} dB"


def axes_name(point: Point) -> str:
    """The further axes of a scene in words: "mix, needle 5 s, 2 needles, 1 distractor"; "" without any."""
    values = ((axis, point.get(name)) for name, axis in AXES.items() if axis.label)
    return ", ".join(axis.words(value) for axis, value in values if value)


def pool_of(kernel: object) -> str:
    """How the scores of a scene's windows became one, as `kernel` tells: "sdpa+window-max" is "max".

    "" when it says nothing of pooling (whole scenes) or is not known.
    """
    told = _POOL.search(kernel) if isinstance(kernel, str) else None
    return told[1] if told else ""


def window_name(window_s: float | None, pool: str) -> str:
    """ "whole"; "whole, max" for pooled positions; "10 s" for windows pooled by their maximum; "10 s, mean"."""
    if window_s is None:
        return f"whole, {pool}" if pool else "whole"
    return f"{length_name(window_s)}, {pool}" if pool not in ("", "max") else length_name(window_s)


def length_name(length_s: float) -> str:
    """ "50 s" below an hour, "2.5 h" from there."""
    return f"{length_s:g} s" if length_s < 3600 else f"{length_s / 3600:.3g} h"
