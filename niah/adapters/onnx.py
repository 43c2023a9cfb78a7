"""Taggers exported to ONNX, by card: what goes in, in which order of axes, and how the output is pooled; no code.

A card's [config] for `niah.adapters.onnx:Onnx`, whose [frontend] has frames 10 ms apart (`niah.frontends.log_mel`):

    axes         order of the input's axes: "batch", "channel" (of size 1), "frames", "mels"; a graph without a batch
                 axis is run clip by clip
    activation   of the output: "logits", or "probabilities" p, scored by ln(p / (1 - p)), p kept to [1e-7, 1 - 1e-7]
    pooling      over patches (`patch_frames` in [frontend]) or over the output's own axis of frames, by
                 `niah.networks.layers.pooling`; "none" for one row of scores a clip
    output       name of the output, where there are several
    input_scale, input_zero_point, output_scale, output_zero_point    of 8-bit ends, where the graph does not say

The output is (batch, classes) or (batch, frames, classes), without the batch where the input has none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.onnx_graph import OnnxGraph
from niah.adapters.patches import PatchScorer
from niah.cards import RANDOM, ModelCard
from niah.errors import NiahError, nearest
from niah.frontends.log_mel import LogMelFrontend, from_card
from niah.networks.layers.pooling import POOLINGS, pool
from niah.toml_tables import build
from niah.vocabularies import vocabulary

ACTIVATIONS = ("logits", "probabilities")
NO_POOLING = "none"
LEAST_PROBABILITY = 1e-7
_AXES = ("batch", "channel", "frames", "mels")
_AT_ONCE = 64  # patches in one run of a graph that takes any batch
_ENCODED_AT_ONCE = 1 << 16  # frames


@dataclass(frozen=True)
class OnnxSettings:
    """A card's [config]."""

    axes: tuple[str, ...]
    activation: str = "logits"
    pooling: str = NO_POOLING
    output: str = ""
    input_scale: float = 0.0
    input_zero_point: int = 0
    output_scale: float = 0.0
    output_zero_point: int = 0

    @classmethod
    def of_card(cls, card: ModelCard) -> "OnnxSettings":
        """Read and check a card's [config].

        Raises:
            NiahError: a key that is unknown, missing, of another type or value; file and key are named.
        """
        where = f"card {card.path}"
        settings = build(cls, card.config, where, prefix="config.")
        words = {"activation": ACTIVATIONS, "pooling": (NO_POOLING, *POOLINGS)}
        for name, choices in words.items():
            if (value := getattr(settings, name)) not in choices:
                raise NiahError(
                    f"{where}: key 'config.{name}' must be {' or '.join(choices)} but {value!r} was given."
                    f"{nearest(value, choices)}"
                )
        axes = settings.axes
        if (
            not set(axes) <= set(_AXES)
            or len(set(axes)) < len(axes)
            or not {"frames", "mels"} <= set(axes)
        ):
            raise NiahError(
                f"{where}: key 'config.axes' must hold frames, mels, and batch and channel where the graph has them, "
                f"each once, but {list(axes)} was given"
            )
        return settings

    def scales(self, end: str) -> tuple[float, int] | None:
        """(scale, zero point) of "input" or "output" as the card states it; None where it does not."""
        scale = getattr(self, f"{end}_scale")
        return (float(scale), getattr(self, f"{end}_zero_point")) if scale else None


