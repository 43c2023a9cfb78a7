"""A sound that is read hop by hop: how long it is, how loud, and its samples.

Hop h begins at sample h * frame_shift. `SampleBank` renders rows of the samples themselves, for models that take
waveforms; `niah.haystacks.energy_bank` those of log-mel frames. Both lay out the sound alike, so that a clip hears the
same stretch of it through any front end of the same rate.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from niah.audio.waveform import square_sum
from niah.frontends import Frontend
from niah.haystacks.sources import Sound

ENDLESS_HOPS = 1 << 18
"""Hops in the bank of a sound without a period: 43.7 minutes, 134 MB of energies once all are read."""

MOST_HOPS = 1 << 20
"""Hops in the bank of a recording with random offsets: 2.9 hours."""

RMS_S = 120
"""Seconds over which the level of a sound without a period is measured."""

BLOCK_HOPS = 1024
_RMS_SAMPLES = 1 << 20


class SoundBank(ABC):
    """The samples of a sound and their sums of squares, at any hop.

    `hops` is the length of the bank; reading past its end continues at its start. That is seamless when
    `wraps` (the sound repeats with that period). `exact` asks for the whole period of a repeating
    sound however long it is, since `dass-v1` plays it from the first sample on; blocks that are
    never read cost nothing.
    """

    def __init__(self, sound: Sound, frontend: Frontend, *, exact: bool = False) -> None:
        self.sound = sound
        self.frontend = frontend
        self.hops, self.wraps = _extent(sound.period, frontend.frame_shift, exact)

    @abstractmethod
    def fill(self, out: Tensor, hop: int, gain: float) -> None:
        """Write features of frames of the bank.

        Args:
            out: (frames, mels) float32 to write into, on the CPU.
            hop: first frame.
            gain: factor on the waveform.
        """

    @abstractmethod
    def squares(self, number: int) -> NDArray[np.float64]:
        """Return the running sum of squares of a block's samples, hop by hop: (hops + 1,)."""

    @cached_property
    def rms(self) -> float:
        """Rms of the sound as a whole: over its period, or its first two minutes if it has none."""
        count = self.sound.period or RMS_S * self.frontend.sample_rate
        total = 0.0
        for start in range(0, count, _RMS_SAMPLES):
            total += square_sum(self.sound.samples(start, min(_RMS_SAMPLES, count - start)))
        return math.sqrt(total / count)

    def square_sum(self, hop: int, samples: int) -> float:
        """Return the sum of x^2 over samples, in float64.

        Args:
            hop: first sample / frame_shift.
            samples: number of samples.
        """
        whole, rest = divmod(samples, self.frontend.frame_shift)
        total = 0.0
        for number, low, high in self.pieces(hop, whole):
            squares = self.squares(number)
            total += float(squares[high] - squares[low])
        if rest:
            total += square_sum(self.samples(hop + whole, rest))
        return total

    def samples(self, hop: int, count: int) -> NDArray[np.float32]:
        """Return (count,) float32 samples; past the bank's end those of the sound itself.

        Args:
            hop: first sample / frame_shift.
            count: number of samples.
        """
        return self.sound.samples(hop % self.hops * self.frontend.frame_shift, count)

    def pieces(self, hop: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Yield (block, first, last) for each run of hops within one block."""
        while count > 0:
            hop %= self.hops
            number, low = divmod(hop, BLOCK_HOPS)
            high = min(low + count, self.hops_of(number))
            yield number, low, high
            hop += high - low
            count -= high - low

    def hops_of(self, number: int) -> int:
        """Return the hops of a block: the last one may be shorter."""
        return min(BLOCK_HOPS, self.hops - number * BLOCK_HOPS)

    def squares_of(self, number: int, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute a block's `squares` from samples that begin with it."""
        hops = self.hops_of(number)
        whole = samples[: hops * self.frontend.frame_shift].reshape(hops, -1).astype(np.float64)
        return np.concatenate([[0.0], np.cumsum(np.square(whole).sum(axis=1))])


class SampleBank(SoundBank):
    """Rows of samples at a gain, read from the sound when they are asked for: none are kept."""

    def __init__(self, sound: Sound, frontend: Frontend, *, exact: bool = False) -> None:
        super().__init__(sound, frontend, exact=exact)
        self._squares: dict[int, NDArray[np.float64]] = {}

    def fill(self, out: Tensor, hop: int, gain: float) -> None:
        """Write the samples of rows times the gain."""
        written = 0
        for number, low, high in self.pieces(hop, len(out)):
            rows = out[written : written + high - low].numpy()
            first = number * BLOCK_HOPS + low
            samples = self.samples(first, rows.size).reshape(rows.shape)
            np.multiply(samples, np.float32(gain), out=rows)
            written += high - low

    def squares(self, number: int) -> NDArray[np.float64]:
        """Return the running sum of squares of a block's samples, computed when it is first read."""
        if number not in self._squares:
            count = self.frontend.samples(self.hops_of(number))
            samples = self.samples(number * BLOCK_HOPS, count)
            self._squares[number] = self.squares_of(number, samples)
        return self._squares[number]


def _extent(period: int | None, shift: int, exact: bool) -> tuple[int, bool]:
    """Return the hops of the bank, and whether its end joins its start."""
    if period is None:
        return ENDLESS_HOPS, False
    hops = math.lcm(period, shift) // shift  # hops after which the frames themselves repeat
    if hops < BLOCK_HOPS:
        hops *= BLOCK_HOPS // hops  # fewer, longer pieces for a short sound
    if exact or hops <= max(ENDLESS_HOPS, min(period // shift, MOST_HOPS)):
        return hops, True
    return max(ENDLESS_HOPS, min(period // shift, MOST_HOPS)), False
