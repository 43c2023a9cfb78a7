"""The adapter of this package's own network families: features to logits, in batches that kernels can index."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from niah.adapters.checkpoints import (
    State,
    file_and_set,
    load_strictly,
    read_checkpoint,
    state_sha256,
)
from niah.adapters.protocol import INDEXED_BY_32_BITS, INDEXED_BY_64_BITS, largest
from niah.cards import RANDOM, ModelCard
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import AST
from niah.networks.layers.init import without_random_start
from niah.randomness import torch_seed
from niah.system.download import sha256_of
from niah.vocabularies import vocabulary


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
        """Load a checkpoint strictly, and make the network ready.

        Raises:
            NiahError: no checkpoint, or one that does not fit this model.
        """
        checkpoint = read_checkpoint(path)
        state = self.official_state(checkpoint.state, self.network)
        load_strictly(self.network, state, str(path))
        self.weights_sha256 = sha256_of(file_and_set(path)[0])
        self.weights_source = f"{path} ({checkpoint.note})" if checkpoint.note else str(path)
        self._ready()

    def randomise(self, seed: int) -> None:
        """Seeded random weights, for efficiency only."""
        with torch_seed(seed):
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

    def tokens(self, frames: int) -> int | None:  # noqa: ARG002
        """Return the tokens of an input of `frames` frames; None for a network without any."""
        return None

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
            NiahError: another shape, fewer frames than the network needs, or a single clip past `safe_elements` where
                `indexes_with_32_bits`.
        """
        if features.ndim != 3 or features.shape[-1] != self.frontend.mels:
            shape = tuple(features.shape)
            raise NiahError(
                f"{self.name}: features must be (batch, frames, {self.frontend.mels}), got {shape}"
            )
        frames = features.shape[1]
        if frames == 0:
            raise NiahError(f"{self.name}: features have no frames")
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
