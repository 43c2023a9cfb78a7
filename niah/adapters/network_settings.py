"""Parts of a network that decide its outputs and are no weights: layers' kinds, settings, hooks, unsaved buffers.

A pooling layer, an activation or a temperature is in no `state_dict`: two networks that differ in it have the same one.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

from niah.adapters.in_use import COUNTED_ELSEWHERE, assigned_later, plain_values

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def network_settings(
    network: nn.Module, *, of_torch: bool = True, watched: bool = True
) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each setting of a network, layer by layer.

    These are the class of a layer, its attributes that are numbers, text or functions, also in lists, dicts and plain
    bags of values (a dataclass, a namespace), its hooks, and its buffers that a `state_dict` lacks. What torch leaves
    in a layer, under names that begin with `_`, is none.

    Args:
        network: any.
        of_torch: also those of torch's own layers, which a call leaves as they are.
        watched: also what a layer's own methods assign; calls may change it, which `remembering` watches.
    """
    for inner, layer in network.named_modules():
        if not of_torch and type(layer).__module__.startswith("torch.nn.modules."):
            continue
        place = f"{inner}." if inner else ""
        kind: Any = type(layer)
        yield f"{place}class", kind.__qualname__
        assigned: frozenset[str] = frozenset() if watched else assigned_later(kind)
        yield from _attributes(place, layer, assigned)
        for name in sorted(layer._non_persistent_buffers_set - assigned):
            yield f"{place}{name}", getattr(layer, name)
        for name in _HOOKS:
            if hooks := list(getattr(layer, name, {}).values()):
                yield f"{place}{name}", [len(hooks), *hooks]


def _attributes(
    place: str, layer: nn.Module, assigned: frozenset[str]
) -> Iterator[tuple[str, Any]]:
    for attribute, value in list(vars(layer).items()):
        if attribute.startswith("_") or attribute in COUNTED_ELSEWHERE | assigned:
            continue
        name = f"{place}{attribute}"
        if inspect.isroutine(value):  # an activation; those of torch have no code to look at
            yield name, getattr(value, "__qualname__", "")
        else:
            yield from plain_values(name, value)
