"""Text of each value that a model is made of: another for another value, the same in every process."""

import functools
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType, ModuleType, NoneType
from typing import Any

import numpy as np
import torch

from niah.adapters.checkpoints import state_sha256
from niah.adapters.in_use import DEEPEST, PLAIN, is_bag, items_of, made_with, parts_of_object
from niah.adapters.network_settings import network_settings

_ARRAYS: tuple[type, ...] = (torch.Tensor, np.ndarray)

Left = dict[str, tuple[str, str]]
"""By the name of a value: its text as a call left it, and the text that counts in its place."""


@dataclass(frozen=True)
class Place:
    """Where a value lies: its name, what calls have left in the model, and ids of the containers around it.

    `watched` says that its model's calls are (`niah.adapters.identity.remembering`).
    """

    name: str = ""
    left: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    watched: bool = True
    around: frozenset[int] = frozenset()

    def inside(self, container: object, key: object) -> "Place":
        return replace(self, name=f"{self.name}[{key!r}]", around=self.around | {id(container)})

    def counts(self, text: str) -> str:
        """Return the text that counts for a value of this text."""
        as_left, before = self.left.get(self.name, (None, ""))
        return before if text == as_left else text


Parts = Iterator[tuple[str, Any, Place]]


def parts_of_function(function: Any, place: Place) -> Parts:
    """Yield the name, value and place of what a callable was made with; only keywords have a name."""
    within = f"{place.name}." if place.name else ""
    for name, value in made_with(function):
        kind, _, keyword = name.partition(" ")
        is_keyword = kind == "argument" and not keyword.isdigit()
        yield keyword if is_keyword else "", value, replace(place, name=within + name)


def parts_of(value: Any, place: Place) -> Parts:
    """Yield the name, value and place of the parts of a container, a function, a network or an object."""
    if isinstance(value, tuple | list | dict) or is_bag(value):
        items = list(items_of(value))
        yield from ((repr(key), each, place.inside(value, key)) for key, each in items)
    elif inspect.isfunction(value):
        yield from parts_of_function(value, place.inside(value, ""))
    elif isinstance(value, functools.partial):
        made = ("func", value.func), ("args", value.args), ("keywords", value.keywords)
        yield from ((name, each, place.inside(value, name)) for name, each in made)
    elif inspect.ismethod(value):
        yield "method", value.__qualname__, Place()
        yield "self", value.__self__, place.inside(value, "")
    else:
        is_network = isinstance(value, torch.nn.Module)
        named = (
            network_settings(value, watched=place.watched)
            if is_network
            else parts_of_object("", value)
        )
        around = place.around | {id(value)}
        for name, each in named:
            part = name.removeprefix(".")
            yield part, each, replace(place, name=f"{place.name}.{part}", around=around)


def _has_parts(value: Any) -> bool:
    if isinstance(value, (*PLAIN, *_ARRAYS, frozenset, type, ModuleType, CodeType, NoneType)):
        return False
    return not inspect.isroutine(value) or inspect.isfunction(value) or inspect.ismethod(value)


def leaves(value: Any, place: Place) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of all that counts in a value."""
    if not _has_parts(value):
        yield place.name, value
        return
    if isinstance(value, torch.nn.Module):
        yield place.name, value
        for name, each in network_settings(value, of_torch=False):
            if not isinstance(each, list):  # of hooks
                yield f"{place.name}.{name}", each
    elif id(value) not in place.around and len(place.around) < DEEPEST:
        for _, each, inner in parts_of(value, place):
            yield from leaves(each, inner)


def text_of(value: Any, place: Place = Place()) -> str:
    """Return a text that is another for another value; "" where it does not show."""
    if not _has_parts(value):
        return place.counts(_of_one(value))
    if id(value) in place.around or len(place.around) >= DEEPEST:
        return ""
    if isinstance(value, torch.nn.Module):
        return place.counts(_of_network(value, place))
    texts = [(name, text_of(each, inner)) for name, each, inner in parts_of(value, place)]
    if inspect.isfunction(value):
        parts = (f"{name}={text}" if name else text for name, text in texts)
        return "\n".join([_bytecode(value.__code__), *filter(None, parts)])
    if not isinstance(value, tuple | list):  # without what does not show
        shown = sorted((name, text) for name, text in texts if text)
        return repr(shown) if shown else ""
    while texts and not texts[-1][1]:
        texts.pop()
    return f"[{', '.join(text for _, text in texts)}]" if texts else ""


def _of_network(network: torch.nn.Module, place: Place) -> str:
    """Return a hash of a network's weights, and of what decides its outputs beside them."""
    settings = ((name, text_of(each, inner)) for name, each, inner in parts_of(network, place))
    shown = sorted(f"{name}={text}" for name, text in settings if text)
    return hashlib.sha256("\n".join([state_sha256(network), *shown]).encode()).hexdigest()


def _of_one(value: Any) -> str:
    """Return the text of an array, a function's code or a plain value."""
    if isinstance(value, CodeType):
        return _bytecode(value)
    if isinstance(value, torch.Tensor):
        return _of_tensor(value.detach())
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            return f"masked {_of_one(value.filled())} {_of_one(np.ma.getmaskarray(value))}"
        if value.dtype.hasobject:  # whose bytes are addresses, others in each process
            content = hashlib.sha256(repr(_plain(value.tolist())).encode()).hexdigest()
        else:
            content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype} {value.shape} {content}"
    if isinstance(value, frozenset):
        return repr(sorted(map(repr, value)))
    return repr(value) if isinstance(value, PLAIN) else ""


def _of_tensor(value: torch.Tensor) -> str:
    """Return the text of a tensor's values, in float32 where that holds them exactly."""
    if value.is_nested:
        return repr([_of_tensor(each) for each in value.unbind()])
    if value.is_meta:
        return f"meta {value.dtype} {tuple(value.shape)}"
    if value.is_quantized:
        value = value.dequantize()
    elif value.layout is not torch.strided:
        value = value.to_dense()
    value = value.cpu()
    if value.is_complex():
        return f"complex {_of_tensor(torch.view_as_real(value.resolve_conj()))}"
    single = value.float()
    is_exact = value.dtype.itemsize < single.itemsize or torch.equal(single.to(value.dtype), value)
    return _of_one((single if is_exact or single.dtype == value.dtype else value).numpy())


def _plain(value: Any) -> Any:
    """Return lists and tuples of plain values; another object is its type's name, as its text may be an address."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    is_plain = value is None or isinstance(value, PLAIN)
    return value if is_plain else type(value).__name__


def _bytecode(code: CodeType) -> str:
    constants = [_constant(each) for each in code.co_consts]
    text = repr((code.co_code, constants, code.co_names, code.co_varnames))
    return hashlib.sha256(text.encode()).hexdigest()


def _constant(value: Any) -> str:
    """Return the text of a constant in a function's code; that of a set has another order in each process."""
    if isinstance(value, CodeType):
        return _bytecode(value)
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
