"""Which stretches of a noise bank surround a clip's needle.

Hops are counted in two ways: along the clip's own noise (the stream) and along the bank. A
`NoisePath` maps the first to the second. It depends on seed, haystack and clip id only, so it is the
same on any machine, in any batch or worker, and a longer scene starts as a shorter one does.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from niah.haystacks.energy_bank import NoiseBank
from niah.randomness import keyed_generator

STRETCH_HOPS = 4000
"""40 s: far longer than any model's memory of the seam, and few enough for a fast 2.5 h scene."""

OFFICIAL_BLOCK_S = 400
"""`dataloader_niah.py` filters 6,400,000 samples of 16 kHz at a time; the frames across the edges are lost."""


@dataclass(frozen=True)
class NoisePath:
    """Consecutive (first hop in the bank, hops) that make up a clip's noise stream."""

    stretches: tuple[tuple[int, int], ...]

    @cached_property
    def _starts(self) -> list[int]:
        """The stream's first hop of each stretch, and its end: a day is 2160 stretches, read in thousands of blocks."""
        return list(accumulate((length for _, length in self.stretches), initial=0))

    def pieces(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """(hop in the bank, hops) for the stream's hops `first` to `first + count`."""
        for index in range(max(0, bisect_right(self._starts, first) - 1), len(self.stretches)):
            (hop, length), start = self.stretches[index], self._starts[index]
            low, high = max(first, start), min(first + count, start + length)
            if start >= first + count:
                return
            if low < high:
                yield hop + low - start, high - low


def from_the_start(hops: int) -> NoisePath:
    """The sound from its first sample, as the released loader plays babble for every clip."""
    return NoisePath(((0, hops),))


def patchwork(bank: NoiseBank, hops: int, *key: object) -> NoisePath:
    """Stretches of the bank from random places: the first of 1 to 4000 hops, the others of 4000.

    The first one's random length keeps two clips apart even where they draw the same places.
    """
    rng = keyed_generator("niah-patchwork-1", *key)
    first = int(rng.integers(1, STRETCH_HOPS + 1))
    n_more = max(0, -(-(hops - first) // STRETCH_HOPS))
    room = bank.hops if bank.wraps else bank.hops - STRETCH_HOPS
    offsets = rng.integers(room, size=1 + n_more).tolist()
    lengths = [first] + [STRETCH_HOPS] * n_more
    return NoisePath(tuple(zip(offsets, lengths, strict=True)))


def official_hops(
    first: int, count: int, frame_length: int, shift: int, sample_rate: int = 16000
) -> Iterator[tuple[int, int]]:
    """(first hop, hops) of the stream behind `count` frames from `first` on, in official blocks.

    A block of 400 s holds 40,000 hops but, with Kaldi's frames of 25 ms, only 39,998 whole frames; the next block's
    frames follow at once. Front ends that the released loader does not know keep the rule with their own frames.
    """
    block_samples = OFFICIAL_BLOCK_S * sample_rate
    block_hops = block_samples // shift
    block_frames = 1 + (block_samples - frame_length) // shift
    while count > 0:
        block, within = divmod(first, block_frames)
        run = min(count, block_frames - within)
        yield block * block_hops + within, run
        first, count = first + run, count - run
