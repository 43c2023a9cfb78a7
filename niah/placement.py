"""Where the needle lies, in frames: arithmetic only, no sound.

Two protocols (DESIGN section 4). `dass-v1` counts the position from the scene's whole length, as
`run_NIAH.py` does; `niah-v2` counts it from the free room, so that 0 is the start and 1 is the
end.
"""

import math
from typing import Literal, get_args

from niah.errors import NiahError, nearest

Protocol = Literal["dass-v1", "niah-v2"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)

FRAMES_PER_SECOND = 100
NEEDLE_ALONE_S = 10  # "10 s" is the needle alone, whatever its padded frames (1024)
FEWEST_HAYSTACK_FRAMES = 2


def total_frames(length_s: float, needle_frames: int = 1024) -> int:
    """Frames of a scene of `length_s` seconds: 100 L; `needle_frames` at L = 10, the needle alone.

    Raises:
        NiahError: no whole number of frames, or fewer than 2 frames more than the needle.
    """
    if not math.isfinite(length_s):
        raise NiahError(f"length {length_s}: must be a number of seconds")
    if length_s == NEEDLE_ALONE_S:
        return needle_frames
    frames = round(length_s * FRAMES_PER_SECOND)
    if abs(frames - length_s * FRAMES_PER_SECOND) > 1e-6 * max(1.0, frames):
        raise NiahError(
            f"length {length_s:g} s: must be a whole number of 10 ms frames,"
            f" for example {frames / FRAMES_PER_SECOND:g}"
        )
    if frames < needle_frames + FEWEST_HAYSTACK_FRAMES:
        raise NiahError(
            f"length {length_s:g} s: shorter than the needle and 2 frames of haystack"
            f" ({(needle_frames + FEWEST_HAYSTACK_FRAMES) / FRAMES_PER_SECOND:g} s);"
            f" use {NEEDLE_ALONE_S} for the needle alone, or did you give minutes?"
        )
    return frames


def check_position(position: float) -> float:
    """The position itself, if it lies in [0, 1].

    Raises:
        NiahError: it does not.
    """
    if not 0.0 <= position <= 1.0:
        guess = "; did you give per cent or seconds?" if position > 1 else ""
        raise NiahError(f"position {position:g}: must lie in [0, 1]{guess}")
    return position


def check_protocol(protocol: str) -> str:
    """The protocol's name, if there is such a one.

    Raises:
        NiahError: unknown name; says the nearest.
    """
    if protocol not in PROTOCOLS:
        raise NiahError(f"protocol {protocol!r}: unknown.{nearest(protocol, PROTOCOLS)}")
    return protocol


def start_frame(total: int, needle_frames: int, position: float, protocol: str) -> int:
    """The needle's first frame in a scene of `total` frames.

    `dass-v1`: int(total * position), moved to total - needle_frames where the needle would overrun
    (the released `run_NIAH.py` crashes there; the end is what it means). `niah-v2`: round(position
    * (total - needle_frames)).

    Raises:
        NiahError: position outside [0, 1], unknown protocol, or a total shorter than the needle.
    """
    check_position(position)
    check_protocol(protocol)
    room = total - needle_frames
    if room < 0:
        raise NiahError(f"{total} frames cannot hold a needle of {needle_frames}")
    if protocol == "niah-v2":
        return round(position * room)
    return min(int(total * position), room)
