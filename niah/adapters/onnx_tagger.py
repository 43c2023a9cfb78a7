"""A tagger exported to ONNX, as its card describes it: arrays in, logits of every patch or frame out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.onnx_graph import OnnxGraph
from niah.adapters.patches import PatchScorer
from niah.adapters.probabilities import logits_of
from niah.cards import RANDOM, ModelCard
from niah.errors import NiahError, nearest
from niah.frontends.log_mel import LogMelFrontend
from niah.networks.layers.pooling import POOLINGS, pool
from niah.toml_tables import build
from niah.vocabularies import vocabulary

ACTIVATIONS = ("logits", "probabilities")
NO_POOLING = "none"
_AT_ONCE = 64  # items in one run of a graph that takes any batch
_PATCHES_AT_ONCE = (
    8  # each run has as many, so that a patch's answer does not depend on its company
)
_ENCODED_AT_ONCE = 1 << 12  # frames or samples: what a core's cache holds


@dataclass(frozen=True)
class OnnxSettings:
    """A card's [config]; `niah.adapters.onnx` has the meaning of each key."""

    axes: tuple[str, ...]
    activation: str = "logits"
    pooling: str = NO_POOLING
    output: str = ""
    sample_rate: int = 0  # of graphs of waveforms
    input_scale: float = 0.0
    input_zero_point: int = 0
    output_scale: float = 0.0
    output_zero_point: int = 0

    @classmethod
    def of_card(cls, card: ModelCard, item: tuple[str, ...]) -> "OnnxSettings":
        """Read and check a card's [config].

        Args:
            card: the model.
            item: axes of one clip: ("frames", "mels") or ("samples",).

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
        known = {"batch", "channel", *item}
        if not set(axes) <= known or len(set(axes)) < len(axes) or not set(item) <= set(axes):
            raise NiahError(
                f"{where}: key 'config.axes' must hold {' and '.join(item)}, and batch and channel where the graph has "
                f"them, each once, but {list(axes)} was given"
            )
        return settings

    def scales(self, end: str) -> tuple[float, int] | None:
        """Return (scale, zero point) of "input" or "output" as the card states it; None where it does not."""
        scale = getattr(self, f"{end}_scale")
        return (float(scale), getattr(self, f"{end}_zero_point")) if scale else None


class OnnxTagger:
    """A card's graph and settings.

    Args:
        card: the model.
        frontend: of its features; None for a graph of waveforms.
        on_cuda: whether to run on a CUDA device.

    Raises:
        NiahError: a [config] that makes no sense, or patches without a pooling.
    """

    def __init__(self, card: ModelCard, frontend: LogMelFrontend | None, *, on_cuda: bool) -> None:
        self.frontend = frontend
        self.item = ("samples",) if frontend is None else ("frames", "mels")
        self.settings = OnnxSettings.of_card(card, self.item)
        self.labels = vocabulary(card.labels_source)
        self.where = f"card {card.path}"
        self._on_cuda = on_cuda
        self._graph: OnnxGraph | None = None
        self._patches: PatchScorer | None = None
        if frontend is not None and frontend.patch_frames and not self.pools:
            raise NiahError(
                f"{self.where}: key 'config.pooling' is missing: it says how patches are pooled"
            )

    @property
    def pools(self) -> bool:
        """Return whether there is a logit of every patch or frame, to be pooled."""
        return self.settings.pooling != NO_POOLING

    @property
    def graph(self) -> OnnxGraph:
        """The loaded graph.

        Raises:
            NiahError: there is none yet.
        """
        if self._graph is None:
            raise NiahError(
                f"{self.where}: has no graph: give [weights.NAME], or --checkpoint FILE.onnx"
            )
        return self._graph

    @property
    def fixed_samples(self) -> int | None:
        """The one length that a graph of waveforms takes; None for any."""
        return self.graph.input.shape[self.settings.axes.index("samples")]

    def load(self, path: str | Path) -> None:
        """Load the graph, and see that it takes what the card says.

        Raises:
            NiahError: random weights, or a graph that does not fit the card.
        """
        if str(path) == RANDOM:
            raise NiahError(
                f"{self.where}: an ONNX graph has its weights in it: leave --checkpoint random out"
            )
        settings, name = self.settings, Path(path).name
        graph = OnnxGraph(
            Path(path), f"{self.where}: {name}", output=settings.output, on_cuda=self._on_cuda
        )
        graph.with_scales(settings.scales("input"), settings.scales("output"))
        for problem in self._misfits(graph):
            raise NiahError(f"{self.where}: {name}: {problem}")
        self._graph = graph
        if self.frontend is not None and self.frontend.patch_frames:
            self._patches = PatchScorer(
                self._patch_answers,
                self.frontend.patch_frames,
                self.frontend.patch_hop,
                at_once=_PATCHES_AT_ONCE if self._takes_any_batch(graph) else 1,
            )

    def forget_answers(self) -> None:
        """Score every patch anew from now on."""
        if self._patches is not None:
            self._patches.forget()

    def positions(self, clips: NDArray[np.float32]) -> Tensor:
        """Compute the logits of every patch, or of every frame of the output.

        Args:
            clips: (n, frames, mels) features, or (n, samples) waveforms.

        Returns:
            (n, patches or frames, classes) float32; one position where the output has no frames.
        """
        graph = self.graph
        encoded = [self._encoded(clip) for clip in clips]
        if self._patches is not None and self.frontend is not None:
            silence = np.full(1, self.frontend.silence, np.float32)
            fill = float(graph.input.encode(silence)[0])
            answers = np.stack([self._patches(clip, fill) for clip in encoded])
        else:
            answers = self._answers(np.stack(encoded))
            answers = answers.reshape(len(encoded), -1, answers.shape[-1])
        decoded = graph.output.decode(answers)
        if self.settings.activation == "probabilities":
            decoded = logits_of(decoded)
        return torch.from_numpy(decoded)

    def pooled(self, positions: Tensor, share: float) -> Tensor:
        """Pool logits (n, positions, classes) to (n, classes) as the card says; `share` is the needle's of the scene.

        Raises:
            NiahError: several positions, and no pooling.
        """
        if self.pools:
            return pool(positions, self.settings.pooling, share)
        if positions.shape[1] != 1:
            raise NiahError(
                f"{self.where}: the graph gives {positions.shape[1]} scores of each class: set config.pooling"
            )
        return positions[:, 0]

    def _encoded(self, clip: NDArray[np.float32]) -> NDArray[np.generic]:
        """Encode a clip in blocks: 8-bit features of hours are a quarter of float ones."""
        port = self.graph.input
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
                f"{self.where}: the graph gives several scores of each class for a patch: leave patch_frames out"
            )
        return answers.reshape(len(patches), -1)

    def _answers(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Clips or patches (n, ..) encoded -> (n, classes) or (n, T, classes) as the graph gives them."""
        graph = self.graph
        answers = np.concatenate(list(self._runs(graph, values)))
        if answers.ndim < 2 or answers.shape[-1] != len(self.labels):
            raise NiahError(
                f"{self.where}: the graph's output {graph.output} is {answers.shape[1:]} a clip, must end with the "
                f"{len(self.labels)} classes of '{self.labels.name}'"
            )
        return answers

    def _runs(self, graph: OnnxGraph, values: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
        axes = self.settings.axes
        has_batch = "batch" in axes
        size = _AT_ONCE if self._takes_any_batch(graph) else 1
        for first in range(0, len(values), size):
            answers = graph.run(arranged(values[first : first + size], axes, self.item))
            yield answers if has_batch else answers[None]

    def _takes_any_batch(self, graph: OnnxGraph) -> bool:
        axes = self.settings.axes
        return "batch" in axes and graph.input.shape[axes.index("batch")] is None

    def _misfits(self, graph: OnnxGraph) -> Iterator[str]:
        axes, frontend = self.settings.axes, self.frontend
        shape = graph.input.shape
        if len(shape) != len(axes):
            yield f"input {graph.input} has {len(shape)} axes, and config.axes names {len(axes)} ({', '.join(axes)})"
            return
        sizes = dict(zip(axes, shape, strict=True))
        if sizes.get("channel") not in (None, 1):
            yield f"input {graph.input} has {sizes['channel']} channels; only one is made"
        if sizes.get("batch") not in (None, 1):
            yield f"input {graph.input} takes {sizes['batch']} at once: export it with a batch of 1 or of any size"
        if frontend is not None and sizes["mels"] not in (None, frontend.mels):
            yield f"input {graph.input} has {sizes['mels']} mels, and frontend.n_mels is {frontend.mels}"
        if frontend is not None and sizes["frames"] not in (None, frontend.patch_frames):
            yield f"input {graph.input} takes {sizes['frames']} frames: set frontend.patch_frames = {sizes['frames']}"
        if graph.output.shape and graph.output.shape[-1] not in (None, len(self.labels)):
            yield (
                f"output {graph.output} has {graph.output.shape[-1]} classes, and '{self.labels.name}' has "
                f"{len(self.labels)}"
            )
        more = graph.output.shape[1 if "batch" in axes else 0 : -1]  # axes beside the classes
        if len(more) == 1 and more != (1,) and not self.pools:  # a patch without pooling is refused
            yield (
                f"output {graph.output} has {more[0] or 'several'} scores of each class: set config.pooling"
            )


def arranged(
    values: NDArray[np.generic], axes: tuple[str, ...], item: tuple[str, ...]
) -> NDArray[np.generic]:
    """Bring clips (n, of an item) into a graph's order of axes; without "batch" n must be 1."""
    source = ["batch", *item]
    if "batch" not in axes:
        values, source = values[0], source[1:]
    values = values.transpose([source.index(axis) for axis in axes if axis != "channel"])
    if "channel" in axes:
        values = np.expand_dims(values, axes.index("channel"))
    return np.ascontiguousarray(values)
