"""Adapters: a checkpoint as a function from features to logits.

The protocol is all that the harness asks of a model; a user's own class is named by import string in a card and
needs to inherit nothing (docs/your-model.md). `load_model` is the one way to make one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from niah.adapters.checkpoints import State, load_strictly, read_state, state_sha256
from niah.adapters.loading import import_adapter, own_adapter
from niah.adapters.weights import resolve
from niah.cards import RANDOM, ModelCard, find_model
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import AST
from niah.networks.layers.init import without_random_start
from niah.system.download import sha256_of
from niah.vocabularies import Vocabulary, vocabulary

__all__ = [
    "INDEXED_BY_32_BITS",
    "Adapter",
    "NetworkAdapter",
    "choose_device",
    "import_adapter",
    "largest",
    "load_model",
]

INDEXED_BY_32_BITS = 2**31 - 1
INDEXED_BY_64_BITS = 2**63 - 1


@runtime_checkable
class Adapter(Protocol):
    """What the harness asks of a model.

    `logits` takes (B, frames, mels) normalised features on any device and gives (B, classes) float32 on the CPU's or
    the model's device, one column a label of `labels`. `frontend` gives (B, samples) -> (B, frames, mels). `kernel`
    names the scan or attention kernel for the record.
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


class NetworkAdapter(ABC):
    """An adapter around a torch network; the families in this package give `build` and `official_state`.

    A card's `adapter` names a subclass. Evaluation mode, no gradients, `dtype` inside, float32 out.

    `safe_elements` is the most that one tensor holds while 32 bits index it, and batches are taken in parts to keep to
    it; on a CPU everything indexes with 64. torch's own kernels go past it or raise, so one longer clip is still run;
    an adapter some of whose kernels would give wrong figures instead sets `indexes_with_32_bits`, and refuses it.
    """

    kernel = "torch"
    default_frontend: ClassVar[Frontend] = AST
    safe_elements: int = INDEXED_BY_32_BITS
    indexes_with_32_bits: bool = False

    def __init__(
        self,
        card: ModelCard,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        frontend: Frontend | None = None,
    ) -> None:
        self.card = card
        self.name = card.name
        self.frontend: Frontend = frontend or self.default_frontend
        self.sample_rate = self.frontend.sample_rate
        self.labels = vocabulary(card.labels_source)
        self.device = device
        self.dtype = dtype
        self.weights_sha256 = ""
        self.weights_source = ""
        self.random = False
        if device.type == "cpu":
            self.safe_elements = INDEXED_BY_64_BITS
        try:
            with without_random_start():  # `load` or `randomise` come next
                self.network = self.build(card.config, len(self.labels))
        except (TypeError, ValueError) as error:
            raise NiahError(
                f"card {card.path}: [config] does not fit {card.adapter}: {error}"
            ) from None

    @staticmethod
    @abstractmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        """The network of a card's [config]."""

    @staticmethod
    @abstractmethod
    def official_state(state: State, network: nn.Module) -> State:
        """A state dict in the authors' layout, renamed to this network's keys; must not drop what it does not know."""

    def load(self, path: Path) -> None:
        state = self.official_state(read_state(path), self.network)
        load_strictly(self.network, state, str(path))
        self.weights_sha256 = sha256_of(path)
        self.weights_source = str(path)
        self._ready()

    def randomise(self, seed: int) -> None:
        """Seeded random weights, for efficiency only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = self.build(self.card.config, len(self.labels))
        self.weights_sha256 = state_sha256(self.network)
        self.weights_source = RANDOM
        self.random = True
        self._ready()

    def _ready(self) -> None:
        self.network.eval().requires_grad_(False).to(self.device, self.dtype)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Elements of the largest tensor of a forward pass; the input's own where a family does not know better."""
        return batch * frames * self.frontend.mels

    def safe_batch(self, frames: int) -> int:
        """Most clips of that length in one forward pass: one, or as many as stay within `safe_elements`."""
        within = largest(lambda batch: self.largest_tensor(batch, frames) <= self.safe_elements)
        return max(1, within)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(B, frames, mels) normalised -> (B, classes) float32.

        A batch with a tensor past `safe_elements` is taken in parts.

        Raises:
            NiahError: another shape, or a single clip past `safe_elements` where `indexes_with_32_bits`.
        """
        if features.ndim != 3 or features.shape[-1] != self.frontend.mels:
            shape = tuple(features.shape)
            raise NiahError(
                f"{self.name}: features must be (batch, frames, {self.frontend.mels}), got {shape}"
            )
        frames = features.shape[1]
        if self.indexes_with_32_bits and self.largest_tensor(1, frames) > self.safe_elements:
            safe = largest(lambda n: self.largest_tensor(1, n) <= self.safe_elements)
            raise NiahError(
                f"{self.name}: {frames} frames: past what the kernels index; largest safe is {safe} frames"
            )
        if self.largest_tensor(len(features), frames) <= self.safe_elements:
            return self._forward(features)
        parts = torch.split(features, self.safe_batch(frames))
        return torch.cat([self._forward(part) for part in parts])

    def _forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.network(features.to(self.device, self.dtype)).float()
        return out


def load_model(
    model: str | Path,
    checkpoint: str | Path | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
) -> Adapter:
    """A ready adapter.

    Args:
        model: a card's name, `NAME:WEIGHTS`, or the path of a card (`mine.toml`).
        checkpoint: None for the card's own weights (embedded, cached, or fetched), `"random"` for seeded random ones
            (efficiency only), else a file in the authors' or this project's layout.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `float32`, `bfloat16` or `float16`.
        seed: of random weights.

    Raises:
        NiahError: unknown model, weights that do not fit or cannot be had, no such device.
    """
    card, weights = find_model(model)
    adapter = import_adapter(card)(card, device=choose_device(device), dtype=_dtype(dtype))
    if not isinstance(adapter, NetworkAdapter):
        return own_adapter(adapter, card, weights, checkpoint)
    if str(checkpoint) == RANDOM:
        adapter.randomise(seed)
    else:
        adapter.load(Path(checkpoint) if checkpoint else resolve(card, weights))
    return adapter


def choose_device(device: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise NiahError(f"unknown device '{device}': use auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda" and (
        not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()
    ):
        raise NiahError(
            f"device '{device}' is not on this machine: {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    return chosen


def largest(holds: Callable[[int], bool]) -> int:
    """The largest n >= 0 for which `holds(n)`, which must fail for good from some n on."""
    low, high = 0, 1
    while holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _dtype(name: str) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise NiahError(f"unknown dtype '{name}': use {', '.join(known)}")
    return known[name]
