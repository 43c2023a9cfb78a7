"""Parts of a Python model: networks and arrays of its module and closure, attributes of its object."""

import dis
import functools
import inspect
import sys
import sysconfig
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

DEEPEST = 50
"""Lists in lists and dicts in dicts are followed so far: what lies deeper is data, not weights."""

ARRAYS: tuple[type, ...] = (torch.nn.Module, torch.Tensor, np.ndarray)
PLAIN: tuple[type, ...] = (bool, int, float, complex, str, bytes, np.generic)

MOST_SETTINGS = 1000
"""Entries of a list or dict: a longer one is data, as of past calls."""

AS_LOADED = "_niah_as_loaded"
"""The attribute of a loaded adapter that `niah.adapters.loaded_weights` sets."""

COUNTED_ELSEWHERE = frozenset(
    {"name", "labels", "sample_rate", "max_seconds", "fixed_seconds", "device", "dtype", "training"}
    | {"kernel", "parameters", "random", "weights_sha256", "weights_source", AS_LOADED}
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
        for attribute, each in list(getattr(owner, "__dict__", {}).items()):
            if attribute not in COUNTED_ELSEWHERE:
                used |= dict(_weights(f"self.{attribute}", each, (torch.nn.Module,)))
    for _, named in _functions_of(model):
        for name, value in named.items():
            used |= dict(_weights(name, value))
    return used


def functions_of(model: Any) -> list[Any]:
    """Return the functions of a model's code: its own or its class's, and those of the same module that they name.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
    """
    if isinstance(model, functools.partial):
        return functions_of(model.func)
    return [function for function, _ in _functions_of(model)]


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
    kind: Any = type(owner)
    assigned = assigned_later(kind) if hasattr(owner, "logits") else ()
    used: dict[str, Any] = {}
    for attribute, value in list(getattr(owner, "__dict__", {}).items()):
        if attribute in COUNTED_ELSEWHERE or attribute in assigned:
            continue
        if is_network and (attribute.startswith("_") or inspect.isfunction(value)):
            continue  # torch's own, such as the id of a compiled one
        name = f"self.{attribute}"
        if inspect.isfunction(value):
            used[name] = value
        else:
            used |= dict(plain_values(name, value))
    return used


def plain_values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the plain values of a setting: itself, or those in it.

    Args:
        name: of the setting.
        value: any; a list or dict of more than `MOST_SETTINGS` entries is data.
    """
    if not isinstance(value, tuple | list | dict) or len(value) <= MOST_SETTINGS:
        yield from ((n, v) for n, v in _weights(name, value, PLAIN) if isinstance(v, PLAIN))


def is_bag(value: Any) -> bool:
    """Return whether an object is a plain bag of values: a dataclass's, or a namespace."""
    is_namespace = isinstance(value, SimpleNamespace | Namespace)
    return is_namespace or (is_dataclass(value) and not isinstance(value, type))


@lru_cache(maxsize=1000)
def assigned_later(kind: type) -> frozenset[str]:
    """Return the attributes that methods of a class assign, but for `__init__`."""
    methods = (each for owner in kind.__mro__ for each in vars(owner).values())
    plain = (inspect.unwrap(getattr(each, "__func__", each)) for each in methods)
    codes = (each.__code__ for each in plain if inspect.isfunction(each))
    return frozenset(
        step.argval
        for code in codes
        if code.co_name not in ("__init__", "__post_init__")
        for step in dis.get_instructions(code)
        if step.opname in ("STORE_ATTR", "DELETE_ATTR")
    )


def made_with(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of what a callable was made with: arguments of a `partial`, closure, default values.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object, which has none.
    """
    if isinstance(model, functools.partial):
        yield from ((f"argument {n}", each) for n, each in enumerate(model.args))
        yield from ((f"argument {name}", each) for name, each in sorted(model.keywords.items()))
        yield from made_with(model.func)
        return
    yield from closure(model)
    function = inspect.unwrap(getattr(model, "__func__", model))
    if inspect.isfunction(function):
        yield "defaults", (function.__defaults__, function.__kwdefaults__)


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


def _functions_of(model: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield each function of a model's code, and what it names in its module."""
    waiting = [model] if inspect.isroutine(model) else list(vars(type(model)).values())
    seen: set[int] = set()
    while waiting:
        function = waiting.pop(0)
        plain = inspect.unwrap(getattr(function, "__func__", function))
        if not inspect.isfunction(plain) or id(plain) in seen:
            continue
        seen.add(id(plain))
        space = plain.__globals__
        named = {name: space[name] for name in _names(plain.__code__) & set(space)}
        yield plain, named
        near = (each for each in named.values() if inspect.isfunction(each))
        waiting += [each for each in near if each.__globals__ is space]


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
    elif isinstance(value, tuple | list | dict) or (is_bag(value) and set(PLAIN) <= set(wanted)):
        if id(value) in around or len(around) == DEEPEST:
            return
        around |= {id(value)}
        items = items_of(value)
        for key, each in list(items):  # a thread of the model's may add to it
            if not isinstance(each, PLAIN) or isinstance(each, wanted):
                yield from _weights(f"{name}[{key!r}]", each, wanted, around)
    elif not inspect.isroutine(value) and not isinstance(value, type | ModuleType):
        yield from _networks_of(name, value)
        yield from _stated_weights(name, value)


def items_of(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the keys and entries of a list, a dict or a bag."""
    if isinstance(value, tuple | list):
        return enumerate(value)
    if is_dataclass(value):  # its fields, as one with slots has no `__dict__`
        return [(each.name, getattr(value, each.name, None)) for each in fields(value)]
    entries: dict[Any, Any] = value if isinstance(value, dict) else vars(value)
    return entries.items()


def parts_of_object(name: str, value: object) -> Iterator[tuple[str, Any]]:
    """Yield the networks of an object that a function closes over, and its settings where its class is the user's.

    Objects of installed packages are loggers, sessions and the like, whose attributes say nothing of scores; of one
    that has a network, a tagger, they do.

    Args:
        name: of the object.
        value: neither a container, an array nor a plain value.
    """
    networks = dict(_networks_of(name, value))
    yield from networks.items()
    yield from _stated_weights(name, value)
    module = type(value).__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    if not (networks or is_users(file)) or module.startswith("niah."):
        return
    for attribute, each in list(getattr(value, "__dict__", {}).items()):
        if not attribute.startswith("_") and attribute not in COUNTED_ELSEWHERE:
            yield from plain_values(f"{name}.{attribute}", each)


def is_users(file: str | None) -> bool:
    """Return whether a module's file is part of no installed package."""
    return file is not None and not any(Path(file).is_relative_to(each) for each in _INSTALLED)


_INSTALLED = {
    Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")
}


def _networks_of(name: str, value: object) -> Iterator[tuple[str, Any]]:
    """Yield the networks among an object's attributes, and what scikit-learn fitted, `coef_`.

    Other arrays of it may be what it remembers of its last input.
    """
    for attribute, each in list(getattr(value, "__dict__", {}).items()):
        is_fitted = attribute.endswith("_") and not attribute.startswith("_")
        if isinstance(each, torch.nn.Module) or (is_fitted and isinstance(each, np.ndarray)):
            yield f"{name}.{attribute}", each


def _stated_weights(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the checksum of its weights that a model has, as those of `niah.load_model`; their networks lie deeper."""
    stated = getattr(value, "weights_sha256", None)
    if isinstance(stated, str) and stated:
        yield f"{name}.weights_sha256", stated


def _names(code: CodeType) -> set[str]:
    """Return the names in a function's code, also in functions inside it, that may be of its module."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
