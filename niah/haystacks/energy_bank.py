"""A sound's mel energies, computed once and reused for every clip, level and position.

Frame h of a bank is the whole frame that starts at sample h * frame_shift of the sound; nothing is
padded. The bank stores the level, the normalised log energy before the floor (Kaldi: (log E - mean) / (2 std)):
a gain g then only adds a constant (ln(g) / std), since energies scale with g^2, and the front end's floor or
offset comes last. Blocks are built when first read. They include the sums of squares of each hop, which give
the exact rms of any run of hops without reading its samples.

Where a gain goes on for long (a haystack at a fixed level, a short sound that repeats for hours), whole blocks
with the floor on are stored, too.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.frontends import Frontend
from niah.haystacks.sound_bank import BLOCK_HOPS, SoundBank
from niah.haystacks.sources import Sound

FINISHED_BYTES = 1 << 27  # of blocks with the floor on
_ONCE = 4  # pieces at one gain, from which on it goes on for long


@dataclass(frozen=True)
class _Block:
    levels: NDArray[np.float32]  # (hops, mels) float32, -inf where E is 0
    lowest: float  # least of `levels`: no floor is needed where even this stays above it
    squares: NDArray[np.float64]  # (hops + 1,) running sum of squares of the samples, hop by hop


@dataclass
class _Finished:
    """Normalised features of whole blocks at one gain."""

    gain: float
    blocks: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    pieces: int = 0  # that were computed

    def takes_more(self) -> bool:
        """Return whether the gain has gone on for long, and there is room for a block."""
        self.pieces += 1
        block = next(iter(self.blocks.values()), None)
        stored = 0 if block is None else (len(self.blocks) + 1) * block.nbytes
        return self.pieces > _ONCE and stored <= FINISHED_BYTES


class NoiseBank(SoundBank):
    """Levels and sums of squares of a sound, at any hop."""

    def __init__(self, sound: Sound, frontend: Frontend, *, exact: bool = False) -> None:
        super().__init__(sound, frontend, exact=exact)
        self._blocks: dict[int, _Block] = {}
        self._finished = _Finished(0.0)

    def fill(self, out: Tensor, hop: int, gain: float) -> None:
        """Write normalised features of frames of the bank.

        Args:
            out: (frames, mels) float32 to write into.
            hop: first frame.
            gain: factor on the waveform; energies scale with its square.
        """
        finished = self._finished
        if finished.gain != gain:  # threads that make other scenes go on with theirs
            finished = self._finished = _Finished(gain)
        rows = out.numpy()  # one thread is as fast as two here, and never waits for the other
        written = 0
        for number, low, high in self.pieces(hop, len(out)):
            part = rows[written : written + high - low]
            block = finished.blocks.get(number)
            if block is None and finished.takes_more():
                block = finished.blocks[number] = self._at_gain(number, slice(None), gain)
            if block is None:
                self._at_gain(number, slice(low, high), gain, part)
            else:
                part[:] = block[low:high]
            written += high - low

    def _at_gain(
        self, number: int, hops: slice, gain: float, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Compute normalised features of hops of a block at a gain."""
        block, shift = self._block(number), self.frontend.gain_level(gain)
        features = np.add(block.levels[hops], np.float32(shift), out=out)
        self.frontend.finish(features, block.lowest + shift)
        return features

    def squares(self, number: int) -> NDArray[np.float64]:
        """Return the running sum of squares of a block's samples, hop by hop."""
        return self._block(number).squares

    def _block(self, number: int) -> _Block:
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = self._build(number)
        return block

    def _build(self, number: int) -> _Block:
        frontend, first = self.frontend, number * BLOCK_HOPS
        under = frontend.samples(self.hops_of(number))
        samples = self.sound.samples(first * frontend.frame_shift, under)
        levels = frontend.levels(frontend.energies(torch.from_numpy(samples).unsqueeze(0))[0])
        return _Block(levels.numpy(), float(levels.min()), self.squares_of(number, samples))
