"""Protocols, and the placement of needles in a scene: arithmetic in frames, without sound.

    dass-v1      the paper's released harness: positions are shares of the whole scene (`src/run_NIAH.py`)
    niah-v2      positions are shares of the free room: 0 is the start, 1 the end; old runs stay readable
    niah-v2.1    positions as in niah-v2; levels that do not reveal the class (docs/protocols.md)

Several clips in one scene:

    needles      the scene is cut into equal sections, one a needle; each needle is placed in its own section at the
                 requested position, by the protocol's rule with the section as the scene
    distractors  one after another, each in the middle of the longest free gap (the first of equals), so that nothing
                 overlaps and the needles stay where they are without distractors
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from niah.errors import NiahError, nearest

Protocol = Literal["dass-v1", "niah-v2", "niah-v2.1"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
CURRENT_NIAH = "niah-v2.1"
"""The version of niah-v2 that new runs get, and the default of `niah run`."""

FRAMES_PER_SECOND = 100
NEEDLE_ALONE_S = 10  # "10 s" is the needle alone, also where it has 1024 frames
FEWEST_HAYSTACK_FRAMES = 2
LONGEST_S = 1e7  # 116 days: what is longer was typed in another unit
LARGEST_SNR_DB = 200.0  # float32 holds 150 dB: beyond, one of the two is silent


def current_protocol(name: str) -> str:
    """Return the protocol of a user's `name`: `niah-v2` becomes its current version.

    Raises:
        NiahError: unknown name.
    """
    check_protocol(name)
    return CURRENT_NIAH if name == "niah-v2" else name


def check_protocol(protocol: str) -> str:
    """Return the protocol's name.

    Raises:
        NiahError: unknown name; the message has the nearest.
    """
    if protocol not in PROTOCOLS:
        raise NiahError(f"protocol {protocol!r}: unknown.{nearest(protocol, PROTOCOLS)}")
    return protocol


def check_position(position: float) -> float:
    """Return the position.

    Raises:
        NiahError: it is outside [0, 1].
    """
    if not 0.0 <= position <= 1.0:
        guess = "; did you give per cent or seconds?" if position > 1 else ""
        raise NiahError(f"position {position:g}: must lie in [0, 1]{guess}")
    return position


def check_snr(snr_db: float) -> float:
    """Return the level of the needle above the haystack, in dB.

    Raises:
        NiahError: it is no number, or beyond 200 dB either way.
    """
    if not -LARGEST_SNR_DB <= snr_db <= LARGEST_SNR_DB:
        raise NiahError(
            f"--snr must be a number of decibels from {-LARGEST_SNR_DB:g} to {LARGEST_SNR_DB:g}, got {snr_db:g}"
        )
    return snr_db


def total_frames(length_s: float, needle_frames: int = 1024) -> int:
    """Compute the number of frames of a scene: 100 L, or `needle_frames` at L = 10, the needle alone.

    Args:
        length_s: L, in seconds.
        needle_frames: frames of a 10 s needle in the model's front end.

    Returns:
        The number of 10 ms frames.

    Raises:
        NiahError: no whole number of frames, fewer than 2 frames more than the needle, or more than 10^7 s.
    """
    if not math.isfinite(length_s):
        raise NiahError(f"length {length_s}: must be a number of seconds")
    if abs(length_s) > LONGEST_S:
        raise NiahError(f"length {length_s:g} s: must be at most {LONGEST_S:g} s")
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


def scene_frames(length_s: float, needle_frames: int = 1024) -> int:
    """Compute the frames of a scene of any length: below 10 s it is a part of the needle, 100 frames a second.

    Args:
        length_s: seconds of the whole scene.
        needle_frames: frames of a 10 s needle in the model's front end.

    Returns:
        The number of frames.

    Raises:
        NiahError: no whole number of frames, or 10 s to the needle and 2 frames of haystack (`total_frames`).
    """
    if not 0 < length_s < NEEDLE_ALONE_S:
        return total_frames(length_s, needle_frames)
    frames = round(length_s * FRAMES_PER_SECOND)
    if frames < 1 or abs(frames - length_s * FRAMES_PER_SECOND) > 1e-6 * frames:
        raise NiahError(
            f"length {length_s:g} s: must be a whole number of 10 ms frames,"
            f" for example {max(1, frames) / FRAMES_PER_SECOND:g}"
        )
    return frames


def start_frame(total: int, needle_frames: int, position: float, protocol: str) -> int:
    """Compute the needle's first frame.

    `dass-v1`: int(total * position), moved to total - needle_frames where the needle would overrun (the released
    `src/run_NIAH.py` crashes there; the end is its intention). `niah-v2`, `niah-v2.1`: round(position *
    (total - needle_frames)).

    Args:
        total: frames of the scene.
        needle_frames: frames of the needle.
        position: in [0, 1].
        protocol: one of `PROTOCOLS`.

    Returns:
        A frame in [0, total - needle_frames].

    Raises:
        NiahError: position outside [0, 1], unknown protocol, or a total shorter than the needle.
    """
    check_position(position)
    check_protocol(protocol)
    room = total - needle_frames
    if room < 0:
        raise NiahError(f"{total} frames cannot hold a needle of {needle_frames}")
    if protocol == "dass-v1":
        return min(int(total * position), room)
    return round(position * room)


def effective_position(
    length_s: float, position: float, protocol: str, needle_frames: int = 1024
) -> float:
    """Compute the needle's real position, as a share of its free room: start / (total - needle_frames).

    `dass-v1` at 20 s plays one scene at positions 0.5, 0.75 and 1: the needle ends with the scene, and the effective
    position is 1. The needle alone (10 s) has no free room: 0.

    Args:
        length_s: seconds of the whole scene.
        position: the requested position, in [0, 1].
        protocol: one of `PROTOCOLS`.
        needle_frames: frames of a 10 s needle in the model's front end.

    Returns:
        A share in [0, 1].

    Raises:
        NiahError: a length, position or protocol that makes no scene.
    """
    total = total_frames(length_s, needle_frames)
    start = start_frame(total, needle_frames, position, protocol)
    return start / (total - needle_frames) if total > needle_frames else 0.0


def same_scene(
    length_s: float,
    position: float,
    other_position: float,
    protocol: str,
    needle_frames: int = 1024,
) -> bool:
    """Return whether two requested positions put the needle at the same frame.

    Args:
        length_s: seconds of the whole scene.
        position: in [0, 1].
        other_position: in [0, 1].
        protocol: one of `PROTOCOLS`.
        needle_frames: frames of a 10 s needle in the model's front end.

    Raises:
        NiahError: a length, position or protocol that makes no scene.
    """
    total = total_frames(length_s, needle_frames)
    first, second = (
        start_frame(total, needle_frames, each, protocol) for each in (position, other_position)
    )
    return first == second


@dataclass(frozen=True)
class Arrangement:
    """First frames of the clips in a scene, in time order; all clips have the same length."""

    needles: tuple[int, ...]
    distractors: tuple[int, ...]


def arrange(
    total: int, frames: int, position: float, protocol: str, needles: int = 1, distractors: int = 0
) -> Arrangement:
    """Place needles and distractors in a scene (module docstring).

    Args:
        total: frames of the scene.
        frames: of each clip.
        position: of each needle in its section, in [0, 1].
        protocol: one of `PROTOCOLS`.
        needles: number of needles.
        distractors: number of distractors.

    Returns:
        The first frame of each clip.

    Raises:
        NiahError: they do not fit.
    """
    starts = []
    for index in range(needles):
        low, high = index * total // needles, (index + 1) * total // needles
        if high - low < frames:
            raise _no_room(f"{needles} needles", frames, total)
        starts.append(low + start_frame(high - low, frames, position, protocol))
    free = _gaps(starts, frames, total)
    others: list[int] = []
    for _ in range(distractors):
        low, high = max(free, key=lambda gap: (gap[1] - gap[0], -gap[0]))
        if high - low < frames:
            raise _no_room(f"the needle and {distractors} distractors", frames, total)
        start = low + (high - low - frames) // 2
        others.append(start)
        free.remove((low, high))
        free += [(low, start), (start + frames, high)]
    return Arrangement(tuple(starts), tuple(sorted(others)))


def _gaps(starts: list[int], frames: int, total: int) -> list[tuple[int, int]]:
    edges = [0, *(edge for start in starts for edge in (start, start + frames)), total]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _no_room(clips: str, frames: int, total: int) -> NiahError:
    return NiahError(
        f"{clips} of {frames / FRAMES_PER_SECOND:g} s do not fit in a scene of {total / FRAMES_PER_SECOND:g} s"
    )
