"""Taggers of waveforms that hear the pure tones of `tests.helpers.tiny`: by the loudest 32 ms in each pitch's band."""

from typing import Any

import torch
from torch import Tensor

from niah.cards import ModelCard
from niah.vocabularies import Vocabulary
from tests.helpers.tiny import HERTZ, IDS, SAMPLE_RATE

LABELS = Vocabulary("labels", IDS, tuple(id_[3:] for id_ in IDS))
WINDOW = 512


def by_pitch(waveforms: Tensor) -> Tensor:
    """(B, samples) at 16 kHz -> (B, 3): the log power of each band at its loudest, less the other bands'."""
    missing = max(0, WINDOW - waveforms.shape[1])
    frames = torch.nn.functional.pad(waveforms, (0, missing)).unfold(1, WINDOW, WINDOW)
    power = torch.fft.rfft(frames).abs().square()
    hertz = torch.arange(power.shape[-1]) * SAMPLE_RATE / WINDOW
    bands = [power[..., (hertz > 0.8 * f) & (hertz < 1.25 * f)].sum(dim=-1) for f in HERTZ]
    loudest = torch.stack([(band.amax(dim=1) + 1e-9).log() for band in bands], dim=1)
    return 1.5 * loudest - 0.5 * loudest.sum(dim=1, keepdim=True)


class PitchTagger:
    """A waveform model as an object; keeps the length and the batch of every input."""

    def __init__(self, name: str = "pitch", **limits: Any) -> None:
        self.name = name
        self.sample_rate = SAMPLE_RATE
        self.labels = LABELS
        self.max_seconds: float | None = limits.get("max_seconds")
        self.fixed_seconds: float | None = limits.get("fixed_seconds")
        self.inputs: list[tuple[int, int]] = []

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        self.inputs.append((waveforms.shape[0], waveforms.shape[1]))
        return by_pitch(waveforms)


class CardTagger(PitchTagger):
    """The same, as a card makes it."""

    def __init__(self, card: ModelCard, *, device: torch.device, dtype: torch.dtype) -> None:  # noqa: ARG002
        super().__init__(card.name, **card.config)


class WeightedTagger(CardTagger):
    """One with a weight: what is added to all logits."""

    offset = 0.0

    def load_checkpoint(self, path: Any) -> None:
        self.offset = 0.0 if path == "random" else float(path.read_text())

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        return super().waveform_logits(waveforms) + self.offset
