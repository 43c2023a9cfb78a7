"""Silero VAD as two classes of waveforms, for the cards beside it: 16 kHz in, logits of speech and of the opposite out.

The network hears frames of 32 ms after the 4 ms before each, and carries an LSTM's state: `SileroVad` over the whole
recording, `SileroAnew` over ten seconds at a time, as a model in windows does. The score of a recording is that of its
quarter second with the most speech: the highest mean probability over eight frames in a row, about the shortest speech
that the package's own `get_speech_timestamps` reports (250 ms).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.cards import ModelCard
from niah.vocabularies import vocabulary

FRAME, CONTEXT = 512, 64  # samples
SMOOTHED = 8  # frames
LEAST = 1e-7  # of a probability and of 1 less it, so that its logarithm is finite
BLOCK = 10_000 * FRAME  # samples in one call of the network: 23 MB of frames
ANEW_S = 10.0  # as long as a needle, and as what taggers are trained on

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class State:
    """What the model keeps of a recording that it has heard a part of.

    Attributes:
        hidden: (1, 1, 128) of the LSTM.
        cell: (1, 1, 128) of the LSTM.
        samples: the last `CONTEXT` samples that were heard, and those that do not fill a frame yet.
        recent: probabilities of the last `SMOOTHED` - 1 frames.
        most: the highest mean so far; negative before the first.
    """

    hidden: Floats
    cell: Floats
    samples: Floats
    recent: Floats
    most: float


_ZEROS = np.zeros((1, 1, 128), np.float32)
START = State(_ZEROS, _ZEROS, np.zeros(CONTEXT, np.float32), np.empty(0, np.float32), -1.0)


class _Silero:
    """The network of github.com/snakers4/silero-vad; it has no gradients and no device."""

    sample_rate = 16000
    max_seconds = None  # any length, in one pass

    def __init__(self, card: ModelCard, **_: Any) -> None:
        self.name = card.name
        self.labels = vocabulary(card.labels_source)
        self._session: onnxruntime.InferenceSession | None = None

    def load_checkpoint(self, path: str | Path) -> None:
        """Open the network, on one thread."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options)

    def _whole(self, wave: Tensor) -> State:
        """Hear a recording (samples,) from its start to its end."""
        state = START
        for samples in torch.split(wave, BLOCK):
            state = self._hear(state, samples.cpu().numpy())
        return state

    def _hear(self, state: State, wave: Floats) -> State:
        assert self._session is not None
        samples = np.concatenate([state.samples, wave])
        frames = (len(samples) - CONTEXT) // FRAME
        if frames == 0:
            return State(state.hidden, state.cell, samples, state.recent, state.most)
        views = np.lib.stride_tricks.sliding_window_view(samples, CONTEXT + FRAME)
        heard = {"input": np.ascontiguousarray(views[::FRAME][:frames])}
        heard |= {"h": state.hidden, "c": state.cell}
        speech, hidden, cell = self._session.run(None, heard)
        recent = np.concatenate([state.recent, speech])
        most = state.most
        if len(recent) >= SMOOTHED:
            means = np.lib.stride_tricks.sliding_window_view(recent, SMOOTHED).mean(axis=1)
            most = max(most, float(means.max()))
        return State(hidden, cell, samples[frames * FRAME :], recent[1 - SMOOTHED :], most)


class SileroVad(_Silero):
    """The state is carried over the whole recording."""

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        """Compute logits: (B, samples) float32 -> (B, 2) float32."""
        return torch.stack([_logits(self._whole(wave).most) for wave in waveforms])

    def start(self) -> State:
        """Return the state before a recording."""
        return START

    def step(self, state: State, waveform: Tensor) -> tuple[State, Tensor | None]:
        """Hear (1, samples) more; return the new state, and (1, 2) logits of all so far, None before a quarter second.

        Args:
            state: of before, which stays as it is.
            waveform: any number of samples.
        """
        state = self._hear(state, waveform[0].cpu().numpy())
        return state, None if state.most < 0 else _logits(state.most)[None]


class SileroAnew(_Silero):
    """The state begins anew every `ANEW_S` seconds; the loudest of these pieces decides."""

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        """Compute logits: (B, samples) float32 -> (B, 2) float32."""
        pieces = round(ANEW_S * self.sample_rate)
        return torch.stack(
            [
                _logits(max(self._whole(piece).most for piece in torch.split(wave, pieces)))
                for wave in waveforms
            ]
        )


def _logits(most: float) -> Tensor:
    """Return log odds of speech and of the opposite, (2,); of a recording too short for a score, even ones."""
    share = 0.5 if most < 0 else min(max(most, LEAST), 1 - LEAST)
    odds = float(np.log(share) - np.log1p(-share))
    return torch.tensor([odds, -odds])
