"""Cnn14 of PANNs: a VGG-like network over log-mel decibels (arXiv 1912.10211; official `pytorch/models.py`, `Cnn14`).

    (B, T, M) decibels -> batch norm over mels -> 6 blocks of two 3 x 3 convolutions, a 2 x 2 mean between blocks
      -> mean over mels -> maximum over time + mean over time -> linear, ReLU -> linear to classes

Glossary: B batch, T frames, M mels, C channels, S frames a position of the last map (32), N = T // S positions.

Any length of S frames or more has logits, by the official code too. Its convolutions see 4 positions to each side at
most, so a long input is run in parts that overlap by 4 positions: the same numbers, without the 15 GB that the first
block's map of 2.5 h takes. The maximum over time does not thin out with length, the mean does, and what follows is not
linear: there are no logits of single positions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError

PART = 128  # positions that are computed at once
SEEN = 4  # positions to each side that a position depends on, at any number of blocks


@dataclass(frozen=True)
class Cnn14Config:
    """Settings; the defaults are the released models, of 32 and of 16 kHz."""

    mels: int = 64
    channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    hidden: int = 2048
    classes: int = 527

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if self.mels < self.frames_a_position:
            raise ValueError(f"{self.mels} mels are too few for {len(self.channels)} blocks")

    @property
    def frames_a_position(self) -> int:
        """Return S: every block but the last halves time and mels."""
        return int(2 ** (len(self.channels) - 1))

    def largest_map(self, frames: int) -> int:
        """Count the elements of a clip's largest map, over the blocks of the network."""
        sizes = enumerate(self.channels)
        return max(channels * (frames >> i) * (self.mels >> i) for i, channels in sizes)


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU: (B, C, T, M) -> (B, C', T, M)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.bn1(self.conv1(x)))
        return F.relu_(self.bn2(self.conv2(x)))


class Cnn14(nn.Module):
    """The network: (B, T, M) decibels -> (B, classes) logits."""

    def __init__(self, config: Cnn14Config) -> None:
        super().__init__()
        self.config = config
        self.bn0 = nn.BatchNorm1d(config.mels)
        inputs = (1, *config.channels)
        for i, outputs in enumerate(config.channels):
            self.add_module(f"conv_block{i + 1}", ConvBlock(inputs[i], outputs))
        self.fc1 = nn.Linear(config.channels[-1], config.hidden)
        self.fc_audioset = nn.Linear(config.hidden, config.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits.

        Args:
            features: (B, T, M) decibels, T at least S.

        Returns:
            (B, classes).

        Raises:
            NiahError: fewer frames than one position has.
        """
        least, frames = self.config.frames_a_position, features.shape[1]
        if frames < least:
            raise NiahError(f"Cnn14 needs at least {least} frames, got {frames}")
        rows = self._rows(features)  # (B, C, N)
        pooled = rows.amax(dim=2) + rows.mean(dim=2)
        logits: Tensor = self.fc_audioset(F.relu_(self.fc1(pooled)))
        return logits

    def _rows(self, features: Tensor) -> Tensor:
        """Average the last map over mels: (B, T, M) -> (B, C, N); in training in one part, for its batch norms."""
        if self.training:
            return self._map(features).mean(dim=3)
        parts = parts_of(features.shape[1], self.config.frames_a_position)
        rows = [self._map(features[:, part])[:, :, own].mean(dim=3) for part, own in parts]
        return torch.cat(rows, dim=2)

    def _map(self, features: Tensor) -> Tensor:
        """Compute the last map: (B, T, M) -> (B, C, N, M / S)."""
        x: Tensor = self.bn0(features.transpose(1, 2)).transpose(1, 2)[:, None]
        for i in range(len(self.config.channels)):
            x = self.get_submodule(f"conv_block{i + 1}")(F.avg_pool2d(x, 2) if i else x)
        return x


def parts_of(frames: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Yield the frames of each part of an input, and which of its positions are its own.

    Args:
        frames: of the input.
        stride: frames a position.
    """
    positions = frames // stride
    for first in range(0, positions, PART):
        last = min(first + PART, positions)
        left, right = max(0, first - SEEN), last + SEEN
        stop = frames if right >= positions else right * stride
        yield slice(left * stride, stop), slice(first - left, last - left)
