"""Models that take waveforms: their protocol, and the adapter that runs them like any other model.

A scene for them is rows of samples (`niah.frontends.waveform`), so that sliding windows, controls, localisation by
occlusion, resuming and batches are those of every adapter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.identity import loaded_late, remembering
from niah.adapters.protocol import INDEXED_BY_32_BITS, ReusesAnswers
from niah.errors import NiahError
from niah.frontends.waveform import NEEDLE_S, WaveformFrontend
from niah.vocabularies import Vocabulary

WaveformFunction = Callable[[Tensor], Tensor | NDArray[np.floating[Any]]]
_OPTIONAL = ("parameters", "weights_sha256", "weights_source", "random")
_KERNEL = "waveform"


def window_s(adapter: object) -> float:
    """Return the seconds of a sliding window for an adapter: a needle's 10 s, or the longest that it takes."""
    longest = adapter.longest_s if isinstance(adapter, WaveformAdapter) else None
    return NEEDLE_S if longest is None else min(NEEDLE_S, longest)


@runtime_checkable
class WaveformModel(Protocol):
    """A tagger of waveforms, as a card or `niah.run(models=[..])` takes it.

    Attributes used where a model has them: `kernel` (text for the record), `parameters`, `weights_sha256`,
    `weights_source`, `fixed_seconds` (the length that it pads or crops every input to), `safe_batch(samples)` (the
    most waveforms of that length in one call) and `waveform_positions(waveforms)` (logits (B, T, classes) before they
    are pooled over time, for `--pooling`).
    """

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int:
        """Rate in Hz, a multiple of 100."""

    @property
    def labels(self) -> Vocabulary: ...
    @property
    def max_seconds(self) -> float | None:
        """The longest input in seconds; None for any length."""

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        """(B, samples) float32 on the CPU, full scale 1 -> (B, classes) logits."""


@dataclass(frozen=True)
class FunctionModel:
    """A plain function of waveforms as a `WaveformModel`."""

    function: WaveformFunction
    name: str
    sample_rate: int
    labels: Vocabulary
    max_seconds: float | None = None
    fixed_seconds: float | None = None

    def waveform_logits(self, waveforms: Tensor) -> Any:
        """Call the function."""
        return self.function(waveforms)


