"""CUDA graphs of short forward passes, whose launches take longer than their arithmetic.

A pass over ten seconds is some two hundred launches of a few microseconds each. The second batch of a shape becomes a
graph of them, and later ones replay it: the same kernels on the same addresses, without Python.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from niah.networks.own_tensors import own_tensors
from niah.networks.versions import Versions

MOST_FRAMES = 1 << 20  # of a batch: past 2.5 h; more keep the device busy by themselves
MOST_GRAPHS = 4  # shapes at a time; the one used longest ago goes


class _Record(NamedTuple):
    """A recorded pass, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    features: Tensor
    computed: Tensor
    of_network: list[Tensor]  # at the time: a later input puts others in their place


class GraphedForward:
    """A forward pass that becomes a CUDA graph for each shape that comes again.

    Args:
        forward: (B, frames, mels) on the device -> a new tensor; without synchronisation.
        network: its parameters; when they change, graphs are made anew.
        device: a CUDA device.
    """

    def __init__(
        self, forward: Callable[[Tensor], Tensor], network: nn.Module, device: torch.device
    ) -> None:
        self._forward = forward
        self._network = network
        self._versions = Versions(network)
        self._device = device
        self._seen: set[Hashable] = set()
        self._refused: set[Hashable] = set()  # passes that cannot be recorded
        self._graphs: OrderedDict[Hashable, _Record] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle()  # one at a time is replayed: they share memory

    def __call__(self, features: Tensor) -> Tensor:
        """Run the pass.

        Args:
            features: (B, frames, mels), on any device.

        Returns:
            What `forward` returns.
        """
        if features.shape[0] * features.shape[1] > MOST_FRAMES:
            return self._eager(features)
        key = (tuple(features.shape), features.dtype, self._state())
        if key not in self._graphs:
            is_first = key not in self._seen  # it compiles, and chooses algorithms
            self._seen.add(key)
            if is_first or key in self._refused or not self._capture(key, features):
                return self._eager(features)
        self._graphs.move_to_end(key)
        record = self._graphs[key]
        record.features.copy_(features)
        record.graph.replay()
        return record.computed.clone()

    def _eager(self, features: Tensor) -> Tensor:
        """Run the pass, without the graphs' memory if it needs that."""
        try:
            return self._forward(features)
        except torch.OutOfMemoryError:
            if not self._graphs:
                raise
        self._graphs.clear()
        self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.empty_cache()
        return self._forward(features)

    def _state(self) -> Hashable:
        """Return what a graph depends on beside its input: the weights and the scan."""
        return self._versions.now(), getattr(self._network, "scan_backend", None)

    def _capture(self, key: Hashable, features: Tensor) -> bool:
        """Record a graph; return whether the pass can be recorded."""
        graph = torch.cuda.CUDAGraph()
        try:
            static = features.to(self._device, copy=True)
            with (
                torch.cuda.device(self._device),
                # other threads, which prepare batches, may go on meanwhile
                torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
            ):
                computed = self._forward(static)
        except RuntimeError:  # the pass synchronises, or there is no memory for a second one
            self._refused.add(key)
            return False
        self._graphs[key] = _Record(graph, static, computed, own_tensors(self._network))
        if len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        return True
