"""Levels of a scene: whether the noise goes on under the needle, and which combinations have a meaning. No torch.

surround    the needle replaces the haystack's frames, which are cut open for it
mix         the noise goes on under the needle: frame for frame, the front end gets their sum
"""

from collections.abc import Iterable
from typing import Literal

from niah.errors import NiahError, nearest
from niah.frontends import Frontend
from niah.frontends.waveform import is_waveform
from niah.haystacks import Haystack
from niah.placement import check_protocol

Level = Literal["surround", "mix"]
LEVELS: tuple[Level, ...] = ("surround", "mix")


def default_level(protocol: str) -> Level:
    """Return a protocol's own level: mix for niah-v2.1, surround for the others."""
    return "mix" if protocol == "niah-v2.1" else "surround"


def needs_waveforms(protocol: str, levels: Iterable[str]) -> bool:
    """Return whether scenes of these levels need the clips' samples beside their features.

    Args:
        protocol: one of `niah.placement.PROTOCOLS`.
        levels: "surround", "mix".
    """
    return protocol == "niah-v2.1" or "mix" in levels


def check_playable(protocol: str, frontend: Frontend) -> None:
    """Check that a front end can have scenes of a protocol: `dass-v1` splices features, never waveforms.

    Raises:
        NiahError: unknown protocol, or one that the front end cannot have.
    """
    check_protocol(protocol)
    if protocol == "dass-v1" and is_waveform(frontend):
        raise NiahError(
            "dass-v1 splices log-mel features, and a model of waveforms has none: use --protocol niah-v2"
        )


def level_of(protocol: str, haystack: Haystack, frontend: Frontend, level: str | None) -> Level:
    """Return the level of a builder's scenes; constants are always "surround", for nothing can be mixed.

    Args:
        protocol: one of `niah.placement.PROTOCOLS`.
        haystack: the haystack of the scenes.
        frontend: the model's front end.
        level: "surround", "mix", or None for the protocol's own.

    Raises:
        NiahError: unknown protocol or level, or a combination without a meaning.
    """
    check_playable(protocol, frontend)
    wanted = default_level(protocol) if level is None else level
    if wanted not in LEVELS:
        raise NiahError(f"level {wanted!r}: unknown.{nearest(wanted, LEVELS)}")
    if haystack.fill == "zero" and is_waveform(frontend):
        raise NiahError(
            f"haystack '{haystack.name}' is the data set's mean log-mel, which no waveform has: use silence"
        )
    if haystack.fill == "zero" and not frontend.zero_row:
        raise NiahError(
            f"haystack '{haystack.name}' is the data set's mean log-mel, which this model's front end does not know: "
            "its adapter must give one (frontend.with_zero_row; mean_log_mel in a card), or use silence with "
            "--protocol niah-v2"
        )
    if protocol == "dass-v1" and haystack.fill == "silence":
        raise NiahError(
            "haystack 'silence' is not part of dass-v1: add --protocol niah-v2, or use zero"
        )
    if wanted == "mix" and protocol == "dass-v1":
        raise NiahError("level 'mix' is not part of dass-v1: add --protocol niah-v2")
    if wanted == "mix" and protocol == "niah-v2" and not haystack.needs_snr:
        raise NiahError(f"level 'mix' needs noise to mix in; haystack '{haystack.name}' is none")
    return "mix" if wanted == "mix" and haystack.needs_snr else "surround"