class WaveformAdapter:
    """A `WaveformModel` as an adapter: `logits` takes rows of samples.

    Args:
        model: its `labels`, rate and limits are read once.

    Raises:
        NiahError: a sample rate that is no multiple of 100 Hz, or a limit that is no length.
    """

    def __init__(self, model: WaveformModel) -> None:
        self.model = model
        self._counted = model.function if isinstance(model, FunctionModel) else model
        self.name = model.name
        self.labels = model.labels
        self.frontend = WaveformFrontend(model.sample_rate)
        self.sample_rate = model.sample_rate
        self.kernel: str = getattr(model, "kernel", _KERNEL)
        self.max_seconds = seconds_of(model, "max_seconds")
        self.fixed_seconds = seconds_of(model, "fixed_seconds")
        if hasattr(model, "waveform_positions"):
            self.position_logits: Callable[[Tensor], Tensor] = self._position_logits
        for name in _OPTIONAL:
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    @property
    def longest_s(self) -> float | None:
        """The longest native input in seconds; None for any."""
        limits = [s for s in (self.max_seconds, self.fixed_seconds) if s is not None]
        return min(limits, default=None)

    def safe_batch(self, frames: int) -> int:
        """Return the most scenes of that length in one call of the model."""
        samples = self.frontend.samples(frames)
        if hasattr(self.model, "safe_batch"):
            return max(1, int(self.model.safe_batch(samples)))
        return max(1, INDEXED_BY_32_BITS // samples)

    def forget_answers(self) -> None:
        """Have the model score every part of its inputs anew from now on."""
        if isinstance(self.model, ReusesAnswers):
            self.model.forget_answers()

    def loaded_late(self) -> list[str]:
        """Return the names of networks that the model's calls have loaded: their weights are not in its identity."""
        return [] if getattr(self.model, "weights_sha256", "") else loaded_late(self._counted)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Compute the logits of scenes given as rows of samples.

        Args:
            features: (B, rows, samples of a row) float32, as `frontend` gives them.

        Returns:
            (B, classes) float32.

        Raises:
            NiahError: another shape, a length that the model does not take, or an answer of another shape.
        """
        return torch.cat([self._checked(part) for part in self._parts(features)])

    @torch.inference_mode()
    def _position_logits(self, features: Tensor) -> Tensor:
        """Compute (B, T, classes) of scenes given as rows of samples, as `logits` does."""
        model: Any = self.model
        with remembering(self._counted):
            answers = [model.waveform_positions(part) for part in self._parts(features)]
        return torch.cat([torch.as_tensor(answer).float() for answer in answers])

    def _parts(self, features: Tensor) -> tuple[Tensor, ...]:
        """Split rows into batches of waveforms (b, samples) that the model takes in one call."""
        if features.ndim != 3 or features.shape[-1] != self.frontend.mels or not features.shape[1]:
            raise NiahError(
                f"{self.name}: rows must be (batch, rows, {self.frontend.mels}), got {tuple(features.shape)}"
            )
        waveforms = features.detach().reshape(len(features), -1)
        self._check_length(waveforms.shape[1] / self.sample_rate)
        return torch.split(waveforms, self.safe_batch(features.shape[1]))

    def _check_length(self, seconds: float) -> None:
        if self.fixed_seconds is not None and seconds > self.fixed_seconds:
            raise NiahError(
                f"{self.name} crops to {self.fixed_seconds:g} s, so {seconds:g} s have no native mode: "
                f"add --window {self.fixed_seconds:g}"
            )
        if self.max_seconds is not None and seconds > self.max_seconds:
            raise NiahError(
                f"{self.name} takes at most {self.max_seconds:g} s, got {seconds:g} s: add "
                f"--window {min(10.0, self.max_seconds):g} to run it over windows"
            )

    def _checked(self, waveforms: Tensor) -> Tensor:
        wanted = (len(waveforms), len(self.labels))  # before the model may change their shape
        with remembering(self._counted):
            answer = self.model.waveform_logits(waveforms)
        try:
            stated = torch.as_tensor(_native(answer))
        except (TypeError, ValueError, RuntimeError):
            kind = type(answer).__name__
            kind += f" of {getattr(answer, 'dtype', '')}".removesuffix(" of ")
            raise NiahError(
                f"{self.name}: logits must be a tensor or an array of numbers, not {kind}"
            ) from None
        if stated.layout is not torch.strided:
            raise NiahError(f"{self.name}: logits must be dense, not {stated.layout}")
        if stated.is_complex():
            raise NiahError(f"{self.name}: logits must be real numbers, not {stated.dtype}")
        logits = stated.float()
        if tuple(logits.shape) != wanted:
            raise NiahError(
                f"{self.name}: logits of {wanted[0]} waveforms are {tuple(logits.shape)}, must be {wanted}: "
                f"one column a label of '{self.labels.name}'"
            )
        return logits


def _native(answer: Any) -> Any:
    """Return an array, or a list of arrays, as torch takes it: of a native type, in memory order; else as it is.

    It is a copy: torch warns of arrays that cannot be written to, as JAX's are.
    """
    if isinstance(answer, list) and all(isinstance(row, np.ndarray) for row in answer):
        answer = np.array(answer)  # torch would take the rows one number after another
    if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "biuf":
        return answer
    native = np.float64 if answer.dtype.itemsize > 8 else answer.dtype.newbyteorder("=")
    return np.array(answer, dtype=native, order="C")


def seconds_of(model: object, name: str) -> float | None:
    """Read a limit (`max_seconds`, `fixed_seconds`) of a waveform model; None where it has none.

    Raises:
        NiahError: it is no length in seconds.
    """
    seconds = getattr(model, name, None)
    if seconds is None:
        return None
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds < math.inf:
        raise NiahError(f"{name} must be None or seconds above 0, got {seconds!r}")
    return float(seconds)
