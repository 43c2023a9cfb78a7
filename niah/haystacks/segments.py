"""The segments of a noise bank that make up the noise around a clip's needle.

Hops are counted in two ways: along the clip's own noise (the stream) and along the bank. A
`NoisePath` maps the first to the second. It depends on seed, haystack and clip id only, so it is the
same on any machine, in any batch or worker, and a longer scene starts as a shorter one does.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from niah.haystacks.sound_bank import SoundBank
from niah.randomness import keyed_generator

SEGMENT_HOPS = 4000
"""40 s: far longer than any model's memory of the seam, and few enough for a fast 2.5 h scene."""

OFFICIAL_BLOCK_S = 400
"""The official `dataloader_niah.py` filters 6,400,000 samples of 16 kHz at a time; frames across the edges are lost."""


@dataclass(frozen=True)
class NoisePath:
    """Consecutive segments (first hop in the bank, hops) that make up a clip's noise stream."""

    segments: tuple[tuple[int, int], ...]

    @cached_property
    def _starts(self) -> list[int]:
        """First stream hop of each segment, and the stream's end. A day has 2160 segments, read in many blocks."""
        return list(accumulate((length for _, length in self.segments), initial=0))

    def pieces(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of the bank, (first hop in the bank, hops), behind a part of the stream.

        Args:
            first: first hop of the stream.
            count: number of hops.
        """
        for index in range(max(0, bisect_right(self._starts, first) - 1), len(self.segments)):
            (hop, length), start = self.segments[index], self._starts[index]
            low, high = max(first, start), min(first + count, start + length)
            if start >= first + count:
                return
            if low < high:
                yield hop + low - start, high - low

    def seams(self, first: int, last: int) -> list[int]:
        """Return the stream hops at which a segment other than the first begins.

        Args:
            first: first hop of the range.
            last: one past its last hop.
        """
        inner = self._starts[1:-1]
        return inner[bisect_left(inner, first) : bisect_left(inner, last)]


def from_the_start(hops: int) -> NoisePath:
    """Return the sound from its first sample, as the released loader plays babble for every clip."""
    return NoisePath(((0, hops),))


def patchwork(bank: SoundBank, hops: int, *key: object) -> NoisePath:
    """Draw segments of the bank at random places: the first of 1 to 4000 hops, the others of 4000.

    The first one's random length makes two clips differ even where they draw the same places.

    Args:
        bank: source of the segments.
        hops: length of the stream at least.
        key: everything that determines the draw.
    """
    rng = keyed_generator("niah-patchwork-1", *key)
    first = int(rng.integers(1, SEGMENT_HOPS + 1))
    n_more = max(0, -(-(hops - first) // SEGMENT_HOPS))
    room = bank.hops if bank.wraps else bank.hops - SEGMENT_HOPS
    offsets = rng.integers(room, size=1 + n_more).tolist()
    lengths = [first] + [SEGMENT_HOPS] * n_more
    return NoisePath(tuple(zip(offsets, lengths, strict=True)))


def official_hops(
    first: int, count: int, frame_length: int, shift: int, sample_rate: int = 16000
) -> Iterator[tuple[int, int]]:
    """Yield (first hop, hops) of the stream behind some frames, in the released loader's blocks.

    A block of 400 s holds 40,000 hops but, with Kaldi's frames of 25 ms, only 39,998 whole frames; the next block's
    frames follow at once. Other front ends follow the same rule with their own frames.

    Args:
        first: first frame.
        count: number of frames.
        frame_length: samples of a frame.
        shift: samples between frames.
        sample_rate: Hz.
    """
    block_samples = OFFICIAL_BLOCK_S * sample_rate
    block_hops = block_samples // shift
    block_frames = 1 + (block_samples - frame_length) // shift
    while count > 0:
        block, within = divmod(first, block_frames)
        run = min(count, block_frames - within)
        yield block * block_hops + within, run
        first, count = first + run, count - run
