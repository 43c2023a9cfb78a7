"""CUDA graphs of a training step's forward and backward pass, which are some two thousand launches of microseconds.

The host needs longer to launch them than a device to run them. The second batch in a row of one shape is recorded,
forward and backward; later ones replay the records: the same kernels on the same addresses, with the random numbers of
the generator's state at the time (drop path). A record stays through work of another kind, a smaller batch or an
epoch's validation, if the device has as much memory again: it would be made anew every epoch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from niah.networks.own_tensors import own_tensors
from niah.training.processes import Processes
from niah.training.recipes import Recipe


def replayed_network(
    recipe: Recipe, network: nn.Module, processes: Processes
) -> "ReplayedNetwork | None":
    """Return the network with replayed passes where they serve: one process on a CUDA device, one pass a step."""
    if processes.device.type != "cuda" or processes.count > 1:
        return None
    if recipe.accumulate > 1 or recipe.gradient_checkpointing:  # which looks at the generator
        return None
    return ReplayedNetwork(network, processes.autocast)


@dataclass(frozen=True)
class _Record:
    """A recorded forward and backward pass, and the tensors that they read and write."""

    features: Tensor
    logits: Tensor
    logits_gradient: Tensor
    gradients: tuple[Tensor | None, ...]  # of the parameters
    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph
    of_network: list[Tensor]  # at the time: a later input puts others in their place
    bytes: int  # that the passes take


class ReplayedNetwork:
    """A network whose passes over batches of a shape that came twice in a row are replayed; others run as usual.

    A replay writes the gradients where the last one did: take one pass a step, and no gradient from step to step.

    Args:
        network: in training mode, on a CUDA device; its passes do not synchronise. One that cannot be recorded runs as
            usual.
        autocast: the precision of its passes; casts are recorded too, so that they are made anew in every replay.
    """

    def __init__(
        self, network: nn.Module, autocast: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._network = network
        self._autocast = autocast
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._shape: torch.Size | None = None  # of the last batch
        self._record: _Record | None = None
        self._can_record = True

    def __call__(self, features: Tensor) -> Tensor:
        """Run the forward pass.

        Args:
            features: (B, frames, mels) on the device.

        Returns:
            (B, classes), attached to the parameters.
        """
        is_new, self._shape = features.shape != self._shape, features.shape
        if self._record is None or self._record.features.shape != features.shape:
            if is_new:  # it compiles, and chooses algorithms
                self.make_room()
                return self._forward(features)
            self._record = self._recorded(features) if self._can_record else None
            self._can_record = self._record is not None
        if self._record is None:
            return self._forward(features)
        logits: Tensor = _Replay.apply(self._record, features, *self._parameters)
        return logits

    def make_room(self) -> None:
        """Drop the record before work of another kind, unless the device has its memory once again."""
        if self._record is None:
            return
        free, _ = torch.cuda.mem_get_info(self._record.features.device)
        if free < self._record.bytes:
            self._record = None

    def _forward(self, features: Tensor) -> Tensor:
        with self._autocast():
            logits: Tensor = self._network(features)
        return logits

    def _recorded(self, features: Tensor) -> _Record | None:
        """Record both passes; return None where they cannot be."""
        forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        # other threads, which prepare batches, may go on meanwhile
        options: dict[str, Any] = {
            "pool": torch.cuda.graph_pool_handle(),
            "capture_error_mode": "thread_local",
        }
        try:
            with torch.cuda.device(features.device):
                self._record = None  # its memory is the next one's
                torch.cuda.empty_cache()
                before = torch.cuda.memory_reserved()
                static = features.clone()
                with torch.cuda.graph(forward, **options):
                    logits = self._forward(static)
                gradient = torch.zeros_like(logits)
                with torch.cuda.graph(backward, **options):
                    gradients = torch.autograd.grad(
                        logits, self._parameters, gradient, allow_unused=True
                    )
        except RuntimeError:  # a pass synchronises, or there is no memory for a second one
            return None
        taken = torch.cuda.memory_reserved(features.device) - before
        return _Record(
            static,
            logits.detach(),
            gradient,
            gradients,
            forward,
            backward,
            own_tensors(self._network),
            taken,
        )


class _Replay(torch.autograd.Function):
    """Replay the forward pass, and on the way back the backward pass."""

    @staticmethod
    def forward(ctx: Any, record: _Record, features: Tensor, *parameters: Tensor) -> Tensor:  # noqa: ARG004
        record.features.copy_(features)
        record.forward.replay()
        ctx.record = record
        return record.logits.detach()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        record: _Record = ctx.record
        record.logits_gradient.copy_(grad_outputs[0])
        record.backward.replay()
        gradients = (None if g is None else g.detach() for g in record.gradients)
        return (None, None, *gradients)
