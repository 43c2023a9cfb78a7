"""Adapters: a checkpoint as a function from features to logits.

The protocol is all that the harness asks of a model; a user's own class is named by import string in a card and
needs to inherit nothing. `load_model` is the one way to make one.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from niah.cards import ModelCard, find_model
from niah.checkpoints import State, load_strictly, read_state, state_sha256
from niah.download import sha256_of
from niah.errors import NiahError
from niah.features import KaldiFrontend
from niah.vocabularies import Vocabulary, vocabulary
from niah.weights import resolve

RANDOM = "random"


@runtime_checkable
class Adapter(Protocol):
    """What the harness asks of a model.

    `logits` takes (B, frames, mels) normalised features on any device and gives (B, classes) float32 on the CPU's or
    the model's device, one column a label of `labels`. `frontend` gives (B, samples) -> (B, frames, mels). `kernel`
    names the scan or attention kernel for the record.
    """

    name: str
    sample_rate: int
    frontend: KaldiFrontend
    labels: Vocabulary
    kernel: str

    def logits(self, features: Tensor) -> Tensor: ...


class NetworkAdapter(ABC):
    """An adapter around a torch network; the families in this package give `build` and `official_state`.

    A card's `adapter` names a subclass. Evaluation mode, no gradients, `dtype` inside, float32 out.
    """

    kernel = "torch"

    def __init__(
        self,
        card: ModelCard,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        frontend: KaldiFrontend | None = None,
    ) -> None:
        self.card = card
        self.name = card.name
        self.frontend = frontend or KaldiFrontend()
        self.sample_rate = self.frontend.sample_rate
        self.labels = vocabulary(card.labels_source)
        self.device = device
        self.dtype = dtype
        self.weights_sha256 = ""
        self.weights_source = ""
        self.random = False
        try:
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

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(B, frames, mels) normalised -> (B, classes) float32."""
        if features.ndim != 3 or features.shape[-1] != self.frontend.mels:
            shape = tuple(features.shape)
            raise NiahError(
                f"{self.name}: features must be (batch, frames, {self.frontend.mels}), got {shape}"
            )
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
    if not isinstance(adapter, NetworkAdapter):  # a user's own class: it loads as it likes
        if hasattr(adapter, "load_checkpoint"):
            adapter.load_checkpoint(checkpoint)
        return check_protocol(adapter)
    if str(checkpoint) == RANDOM:
        adapter.randomise(seed)
    else:
        adapter.load(Path(checkpoint) if checkpoint else resolve(card, weights))
    return check_protocol(adapter)


def import_adapter(card: ModelCard) -> Any:
    """The class that a card's import string names."""
    module_name, _, attribute = card.adapter.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise NiahError(
            f"card {card.path}: adapter '{card.adapter}' cannot be imported: {error}"
        ) from None
    except AttributeError:
        raise NiahError(f"card {card.path}: module '{module_name}' has no '{attribute}'") from None


def check_protocol(adapter: Any) -> Adapter:
    missing = [
        name
        for name in ("name", "sample_rate", "frontend", "labels", "kernel", "logits")
        if not hasattr(adapter, name)
    ]
    if missing:
        raise NiahError(f"{type(adapter).__name__} is no adapter: it lacks {', '.join(missing)}")
    checked: Adapter = adapter
    return checked


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


def _dtype(name: str) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise NiahError(f"unknown dtype '{name}': use {', '.join(known)}")
    return known[name]
