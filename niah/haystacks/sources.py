"""Sounds without an end, read from any sample: Gaussian noise, a tiled file, mixed voices.

A `Sound` is a pure function of the sample index. Two readers that ask for the same samples get the
same bits, in any order, worker or process; that is what makes scenes reproducible.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from niah.randomness import keyed_generator
from niah.system.bounded_store import BoundedStore
from niah.system.memory_limit import usable_bytes

_BLOCK = 1 << 16  # samples drawn from one Philox counter
_FEW = 1 << 12  # samples for which a whole block is not worth making
_SHARE = 64  # of the memory, for the blocks of one sound
_MOST_BYTES = 168 << 20  # of blocks: the 43.7 minutes that a bank has of an endless sound at 16 kHz


class Sound(Protocol):
    """An endless mono sound; `period` samples long if it repeats."""

    @property
    def period(self) -> int | None:
        """Samples after which it repeats; None if it never does."""

    def samples(self, start: int, count: int) -> NDArray[np.float32]:
        """Return (count,) float32 samples, not to be written to.

        Args:
            start: first sample, >= 0.
            count: number of samples.
        """


class _Blocks:
    """An endless sound, made in blocks that stay in memory as far as there is room: scenes read one bank of it."""

    def __init__(self, make: Callable[[int, int, int], NDArray[np.float32]]) -> None:
        """Take the function that makes samples `low` to `high` of a block."""
        self._make = make
        self._stored = BoundedStore[NDArray[np.float32]](min(_MOST_BYTES, usable_bytes() // _SHARE))

    def samples(self, start: int, count: int) -> NDArray[np.float32]:
        """Return samples of the sound; see `Sound.samples`."""
        out = np.empty(count, dtype=np.float32)
        written = 0
        while written < count:
            block, low = divmod(start + written, _BLOCK)
            high = min(low + count - written, _BLOCK)
            out[written : written + high - low] = self._part(block, low, high)
            written += high - low
        return out

    def _part(self, block: int, low: int, high: int) -> NDArray[np.float32]:
        if high - low <= _FEW and self._stored.get(block) is None:
            return self._make(block, low, high)
        whole = self._stored.get_or_make(
            block, lambda: self._make(block, 0, _BLOCK), lambda samples: samples.nbytes
        )
        return whole[low:high]


class GaussianNoise:
    """White noise N(0, 1): counter-based, so any part is drawn without those before it."""

    period: int | None = None

    def __init__(self, *key: object) -> None:
        self._key = key
        self._blocks = _Blocks(self._draw)

    def _draw(self, block: int, low: int, high: int) -> NDArray[np.float32]:
        drawn = keyed_generator(*self._key, block=block).standard_normal(high, dtype=np.float32)
        return drawn[low:]

    def samples(self, start: int, count: int) -> NDArray[np.float32]:
        """Draw samples; see `Sound.samples`."""
        return self._blocks.samples(start, count)


class Tiled:
    """A recording repeated from its first sample for ever."""

    def __init__(self, recording: NDArray[np.float32]) -> None:
        self._recording = recording

    @property
    def period(self) -> int:
        """Samples of the recording."""
        return len(self._recording)

    def samples(self, start: int, count: int) -> NDArray[np.float32]:
        """Return samples of the repeated recording; see `Sound.samples`."""
        first = start % self.period
        if first + count <= self.period:
            return self._recording[first : first + count]
        out = np.empty(count, dtype=np.float32)
        _cycle(out, self._recording, self.period, first)
        return out


class VoiceMix:
    """Babble of `n_talkers` voices at equal rms, each looped with its own pause and offset.

    The voices' periods (voice and pause, in samples) are distinct primes, so the mix repeats only
    after their product: never, for any purpose. Scaled by 1 / sqrt(n_talkers). With fewer voices
    than talkers, voices are used several times, at other offsets and periods.
    """

    period: int | None = None

    def __init__(
        self,
        voices: Sequence[NDArray[np.float32]],
        sample_rate: int,
        rng: np.random.Generator,
        n_talkers: int = 30,
    ) -> None:
        self._scale = np.float32(1 / np.sqrt(n_talkers))
        self._parts: list[tuple[NDArray[np.float32], int, int]] = []
        taken: set[int] = set()
        for talker in range(n_talkers):
            voice = voices[talker % len(voices)]
            pause = rng.integers(sample_rate // 5, sample_rate)
            period = _next_prime(len(voice) + int(pause), taken)
            taken.add(period)
            self._parts.append((_unit_rms(voice), period, int(rng.integers(period))))
        self._blocks = _Blocks(self._mix)

    def samples(self, start: int, count: int) -> NDArray[np.float32]:
        """Mix samples of all talkers; see `Sound.samples`."""
        return self._blocks.samples(start, count)

    def _mix(self, block: int, low: int, high: int) -> NDArray[np.float32]:
        out, start = np.zeros(high - low, dtype=np.float32), block * _BLOCK + low
        for voice, period, offset in self._parts:
            _cycle_add(out, voice, period, (start + offset) % period)
        return np.multiply(out, self._scale, out=out)


def _unit_rms(voice: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = voice - voice.mean(dtype=np.float64)
    return np.asarray(centred / np.sqrt(np.mean(np.square(centred))), dtype=np.float32)


def _cycle(out: NDArray[np.float32], voice: NDArray[np.float32], period: int, first: int) -> None:
    """Write the voice into `out` again and again, the first time from its sample `first`."""
    position = -first
    while position < len(out):
        low, high = max(position, 0), min(position + len(voice), len(out))
        out[low:high] = voice[low - position : high - position]
        position += period


def _cycle_add(
    out: NDArray[np.float32], voice: NDArray[np.float32], period: int, first: int
) -> None:
    """Add the voice to `out` every `period` samples, the first time from its sample `first`."""
    position = -first
    while position < len(out):
        low, high = max(position, 0), min(position + len(voice), len(out))
        if low < high:
            out[low:high] += voice[low - position : high - position]
        position += period


def _next_prime(least: int, taken: set[int]) -> int:
    """The smallest prime >= least that is not taken."""
    number = least | 1
    while number in taken or not _is_prime(number):
        number += 2
    return number


def _is_prime(number: int) -> bool:
    """Trial division, for odd numbers > 2."""
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))
