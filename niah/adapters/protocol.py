"""The adapter protocol: what the harness needs of a model, and optional methods that it uses where they exist.

A card names a user's class by its import string; the class need not inherit from anything (docs/your-model.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from niah.frontends import Frontend
from niah.scan import Backend
from niah.vocabularies import Vocabulary

INDEXED_BY_32_BITS = 2**31 - 1
INDEXED_BY_64_BITS = 2**63 - 1


@runtime_checkable
class Adapter(Protocol):
    """A model as the harness sees it.

    name         the card's name
    sample_rate  Hz
    frontend     (B, samples) waveforms -> (B, frames, mels) normalised features
    labels       the vocabulary: one class a column of the logits
    kernel       the scan or attention kernel, for the record
    logits       (B, frames, mels) on any device -> (B, classes) float32, on the CPU or the model's device
    """

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def frontend(self) -> Frontend: ...
    @property
    def labels(self) -> Vocabulary: ...
    @property
    def kernel(self) -> str: ...

    def logits(self, features: Tensor) -> Tensor: ...


@runtime_checkable
class LimitsBatch(Protocol):
    """An adapter that limits its batch: `safe_batch` is the largest number of clips of `frames` frames."""

    def safe_batch(self, frames: int) -> int: ...


@runtime_checkable
class RunsInThreads(Protocol):
    """An adapter that says whether several threads may call its `logits` at once."""

    @property
    def runs_in_threads(self) -> bool: ...


@runtime_checkable
class PositionLogits(Protocol):
    """An adapter, or its network, with a linear head after average pooling: logits at each position of its last map."""

    def position_logits(self, features: Tensor) -> Tensor:
        """Compute logits at each position: (B, frames, mels) -> (B, T, .., classes)."""


@runtime_checkable
class ChoosesScan(Protocol):
    """An adapter, or its network, whose scans run on any backend of `niah.scan`."""

    def set_scan_backend(self, backend: Backend) -> None: ...


@runtime_checkable
class ReusesAnswers(Protocol):
    """An adapter that scores equal parts of its inputs once (`niah.adapters.reuse`)."""

    def forget_answers(self) -> None:
        """Score every part anew from now on."""


@runtime_checkable
class HasNetwork(Protocol):
    """An adapter that exposes its torch network."""

    @property
    def network(self) -> nn.Module: ...


@dataclass(frozen=True)
class AdapterInfo:
    """Facts about a loaded model for the record (`niah.adapters.loading.adapter_info`)."""

    weights_sha256: str  # of the file, or of the random weights themselves; "" where there are none
    weights_source: str  # the file's path, or "random"
    random: bool
    parameters: int
    kernel: str
    fixed_seconds: float | None = None  # what a waveform model pads or crops every input to


def network_of(adapter: object) -> nn.Module | None:
    """Return the adapter's torch network, or None where it exposes none."""
    network = adapter.network if isinstance(adapter, HasNetwork) else None
    return network if isinstance(network, nn.Module) else None


def largest(is_possible: Callable[[int], bool]) -> int:
    """Return the largest n >= 0 for which `is_possible(n)`; from some n on it must be False."""
    low, high = 0, 1
    while is_possible(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_possible(middle) else (low, middle)
    return low
