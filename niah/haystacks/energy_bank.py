"""A sound's mel energies, computed once and reused for every clip, level and position.

Frame h of a bank is the whole frame that starts at sample h * frame_shift of the sound; nothing is
padded. The bank stores the level, the normalised log energy before the floor (Kaldi: (log E - mean) / (2 std)):
a gain g then only adds a constant (ln(g) / std), since energies scale with g^2, and the front end's floor or
offset comes last. Blocks are built when first read. They include the sums of squares of each hop, which give
the exact rms of any run of hops without reading its samples.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.frontends import Frontend
from niah.haystacks.sources import Sound

ENDLESS_HOPS = 1 << 18
"""Hops in the bank of a sound without a period: 43.7 minutes, 134 MB of energies once all are read."""

MOST_HOPS = 1 << 20
"""Hops in the bank of a recording with random offsets: 2.9 hours."""

RMS_S = 120
"""Seconds over which the level of a sound without a period is measured."""

_BLOCK_HOPS = 1024
_RMS_SAMPLES = 1 << 20


@dataclass(frozen=True)
class _Block:
    levels: NDArray[np.float32]  # (hops, mels) float32, -inf where E is 0
    lowest: float  # least of `levels`: no floor is needed where even this stays above it
    squares: NDArray[np.float64]  # (hops + 1,) running sum of squares of the samples, hop by hop


class NoiseBank:
    """Levels and sums of squares of a sound, at any hop.

    `hops` is the length of the bank; reading past its end continues at its start. That is seamless when
    `wraps` (the sound repeats with that period). `exact` asks for the whole period of a repeating
    sound however long it is, since `dass-v1` plays it from the first sample on; blocks that are
    never read cost nothing.
    """

    def __init__(self, sound: Sound, frontend: Frontend, *, exact: bool = False) -> None:
        self.sound = sound
        self.frontend = frontend
        self.hops, self.wraps = _extent(sound.period, frontend.frame_shift, exact)
        self._blocks: dict[int, _Block] = {}

    @cached_property
    def rms(self) -> float:
        """Rms of the sound as a whole: over its period, or its first two minutes if it has none."""
        count = self.sound.period or RMS_S * self.frontend.sample_rate
        total = 0.0
        for start in range(0, count, _RMS_SAMPLES):
            part = self.sound.samples(start, min(_RMS_SAMPLES, count - start)).astype(np.float64)
            total += float(np.dot(part, part))
        return math.sqrt(total / count)

    def fill(self, out: Tensor, hop: int, gain: float) -> None:
        """Write normalised features of frames of the bank.

        Args:
            out: (frames, mels) float32 to write into.
            hop: first frame.
            gain: factor on the waveform; energies scale with its square.
        """
        shift = self.frontend.gain_level(gain)
        rows = out.numpy()  # one thread is as fast as two here, and never waits for the other
        written = 0
        for block, low, high in self._pieces(hop, len(out)):
            part = rows[written : written + high - low]
            np.add(block.levels[low:high], np.float32(shift), out=part)
            self.frontend.finish(part, block.lowest + shift)
            written += high - low

    def square_sum(self, hop: int, samples: int) -> float:
        """Return the sum of x^2 over samples, in float64.

        Args:
            hop: first sample / frame_shift.
            samples: number of samples.
        """
        whole, rest = divmod(samples, self.frontend.frame_shift)
        total = sum(
            float(block.squares[high] - block.squares[low])
            for block, low, high in self._pieces(hop, whole)
        )
        if rest:
            tail = self.samples(hop + whole, rest).astype(np.float64)
            total += float(np.dot(tail, tail))
        return total

    def samples(self, hop: int, count: int) -> NDArray[np.float32]:
        """Return (count,) float32 samples; past the bank's end those of the sound itself.

        Args:
            hop: first sample / frame_shift.
            count: number of samples.
        """
        return self.sound.samples(hop % self.hops * self.frontend.frame_shift, count)

    def _pieces(self, hop: int, count: int) -> Iterator[tuple[_Block, int, int]]:
        """Yield (block, first, last) for each run of hops within one block."""
        while count > 0:
            hop %= self.hops
            number, low = divmod(hop, _BLOCK_HOPS)
            block = self._block(number)
            high = min(low + count, len(block.levels))
            yield block, low, high
            hop += high - low
            count -= high - low

    def _block(self, number: int) -> _Block:
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = self._build(number)
        return block

    def _build(self, number: int) -> _Block:
        frontend, first = self.frontend, number * _BLOCK_HOPS
        hops = min(_BLOCK_HOPS, self.hops - first)
        samples = self.sound.samples(first * frontend.frame_shift, frontend.samples(hops))
        levels = frontend.levels(frontend.energies(torch.from_numpy(samples).unsqueeze(0))[0])
        by_hop = samples[: hops * frontend.frame_shift].reshape(hops, -1).astype(np.float64)
        squares = np.concatenate([[0.0], np.cumsum(np.square(by_hop).sum(axis=1))])
        return _Block(levels.numpy(), float(levels.min()), squares)


def _extent(period: int | None, shift: int, exact: bool) -> tuple[int, bool]:
    """Return the hops of the bank, and whether its end joins its start."""
    if period is None:
        return ENDLESS_HOPS, False
    hops = math.lcm(period, shift) // shift  # hops after which the frames themselves repeat
    if hops < _BLOCK_HOPS:
        hops *= _BLOCK_HOPS // hops  # fewer, longer pieces for a short sound
    if exact or hops <= max(ENDLESS_HOPS, min(period // shift, MOST_HOPS)):
        return hops, True
    return max(ENDLESS_HOPS, min(period // shift, MOST_HOPS)), False
