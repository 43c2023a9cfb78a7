"""Where several things lie in one scene: a needle repeated, and clips of other classes beside it. Frames only.

needles       the scene is cut into as many equal sections as there are needles; each lies in its own section at the
              position asked for, by the protocol's rule (`niah.placement.start_frame`) with the section as the
              scene. One needle has the whole scene as its section: the plain scene.
distractors   one after another, each in the middle of the longest stretch that is still free (the first of equals),
              so that nothing overlaps, and the needles lie where they would without
"""

from dataclasses import dataclass

from niah.errors import NiahError
from niah.placement import FRAMES_PER_SECOND, start_frame


@dataclass(frozen=True)
class Arrangement:
    """First frames in a scene, in time order; every clip is equally long."""

    needles: tuple[int, ...]
    distractors: tuple[int, ...]


def arrange(
    total: int, frames: int, position: float, protocol: str, needles: int = 1, distractors: int = 0
) -> Arrangement:
    """Starts of `needles` and `distractors`, each of `frames` frames, in a scene of `total` frames.

    Raises:
        NiahError: they do not fit.
    """
    starts = []
    for index in range(needles):
        low, high = index * total // needles, (index + 1) * total // needles
        if high - low < frames:
            raise _too_many(f"{needles} needles", frames, total)
        starts.append(low + start_frame(high - low, frames, position, protocol))
    free = _gaps(starts, frames, total)
    others: list[int] = []
    for _ in range(distractors):
        low, high = max(free, key=lambda gap: (gap[1] - gap[0], -gap[0]))
        if high - low < frames:
            raise _too_many(f"the needle and {distractors} distractors", frames, total)
        start = low + (high - low - frames) // 2
        others.append(start)
        free.remove((low, high))
        free += [(low, start), (start + frames, high)]
    return Arrangement(tuple(starts), tuple(sorted(others)))


def _gaps(starts: list[int], frames: int, total: int) -> list[tuple[int, int]]:
    edges = [0, *(edge for start in starts for edge in (start, start + frames)), total]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _too_many(what: str, frames: int, total: int) -> NiahError:
    return NiahError(
        f"{what} of {frames / FRAMES_PER_SECOND:g} s do not fit in a scene of {total / FRAMES_PER_SECOND:g} s"
    )
