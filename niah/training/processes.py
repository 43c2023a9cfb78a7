"""One process or many, in full or half precision: the part of accelerate that the loop uses.

Process p of P takes rows p, p + P, .. of every planned batch; gradients are averaged (DDP).
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.system.parent import end_with
from niah.training.data.row_store import Share
from niah.training.recipes import Recipe

_LAUNCHED = "TORCHELASTIC_RUN_ID"  # set by torchrun and by accelerate launch, which uses it
_PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


class Processes:
    """The processes that train together; alone when not started by `accelerate launch` or `torchrun`.

    Raises:
        NiahError: accelerate is not installed, float16 without a GPU, or a batch that cannot be shared evenly.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        if recipe.precision == "float16" and device.type != "cuda":
            raise NiahError(
                f'recipe \'{recipe.name}\': precision float16 needs a GPU: set precision = "float32" or "bfloat16"'
            )
        if _LAUNCHED in os.environ:  # it ends its processes, unless it is killed
            end_with(os.getppid())
        self._accelerator = _accelerator(recipe, device)
        self.device: torch.device = self._accelerator.device
        self.count: int = self._accelerator.num_processes
        self.index: int = self._accelerator.process_index
        self._name = recipe.name
        self.check_batch(recipe.batch_size)

    def check_batch(self, clips: int) -> None:
        """Check that the processes can share a batch evenly: the mean of uneven shares' gradients is another.

        Args:
            clips: of the batch.

        Raises:
            NiahError: they cannot.
        """
        if clips % self.count:
            raise NiahError(
                f"recipe '{self._name}': a batch of {clips} clips (batch_size, or all clips where these are fewer) "
                f"cannot be shared evenly by {self.count} processes"
            )

    @property
    def is_first(self) -> bool:
        """True in the process that writes files."""
        return self.index == 0

    @property
    def share(self) -> slice:
        """Rows of a batch that this process takes."""
        return slice(self.index, None, self.count)

    @property
    def blocks(self) -> Share:
        """Blocks of a row store that this process makes."""
        return Share(self.index, self.count)

    @property
    def scaler(self) -> Any:
        """Loss scaler of float16, None in other precisions."""
        return self._accelerator.scaler

    def shared(self, network: nn.Module) -> nn.Module:
        """Return the network as the processes train it together, with the same parameters."""
        if self.count == 1:
            return network
        model: nn.Module = self._accelerator.prepare_model(network)
        return model

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in the recipe's precision within the block."""
        context: AbstractContextManager[None] = self._accelerator.autocast()
        return context

    def accumulating(self, model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients between processes in the last part of a batch only.

        Args:
            model: network as the processes share it.
            last: whether this is the batch's last part.
        """
        if last or self.count == 1:
            return nullcontext()
        context: AbstractContextManager[None] = self._accelerator.no_sync(model)
        return context

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled where float16 needs it."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()

    def update(self, optimiser: torch.optim.Optimizer, network: nn.Module, largest: float) -> None:
        """Take one optimiser step.

        Args:
            optimiser: changed in place.
            network: parameters with gradients.
            largest: limit of the gradient's norm; 0 for none.
        """
        if self.scaler:
            self.scaler.unscale_(optimiser)
        if largest:
            nn.utils.clip_grad_norm_(network.parameters(), largest)
        if self.scaler:
            self.scaler.step(optimiser)
            self.scaler.update()
        else:
            optimiser.step()

    def mean(self, value: Tensor) -> float:
        """Return the mean of a scalar over the processes."""
        return float(self._accelerator.reduce(value, reduction="mean"))

    def gather(self, rows: Tensor) -> Tensor:
        """Return every process' rows in the order of the whole, (P n, ...) of (n, ...) each."""
        if self.count == 1:
            return rows
        gathered = self._accelerator.gather(rows)
        parts: Tensor = gathered.view(self.count, -1, *rows.shape[1:])
        return parts.transpose(0, 1).flatten(0, 1)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()


def _accelerator(recipe: Recipe, device: torch.device) -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError:
        raise NiahError("training needs accelerate: pip install 'audio-niah[train]'") from None
    if "WORLD_SIZE" not in os.environ:
        AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run's precision
        if (
            device.type == "cuda" and device.index is not None
        ):  # "cuda" alone is torch's current one
            torch.cuda.set_device(device)
    return Accelerator(cpu=device.type != "cuda", mixed_precision=_PRECISIONS[recipe.precision])
