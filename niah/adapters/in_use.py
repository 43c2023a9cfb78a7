"""Parts of a Python model: networks and arrays of its module and closure, attributes of its object."""

import dis
import functools
import inspect
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch

DEEPEST = 50
"""Lists in lists and dicts in dicts are followed so far: what lies deeper is data, not weights."""

ARRAYS: tuple[type, ...] = (torch.nn.Module, torch.Tensor, np.ndarray)
PLAIN: tuple[type, ...] = (bool, int, float, complex, str, bytes, np.generic)

MOST_SETTINGS = 1000
"""Entries of a list or dict: a longer one is data, as of past calls."""

COUNTED_ELSEWHERE = frozenset(
    {"name", "labels", "sample_rate", "max_seconds", "fixed_seconds", "device", "dtype", "training"}
    | {"kernel", "parameters", "random", "weights_sha256", "weights_source"}
)


def weights_of_code(model: Any) -> dict[str, Any]:
    """Return {name: network or array} of what a model's code names in its module, and the networks of an object.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
    """
    if isinstance(model, functools.partial):
        return weights_of_code(model.func)
    used: dict[str, Any] = {}
    owner = getattr(model, "__self__", None) if inspect.ismethod(model) else model
    if not inspect.isroutine(owner) and not isinstance(owner, torch.nn.Module | type | None):
        used |= dict(_networks_of("self", owner))
    functions = [model] if inspect.isroutine(model) else list(vars(type(model)).values())
    _collect(functions, used, set())
    return used


def settings_of(model: Any) -> dict[str, Any]:
    """Return {name: plain value or function} of the attributes of an object, or of a method's, also in its lists.

    Left out is what the protocol asks of an object, which counts elsewhere, what torch leaves in a network, and what
    the methods of an adapter assign: `remembering` sees the calls of waveform models alone.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
    """
    if isinstance(model, functools.partial):
        return settings_of(model.func)
    owner = getattr(model, "__self__", None) if inspect.ismethod(model) else model
    if inspect.isroutine(owner) or isinstance(owner, type | ModuleType | None):
        return {}
    is_network = isinstance(owner, torch.nn.Module)
    owner = getattr(owner, "_orig_mod", owner) if is_network else owner  # of torch.compile
    assigned = _assigned_later(type(owner)) if hasattr(owner, "logits") else ()
    used: dict[str, Any] = {}
    for attribute, value in list(getattr(owner, "__dict__", {}).items()):
        if attribute in COUNTED_ELSEWHERE or attribute in assigned:
            continue
        if is_network and (attribute.startswith("_") or inspect.isfunction(value)):
            continue  # torch's own, such as the id of a compiled one
        name = f"self.{attribute}"
        if inspect.isfunction(value):
            used[name] = value
        elif not isinstance(value, tuple | list | dict) or len(value) <= MOST_SETTINGS:
            used |= {n: v for n, v in _weights(name, value, PLAIN) if isinstance(v, PLAIN)}
    return used


def _assigned_later(kind: type) -> set[str]:
    """Return the attributes that methods of a class assign, but for `__init__`."""
    methods = (each for owner in kind.__mro__ for each in vars(owner).values())
    plain = (inspect.unwrap(getattr(each, "__func__", each)) for each in methods)
    codes = (each.__code__ for each in plain if inspect.isfunction(each))
    return {
        step.argval
        for code in codes
        if code.co_name not in ("__init__", "__post_init__")
        for step in dis.get_instructions(code)
        if step.opname in ("STORE_ATTR", "DELETE_ATTR")
    }


def values_of_closure(model: Any) -> dict[str, Any]:
    """Return {name: network, array or plain value} of what a function, or that of a `partial`, closes over."""
    if isinstance(model, functools.partial):
        return values_of_closure(model.func)
    used: dict[str, Any] = {}
    for name, contents in closure(model):
        used |= dict(_weights(name, contents, ARRAYS + PLAIN))
    return used


def closure(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and content of each variable that a function closes over, if it is filled."""
    function = inspect.unwrap(getattr(model, "__func__", model))
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(function, "__code__", _NO_CODE).co_freevars, cells, strict=False):
        try:
            yield f"closure {name}", cell.cell_contents
        except ValueError:  # not filled yet
            continue


def in_training_mode(model: object) -> str:
    """Return the name of a network with parameters that a model uses in training mode; "" without any.

    Transforms without parameters (a spectrogram) are in training mode everywhere, and do the same in both.
    """
    for name, value in sorted(weights_of_code(model).items()):
        if (
            isinstance(value, torch.nn.Module)
            and is_training(value)
            and any(True for _ in value.parameters())
        ):
            return name
    return ""


def is_training(network: object) -> bool:
    """Return whether a network is in training mode; one of `torch.export` always says so, and refuses `eval`."""
    is_exported = isinstance(network, torch.fx.GraphModule) and "eval" in vars(network)
    return getattr(network, "training", False) is True and not is_exported


_NO_CODE = compile("", "", "exec")


def _collect(functions: list[Any], used: dict[str, Any], seen: set[int]) -> None:
    """Add what functions, and those of the same module that they name, use of their module."""
    for function in functions:
        plain = inspect.unwrap(getattr(function, "__func__", function))
        if not inspect.isfunction(plain) or id(plain) in seen:
            continue
        seen.add(id(plain))
        named = {
            name: plain.__globals__[name]
            for name in _names(plain.__code__) & set(plain.__globals__)
        }
        for name, value in named.items():
            used |= dict(_weights(name, value))
        near = [each for each in named.values() if inspect.isfunction(each)]
        _collect([each for each in near if each.__globals__ is plain.__globals__], used, seen)


def _weights(
    name: str, value: Any, wanted: tuple[type, ...] = ARRAYS, around: frozenset[int] = frozenset()
) -> Iterator[tuple[str, Any]]:
    """Yield a value, those in it, or the networks of an object, that are networks or arrays.

    Args:
        name: of the value.
        value: any.
        wanted: the types.
        around: ids of the lists and dicts that it lies in; one that holds itself is followed once.
    """
    if isinstance(value, wanted):
        yield name, value
    elif isinstance(value, tuple | list | dict):
        if id(value) in around or len(around) == DEEPEST:
            return
        around |= {id(value)}
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in list(items):  # a thread of the model's may add to it
            if not isinstance(each, PLAIN) or isinstance(each, wanted):
                yield from _weights(f"{name}[{key!r}]", each, wanted, around)
    elif not inspect.isroutine(value) and not isinstance(value, type | ModuleType):
        yield from _networks_of(name, value)


def _networks_of(name: str, value: object) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the networks among an object's attributes; its arrays may be what it remembers of its last input."""
    for attribute, each in list(getattr(value, "__dict__", {}).items()):
        if isinstance(each, torch.nn.Module):
            yield f"{name}.{attribute}", each


def _names(code: CodeType) -> set[str]:
    """Return the names in a function's code, also in functions inside it, that may be of its module."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
