"""Distinct names for the haystacks of a run.

Rows and tables identify a haystack by its name alone. A recording is named after its file, so that `a/street.ogg` and
`b/street.wav` would be one row. Where names clash, the name has the folder too, or else a part of the checksum.
"""

from collections.abc import Mapping
from dataclasses import replace

from niah.haystacks.haystack import Haystack

_NOTHING = "none"  # the haystack of the needle alone, in rows and tables
_SHOWN = 8  # digits of a checksum in a name


def distinct_names(
    haystacks: Mapping[str, Haystack], stored: Mapping[str, str]
) -> dict[str, Haystack]:
    """Return the haystacks with names that no two different ones share.

    Args:
        haystacks: those of one run, by the user's name or path.
        stored: name -> fingerprint of the haystacks in the run directory; "" where it is unknown, which counts as the
            haystack of that name.

    Returns:
        The same haystacks. One that is in the run directory keeps its name; without a clash nothing changes.
    """
    return {
        spec: replace(haystack, name=_name(haystack, haystacks, stored))
        for spec, haystack in haystacks.items()
    }


def _name(haystack: Haystack, haystacks: Mapping[str, Haystack], stored: Mapping[str, str]) -> str:
    mine = haystack.fingerprint
    with_checksum = f"{haystack.name} ({mine[:_SHOWN]})"
    names = [name for name in (haystack.name, haystack.longer_name) if name not in ("", _NOTHING)]
    for name in (*names, with_checksum):
        if stored.get(name) == mine:
            return name
    for name in names:
        rivals = (
            other.fingerprint
            for other in haystacks.values()
            if name in (other.name, other.longer_name)
        )
        if {mine, *rivals, stored.get(name) or mine} == {mine}:
            return name
    return with_checksum
