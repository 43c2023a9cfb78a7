"""The adapter of this package's own network families: features to logits, in batches that kernels can index."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from niah.adapters.checkpoints import (
    State,
    check_fit,
    file_and_set,
    load_strictly,
    read_checkpoint,
    state_sha256,
)
from niah.adapters.graphs import GraphedForward
from niah.adapters.hub_folder import label_order
from niah.adapters.protocol import INDEXED_BY_32_BITS, INDEXED_BY_64_BITS, largest
from niah.cards import RANDOM, ModelCard
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import AST
from niah.networks.layers.init import without_random_start
from niah.networks.outline import outline
from niah.randomness import torch_seed
from niah.system.download import sha256_of
from niah.vocabularies import vocabulary

# Sizes that do not fit together are refused by whichever layer meets them first.
_MISFITS = (TypeError, ValueError, ArithmeticError, AssertionError, LookupError, RuntimeError)


class NetworkAdapter(ABC):
    """An adapter around a torch network; a family in this package implements `build` and `official_state`.

    A card's `adapter` names a subclass. The network is in evaluation mode and computes without gradients in `dtype`;
    logits are float32.

    `safe_elements` is the largest number of elements of one tensor that its kernels can index (2^31 - 1 on a GPU);
    larger batches are split. One clip that is larger by itself is still run, as torch's kernels handle it or raise. An
    adapter with kernels that would give wrong results there sets `indexes_with_32_bits`, and refuses the clip.

    `runs_in_threads` says that a forward pass changes nothing in the network, so that several scenes may be scored at
    once on a CPU (`niah.sweep.inference`).
    """

    kernel = "torch"
    head: ClassVar[str] = ""  # the layer, linear or a convolution, whose outputs are the classes
    default_frontend: ClassVar[Frontend] = AST
    safe_elements: int = INDEXED_BY_32_BITS
    indexes_with_32_bits: bool = False
    runs_in_threads: ClassVar[bool] = False

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
        self._graphed: GraphedForward | None = None
        if device.type == "cpu":
            self.safe_elements = INDEXED_BY_64_BITS
        self.config: Mapping[str, Any] = card.config
        try:
            self.network = self.outline()  # `load` or `randomise` come next
        except (*_MISFITS, MemoryError) as error:
            raise NiahError(
                f"card {card.path}: [config] does not fit {card.adapter}: {_line(error)}"
            ) from None
        if card.config.get("mels", self.frontend.mels) != self.frontend.mels:
            raise NiahError(
                f"card {card.path}: [config] has {card.config['mels']} mels, but features of {card.adapter} have "
                f"{self.frontend.mels}"
            )

    def outline(self) -> nn.Module:
        """Build the network of `config` without memory for its weights (`niah.networks.outline`)."""
        return outline(lambda: self.build(self.config, len(self.labels)))

    @staticmethod
    @abstractmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        """Build the network.

        Args:
            config: the card's [config].
            classes: number of outputs.

        Returns:
            The network, with weights that are not initialised.
        """

    @staticmethod
    @abstractmethod
    def official_state(state: State, network: nn.Module) -> State:
        """Rename the keys of a state dict in the authors' layout to this network's.

        Unknown keys stay, so that strict loading reports them.

        Args:
            state: the tensors of the checkpoint.
            network: the network that they are for.

        Returns:
            The state dict to load.

        Raises:
            NiahError: the checkpoint is for another model.
        """

    def load(self, path: Path) -> None:
        """Load a checkpoint strictly, and make the network ready.

        Raises:
            NiahError: no checkpoint, or one that does not fit this model.
        """
        checkpoint = read_checkpoint(path)
        state = self.official_state(checkpoint.state, self.network)
        check_fit(self.network, state, str(path))  # before its memory is taken
        with without_random_start():
            self.network = self.build(self.config, len(self.labels))
        load_strictly(self.network, state, str(path))
        file, _ = file_and_set(path)
        self.weights_sha256 = sha256_of(file)
        if (order := self.row_order(file, self.card)) is not None:
            self._reorder_head(order, file)
        self.weights_source = f"{path} ({checkpoint.note})" if checkpoint.note else str(path)
        self._ready()

    @classmethod
    def row_order(cls, file: Path, card: ModelCard) -> list[int] | None:
        """Find the stored head's row of each label, where a file, or a config.json beside it, names another order.

        Args:
            file: of weights.
            card: its labels are those of the head.

        Returns:
            One row a label; None where the rows are in the order of the labels.

        Raises:
            NiahError: other labels than the card's are named.
        """
        return label_order(file, vocabulary(card.labels_source))

    def _reorder_head(self, order: list[int], file: Path) -> None:
        """Bring the head's rows into the vocabulary's order; they are other weights then than the file's own."""
        if not self.head:
            raise NiahError(
                f"checkpoint {file}: config.json beside it has the labels in another order than '{self.labels.name}', "
                f"and rows of {type(self).__name__} cannot be moved: give a card whose labels are in that order"
            )
        self._move_rows(order)
        text = f"{self.weights_sha256} {order}"
        self.weights_sha256 = hashlib.sha256(text.encode()).hexdigest()

    def _move_rows(self, order: list[int]) -> None:
        for parameter in self.network.get_submodule(self.head).parameters(recurse=False):
            parameter.data = parameter.data[order]

    def randomise(self, seed: int) -> None:
        """Draw seeded random weights; for efficiency measurements only."""
        with torch_seed(seed):
            self.network = self.build(self.config, len(self.labels))
        self.weights_sha256 = state_sha256(self.network)
        self.weights_source = RANDOM
        self.random = True
        self._ready()

    def _ready(self) -> None:
        self.network.eval().requires_grad_(False).to(self.device, self.dtype)
        if self.head and self.dtype.itemsize == 2:
            _keep_wide(self.network.get_submodule(self.head))
        if self.device.type == "cuda":
            self._graphed = GraphedForward(self._forward, self.network, self.device)

    @property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(p.numel() for p in self.network.parameters())

    def tokens(self, frames: int) -> int | None:  # noqa: ARG002
        """Return the number of tokens of an input of `frames` frames; None for a network without tokens."""
        return None

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the elements of the largest tensor of a forward pass without gradients; by default those of the input.

        Args:
            batch: number of clips.
            frames: of each clip.

        Returns:
            The number of elements.
        """
        return batch * frames * self.frontend.mels

    def safe_batch(self, frames: int) -> int:
        """Return the largest batch of clips of `frames` frames within `safe_elements`; at least 1."""
        within = largest(lambda batch: self.largest_tensor(batch, frames) <= self.safe_elements)
        return max(1, within)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Compute logits; a batch with a tensor past `safe_elements` is split.

        Args:
            features: (B, frames, mels) normalised features, on any device.

        Returns:
            (B, classes) float32, on the model's device.

        Raises:
            NiahError: another shape, fewer frames than the network needs, or a single clip past `safe_elements` where
                `indexes_with_32_bits`.
        """
        is_tensor = isinstance(features, Tensor)
        if not is_tensor or features.ndim != 3 or features.shape[-1] != self.frontend.mels:
            shape = (
                tuple(features.shape) if is_tensor else f"no tensor, but {type(features).__name__}"
            )
            raise NiahError(
                f"{self.name}: features must be (batch, frames, {self.frontend.mels}), got {shape}"
            )
        if len(features) == 0:
            return torch.empty(0, len(self.labels), device=self.device)
        frames = features.shape[1]
        if frames == 0:
            raise NiahError(f"{self.name}: features have no frames")
        if self.indexes_with_32_bits and self.largest_tensor(1, frames) > self.safe_elements:
            safe = largest(lambda n: self.largest_tensor(1, n) <= self.safe_elements)
            raise NiahError(
                f"{self.name}: {frames} frames: past what the kernels index; largest safe is {safe} frames"
            )
        forward = self._graphed or self._forward
        if self.largest_tensor(len(features), frames) <= self.safe_elements:
            return forward(features)
        parts = torch.split(features, self.safe_batch(frames))
        return torch.cat([forward(part) for part in parts])

    def _forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.network(features.to(self.device, self.dtype)).float()
        return out


def _keep_wide(head: nn.Module) -> None:
    """Compute the classifier in float32: logits of 16 bits tie clips that the network ranks."""
    head.float()
    head.register_forward_pre_hook(lambda _, inputs: tuple(x.float() for x in inputs))


def _line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