class Onnx:
    """An ONNX graph over log-mel features as an adapter."""

    kernel = "onnxruntime"

    def __init__(
        self, card: ModelCard, *, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        if dtype != torch.float32:
            raise NiahError(
                f"{card.name}: an ONNX graph has its own number types: leave --dtype out"
            )
        self.name = card.name
        self.settings = OnnxSettings.of_card(card)
        self.labels = vocabulary(card.labels_source)
        self.frontend: LogMelFrontend = from_card(card)
        self.sample_rate = self.frontend.sample_rate
        self.weights_sha256 = ""
        self._where = f"card {card.path}"
        self._on_cuda = device.type == "cuda"
        self._graph: OnnxGraph | None = None
        self._patches: PatchScorer | None = None
        if not self.frontend.is_10_ms:
            raise NiahError(
                f"{self._where}: frontend.hop_length is {1000 * self.frontend.hop_length / self.sample_rate:g} ms; "
                "frames of scenes lie 10 ms apart"
            )
        if self.frontend.patch_frames and self.settings.pooling == NO_POOLING:
            raise NiahError(
                f"{self._where}: key 'config.pooling' is missing: it says how patches are pooled"
            )
        if self.settings.pooling != NO_POOLING:
            self.position_logits: Callable[[Tensor], Tensor] = self._position_logits

    def load_checkpoint(self, path: str | Path) -> None:
        """Load the graph, and see that it takes what the card says.

        Raises:
            NiahError: random weights, or a graph that does not fit the card.
        """
        if str(path) == RANDOM:
            raise NiahError(
                f"{self.name}: an ONNX graph has its weights in it: leave --checkpoint random out"
            )
        settings = self.settings
        graph = OnnxGraph(
            Path(path),
            f"{self._where}: {Path(path).name}",
            output=settings.output,
            on_cuda=self._on_cuda,
        )
        graph.with_scales(settings.scales("input"), settings.scales("output"))
        for problem in self._misfits(graph):
            raise NiahError(f"{self._where}: {Path(path).name}: {problem}")
        self._graph, self.weights_sha256 = graph, graph.sha256
        if self.frontend.patch_frames:
            self._patches = PatchScorer(
                self._patch_answers, self.frontend.patch_frames, self.frontend.patch_hop
            )

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(B, frames, mels) normalised -> (B, classes) float32.

        Raises:
            NiahError: another shape, or a graph that answers with another one.
        """
        positions = self._position_logits(features)
        if self.settings.pooling == NO_POOLING:
            if positions.shape[1] != 1:
                raise NiahError(
                    f"{self.name}: the graph gives {positions.shape[1]} scores of each class: set config.pooling"
                )
            return positions[:, 0]
        return pool(
            positions,
            self.settings.pooling,
            min(1.0, self.frontend.needle_frames / features.shape[1]),
        )

    @torch.inference_mode()
    def _position_logits(self, features: Tensor) -> Tensor:
        """(B, frames, mels) -> (B, patches or frames of the output, classes) float32."""
        if features.ndim != 3 or features.shape[-1] != self.frontend.mels or not features.shape[1]:
            shape = tuple(features.shape)
            raise NiahError(
                f"{self.name}: features must be (batch, frames, {self.frontend.mels}), got {shape}"
            )
        graph = self._loaded()
        clips = [self._encoded(clip) for clip in features.float().cpu().numpy()]
        if self._patches is not None:
            fill = float(graph.input.encode(np.full(1, self.frontend.silence, np.float32))[0])
            answers = np.stack([self._patches(clip, fill) for clip in clips])
        else:
            answers = self._answers(np.stack(clips))
            answers = answers.reshape(len(clips), -1, answers.shape[-1])
        decoded = graph.output.decode(answers)
        if self.settings.activation == "probabilities":
            p = np.clip(decoded.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
            decoded = (np.log(p) - np.log1p(-p)).astype(np.float32)
        return torch.from_numpy(decoded)

    def _loaded(self) -> OnnxGraph:
        if self._graph is None:
            raise NiahError(
                f"{self._where}: has no graph: give [weights.NAME], or --checkpoint FILE.onnx"
            )
        return self._graph

    def _encoded(self, clip: NDArray[np.float32]) -> NDArray[np.generic]:
        """A clip's features as the graph takes them, in blocks: 8-bit ones of hours are a quarter in memory."""
        port = self._loaded().input
        out = np.empty(clip.shape, port.dtype)
        for first in range(0, len(clip), _ENCODED_AT_ONCE):
            part = slice(first, first + _ENCODED_AT_ONCE)
            out[part] = port.encode(clip[part])
        return out

    def _patch_answers(self, patches: NDArray[np.generic]) -> NDArray[np.generic]:
        """(n, frames, mels) encoded -> (n, classes) as the graph gives them."""
        answers = self._answers(patches)
        if answers.size != len(patches) * answers.shape[-1]:
            raise NiahError(
                f"{self.name}: the graph gives several scores of each class for a patch: leave patch_frames out"
            )
        return answers.reshape(len(patches), -1)

    def _answers(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """(n, frames, mels) encoded -> (n, classes) or (n, T, classes) as the graph gives them."""
        graph = self._loaded()
        answers = np.concatenate(list(self._runs(graph, values)))
        if answers.ndim < 2 or answers.shape[-1] != len(self.labels):
            raise NiahError(
                f"{self._where}: the graph's output {graph.output} is {answers.shape[1:]} a clip, must end with the "
                f"{len(self.labels)} classes of '{self.labels.name}'"
            )
        return answers

    def _runs(self, graph: OnnxGraph, values: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
        axes = self.settings.axes
        has_batch = "batch" in axes
        size = _AT_ONCE if has_batch and graph.input.shape[axes.index("batch")] is None else 1
        for first in range(0, len(values), size):
            answers = graph.run(arranged(values[first : first + size], axes))
            yield answers if has_batch else answers[None]

    def _misfits(self, graph: OnnxGraph) -> Iterator[str]:
        axes, frontend = self.settings.axes, self.frontend
        shape = graph.input.shape
        if len(shape) != len(axes):
            yield f"input {graph.input} has {len(shape)} axes, and config.axes names {len(axes)} ({', '.join(axes)})"
            return
        for axis, size in zip(axes, shape, strict=True):
            if axis == "mels" and size not in (None, frontend.mels):
                yield f"input {graph.input} has {size} mels, and frontend.n_mels is {frontend.mels}"
            if axis == "channel" and size not in (None, 1):
                yield f"input {graph.input} has {size} channels; only one is made"
            if axis == "batch" and size not in (None, 1):
                yield f"input {graph.input} takes {size} at once: export it with a batch of 1 or of any size"
            if axis == "frames" and size is not None and size != frontend.patch_frames:
                yield f"input {graph.input} takes {size} frames: set frontend.patch_frames = {size}"
        if graph.output.shape and graph.output.shape[-1] not in (None, len(self.labels)):
            yield (
                f"output {graph.output} has {graph.output.shape[-1]} classes, and '{self.labels.name}' has "
                f"{len(self.labels)}"
            )


def arranged(values: NDArray[np.generic], axes: tuple[str, ...]) -> NDArray[np.generic]:
    """(n, frames, mels) with its axes in a graph's order; without "batch" n must be 1."""
    order = [axis for axis in axes if axis != "channel"]
    source = ["batch", "frames", "mels"]
    if "batch" not in axes:
        values, source = values[0], source[1:]
    values = values.transpose([source.index(axis) for axis in order])
    if "channel" in axes:
        values = np.expand_dims(values, axes.index("channel"))
    return np.ascontiguousarray(values)
