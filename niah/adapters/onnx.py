"""Taggers exported to ONNX, by card: what goes in, in which order of axes, and how the output is pooled; no code.

`niah.adapters.onnx:Onnx` takes log-mel features of the card's [frontend] (`niah.frontends.log_mel`), whose frames lie
10 ms apart, so that scenes are made of features. `niah.adapters.onnx:OnnxWaveform` takes waveforms: the graph's own
input, or, where the card has a [frontend], what its features (with any hop) are computed from. Keys of [config]:

    axes         order of the input's axes: "batch", "channel" (of size 1), "frames" and "mels", or "samples"; a graph
                 without a batch axis is run clip by clip
    activation   of the output: "logits", or "probabilities" p, scored by ln(p / (1 - p)), p kept to [1e-7, 1 - 1e-7]
    pooling      over patches (`patch_frames` in [frontend]) or over the output's own axis of frames, by
                 `niah.networks.layers.pooling`; "none" for one row of scores a clip
    output       name of the output, where there are several
    sample_rate  in Hz, of a graph of waveforms
    input_scale, input_zero_point, output_scale, output_zero_point    of 8-bit ends, where the graph does not say

The output is (batch, classes) or (batch, frames, classes), without the batch where the input has none.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from niah.adapters.onnx_tagger import OnnxTagger
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.frontends.log_mel import LogMelFrontend, from_card

_NEEDLE_S = 10.0


class Onnx:
    """An ONNX graph of log-mel features as an adapter."""

    kernel = "onnxruntime"
    takes_random = False  # the graph has its weights in it

    def __init__(
        self, card: ModelCard, *, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        _check_dtype(card, dtype)
        if "samples" in card.config.get("axes", ()):
            raise NiahError(
                f"card {card.path}: axes = {card.config['axes']} are those of a waveform: "
                'take adapter = "niah.adapters.onnx:OnnxWaveform"'
            )
        self.name = card.name
        self.frontend: LogMelFrontend = from_card(card)
        self._tagger = OnnxTagger(card, self.frontend, on_cuda=device.type == "cuda")
        self.labels = self._tagger.labels
        self.sample_rate = self.frontend.sample_rate
        self.weights_sha256 = ""
        if not self.frontend.is_10_ms:
            hop_ms = 1000 * self.frontend.hop_length / self.sample_rate
            raise NiahError(
                f"card {card.path}: frontend.hop_length is {hop_ms:g} ms, and frames of scenes lie 10 ms apart: "
                'take adapter = "niah.adapters.onnx:OnnxWaveform"'
            )
        if self._tagger.pools:
            self.position_logits: Callable[[Tensor], Tensor] = self._position_logits

    def load_checkpoint(self, path: str | Path) -> None:
        """Load the graph, and see that it takes what the card says.

        Raises:
            NiahError: random weights, or a graph that does not fit the card.
        """
        self._tagger.load(path)
        self.weights_sha256 = self._tagger.graph.sha256

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Score clips of any length: (B, frames, mels) normalised -> (B, classes) float32.

        Raises:
            NiahError: another shape, or a graph that answers with another one.
        """
        share = min(1.0, self.frontend.needle_frames / max(1, features.shape[1]))
        return self._tagger.pooled(self._position_logits(features), share)

    def forget_answers(self) -> None:
        """Score every patch anew from now on."""
        self._tagger.forget_answers()

    @torch.inference_mode()
    def _position_logits(self, features: Tensor) -> Tensor:
        """(B, frames, mels) -> (B, patches or frames of the output, classes) float32."""
        if features.ndim != 3 or features.shape[-1] != self.frontend.mels or not features.shape[1]:
            shape = tuple(features.shape)
            raise NiahError(
                f"{self.name}: features must be (batch, frames, {self.frontend.mels}), got {shape}"
            )
        return self._tagger.positions(features.detach().float().cpu().contiguous().numpy())


class OnnxWaveform:
    """An ONNX graph as a model of waveforms (`niah.adapters.waveform.WaveformModel`).

    A graph of one length has shorter inputs filled up with zeros, and longer ones refused (`fixed_seconds`).
    """

    kernel = "onnxruntime"
    takes_random = False  # the graph has its weights in it
    max_seconds: float | None = None
    fixed_seconds: float | None = None

    def __init__(
        self, card: ModelCard, *, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        _check_dtype(card, dtype)
        self.name = card.name
        self._frontend = from_card(card) if card.frontend else None
        self._tagger = OnnxTagger(card, self._frontend, on_cuda=device.type == "cuda")
        self.labels = self._tagger.labels
        self.weights_sha256 = ""
        stated = self._tagger.settings.sample_rate
        self.sample_rate = stated if self._frontend is None else self._frontend.sample_rate
        if not self.sample_rate:
            raise NiahError(f"card {card.path}: key 'config.sample_rate' is missing")
        if self._tagger.pools:
            self.waveform_positions: Callable[[Tensor], Tensor] = self._positions

    def load_checkpoint(self, path: str | Path) -> None:
        """Load the graph, and see that it takes what the card says.

        Raises:
            NiahError: random weights, or a graph that does not fit the card.
        """
        self._tagger.load(path)
        self.weights_sha256 = self._tagger.graph.sha256
        if self._frontend is None and self._tagger.fixed_samples is not None:
            self.fixed_seconds = self._tagger.fixed_samples / self.sample_rate

    def forget_answers(self) -> None:
        """Score every patch anew from now on."""
        self._tagger.forget_answers()

    @torch.inference_mode()
    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        """Score waveforms: (B, samples) float32 -> (B, classes) float32.

        Raises:
            NiahError: too short for a frame, or a graph that answers with another shape.
        """
        seconds = waveforms.shape[1] / self.sample_rate
        return self._tagger.pooled(self._positions(waveforms), min(1.0, _NEEDLE_S / seconds))

    @torch.inference_mode()
    def _positions(self, waveforms: Tensor) -> Tensor:
        """(B, samples) -> (B, patches or frames of the output, classes) float32."""
        seconds = waveforms.shape[1] / self.sample_rate
        if self._frontend is not None:
            clips = self._frontend(waveforms.float())
            if clips.shape[1] == 0:
                raise NiahError(f"{self.name}: {seconds:g} s are shorter than a frame")
        else:
            missing = (self._tagger.fixed_samples or 0) - waveforms.shape[1]
            clips = torch.nn.functional.pad(waveforms.float(), (0, max(0, missing)))
        return self._tagger.positions(clips.cpu().numpy().astype(np.float32, copy=False))


def _check_dtype(card: ModelCard, dtype: torch.dtype) -> None:
    if dtype != torch.float32:
        raise NiahError(f"{card.name}: an ONNX graph has its own number types: leave --dtype out")
