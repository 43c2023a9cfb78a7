"""A sound's mel energies, computed once and reused for every clip, level and position.

Frame h of a bank is the whole frame that starts at sample h * frame_shift of the sound; nothing is
padded. The bank stores the level, the normalised log energy before the floor (Kaldi: (log E - mean) / (2 std)):
a gain g then only adds a constant (ln(g) / std), since energies scale with g^2, and the front end's floor or
offset comes last. Blocks are built when first read. They include the sums of squares of each hop, which give
the exact rms of any run of hops without reading its samples.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.frontends import Frontend
from niah.haystacks.sound_bank import BLOCK_HOPS, SoundBank
from niah.haystacks.sources import Sound


@dataclass(frozen=True)
class _Block:
    levels: NDArray[np.float32]  # (hops, mels) float32, -inf where E is 0
    lowest: float  # least of `levels`: no floor is needed where even this stays above it
    squares: NDArray[np.float64]  # (hops + 1,) running sum of squares of the samples, hop by hop


class NoiseBank(SoundBank):
    """Levels and sums of squares of a sound, at any hop."""

    def __init__(self, sound: Sound, frontend: Frontend, *, exact: bool = False) -> None:
        super().__init__(sound, frontend, exact=exact)
        self._blocks: dict[int, _Block] = {}

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
        for number, low, high in self.pieces(hop, len(out)):
            block = self._block(number)
            part = rows[written : written + high - low]
            np.add(block.levels[low:high], np.float32(shift), out=part)
            self.frontend.finish(part, block.lowest + shift)
            written += high - low

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
