"""Identity of a Python object as a model: a hash of its code, its arguments and the weights that it uses."""

import functools
import hashlib
import inspect
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch

from niah.adapters.checkpoints import state_sha256
from niah.adapters.protocol import network_of
from niah.system.download import sha256_of


def identity_of(model: object) -> str:
    """Hash what decides a Python object's logits, as far as it shows.

    The code is the source file that defines it, as long as there is one, else the bytecode and the default values. Of
    what a `functools.partial` was given, of what a function closes over and of the object of a method, plain values,
    arrays, networks and functions show; of the module that a function or class lies in, the networks and arrays that
    its code names, and of an object its networks. What the code imports does not.
    """
    defining = _defining(model)
    parts = list(_code(defining))
    parts += filter(None, _made_with(model))
    if not getattr(model, "weights_sha256", ""):
        network = model if isinstance(model, torch.nn.Module) else network_of(model)
        if network is not None:
            parts.append(state_sha256(network))
        parts += weights_in_use(model, but=network)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def weights_in_use(model: object, but: torch.nn.Module | None = None) -> list[str]:
    """Return a text on each network and array that a model's code names in its module, or that is an object's.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
        but: a network that is counted already.
    """
    used = _in_use(model)
    return [f"{name}={_value(value)}" for name, value in sorted(used.items()) if value is not but]


def in_training_mode(model: object) -> str:
    """Return the name of a network with parameters that a model uses in training mode; "" without any.

    Transforms without parameters (a spectrogram) are in training mode everywhere, and do the same in both.
    """
    for name, value in sorted(_in_use(model).items()):
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


def source_file(defining: Any) -> Path | None:
    """Return the source file of a function or class; None for one that is built in or was made at a prompt."""
    try:
        name = inspect.getsourcefile(defining)
    except TypeError:
        return None
    return Path(name) if name is not None and Path(name).is_file() else None


def _defining(model: object) -> Any:
    plain = model.func if isinstance(model, functools.partial) else model
    return plain if inspect.isroutine(plain) else type(plain)


def _in_use(model: Any) -> dict[str, Any]:
    """Return {name: network or array} of what a model's code names in its module, and the networks of an object."""
    if isinstance(model, functools.partial):
        return _in_use(model.func)
    used: dict[str, Any] = {}
    owner = getattr(model, "__self__", None) if inspect.ismethod(model) else model
    if not inspect.isroutine(owner) and not isinstance(owner, torch.nn.Module | type | None):
        used |= dict(_networks_of("self", owner))
    functions = [model] if inspect.isroutine(model) else list(vars(type(model)).values())
    _collect(functions, used, set())
    return used


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


def _weights(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a value, those in it, or the networks of an object, that are networks or arrays."""
    if isinstance(value, torch.nn.Module | torch.Tensor | np.ndarray):
        yield name, value
    elif isinstance(value, tuple | list):
        for index, each in enumerate(value):
            yield from _weights(f"{name}[{index}]", each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _weights(f"{name}[{key!r}]", each)
    elif not inspect.isroutine(value) and not isinstance(value, type | ModuleType):
        yield from _networks_of(name, value)


def _networks_of(name: str, value: object) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the networks among an object's attributes; its arrays may be what it remembers of its last input."""
    for attribute, each in getattr(value, "__dict__", {}).items():
        if isinstance(each, torch.nn.Module):
            yield f"{name}.{attribute}", each


def _names(code: CodeType) -> set[str]:
    """Return the names in a function's code, also in functions inside it, that may be of its module."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _made_with(model: Any) -> Iterator[str]:
    """Yield the values that a callable was made with, as far as they show."""
    if isinstance(model, functools.partial):
        yield from map(_value, model.args)
        yield from (f"{name}={_value(value)}" for name, value in sorted(model.keywords.items()))
        yield from _made_with(model.func)
        return
    if inspect.ismethod(model) and isinstance(model.__self__, torch.nn.Module):
        yield _value(model.__self__)
    function = inspect.unwrap(getattr(model, "__func__", model))
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # not filled yet
            yield _value(cell.cell_contents)
    if inspect.isfunction(function) and source_file(function) is None:
        yield _value((function.__defaults__, function.__kwdefaults__))


def _value(value: Any) -> str:
    """Return a text that is another for another value; "" where it does not show."""
    if isinstance(value, torch.nn.Module):
        return state_sha256(value)
    if isinstance(value, torch.Tensor):
        value = value.detach().float().cpu().numpy()
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype} {value.shape} {content}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]" if any(map(_value, value)) else ""
    if isinstance(value, dict):
        items = sorted((repr(key), _value(each)) for key, each in value.items())
        return repr(items) if any(text for _, text in items) else ""
    if inspect.isfunction(value):
        return "\n".join([_bytecode(value.__code__), *filter(None, _made_with(value))])
    is_plain = isinstance(value, bool | int | float | complex | str | bytes | np.generic)
    return repr(value) if is_plain else ""


def _code(defining: Any) -> Iterator[str]:
    if file := source_file(defining):
        yield sha256_of(file)
        return
    functions = [defining] if inspect.isroutine(defining) else vars(defining).values()
    codes = (getattr(inspect.unwrap(each), "__code__", None) for each in functions)
    yield from (_bytecode(code) for code in codes if code is not None)


def _bytecode(code: CodeType) -> str:
    constants = [_bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    text = repr((code.co_code, constants, code.co_names, code.co_varnames))
    return hashlib.sha256(text.encode()).hexdigest()
