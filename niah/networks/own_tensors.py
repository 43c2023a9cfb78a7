"""Tensors that a network holds: its parameters and buffers, and what it keeps from one input to the next.

A recorded pass (a CUDA graph) reads them at their addresses, long after the network may have put others in their place:
positions of another length, weights prepared anew. Whoever records a pass keeps them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn


def own_tensors(network: nn.Module) -> list[Tensor]:
    """Return the tensors that a network's modules reach, through containers and objects of this package."""
    tensors: dict[int, Tensor] = {}
    seen: set[int] = set()
    for module in network.modules():
        _look(vars(module), tensors, seen)
    return list(tensors.values())


def _look(value: Any, tensors: dict[int, Tensor], seen: set[int]) -> None:
    if isinstance(value, Tensor):
        tensors[id(value)] = value
        return
    if isinstance(value, str | bytes | nn.Module) or id(value) in seen:  # modules are visited
        return
    seen.add(id(value))
    inner: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        inner = value
    elif type(value).__module__.partition(".")[0] == __name__.partition(".")[0]:
        inner = getattr(value, "__dict__", {}).values()
    for each in list(inner):
        _look(each, tensors, seen)
