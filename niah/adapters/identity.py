"""Identity of a Python object as a model: a hash of its code, its arguments and the weights that it uses."""

import functools
import hashlib
import inspect
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any

import numpy as np
import torch

from niah.adapters.checkpoints import state_sha256
from niah.adapters.in_use import (
    DEEPEST,
    PLAIN,
    closure,
    settings_of,
    values_of_closure,
    weights_of_code,
)
from niah.adapters.prompt_code import source_file, values_at_prompt
from niah.adapters.protocol import network_of
from niah.system.download import sha256_of


def identity_of(model: object) -> str:
    """Hash what decides a Python object's logits, as far as it shows.

    The code is the source file that defines it, as long as there is one, else the bytecode and the default values, with
    those of what it names in the notebook (`niah.adapters.prompt_code`). Of what a `functools.partial` was given, of
    what a function closes over and of the object of a method, plain values, arrays, networks and functions show; of the
    module that a function or class lies in, the networks and arrays that its code names, and of an object its networks
    and settings. What the code imports does not, nor what the model's own calls have left there (`remembering`).
    """
    defining = _defining(model)
    file = source_file(defining)
    parts = [] if file is None else [sha256_of(file)]
    left = _left_by(model)
    parts += filter(None, _made_with(model, _Place("", left)))
    removed = {name: None for name in left if name.startswith("self.")}
    parts += _named(removed | settings_of(model) | values_at_prompt(model), left)
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
    used = {name: value for name, value in weights_of_code(model).items() if value is not but}
    return _named(used, _left_by(model))


@contextmanager
def remembering(model: object) -> Iterator[None]:
    """Keep out of a model's identity what changes while it is called: its memo, or a network that is loaded then.

    As long as it stays as a call left it, what was there before counts in its place. A network or array that the user
    puts there afterwards counts.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
    """
    before = _places(model)
    try:
        yield
    finally:
        after = _places(model)
        names = before.keys() | after.keys()
        changed = [name for name in names if before.get(name) is not after.get(name)]
        if changed:
            left = _left_by(model, make=True)
            for name in changed:
                counted = _value(before.get(name), _Place(name, left))
                left[name] = _value(after.get(name)), counted


def loaded_late(model: object) -> list[str]:
    """Return the names of networks that a model's own calls have loaded, and whose weights therefore do not count.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
    """
    left = _left_by(model)
    return sorted(
        name
        for name, value in _places(model).items()
        if isinstance(value, torch.nn.Module) and name in left and not left[name][1]
    )


_Left = dict[str, tuple[str, str]]
"""By the name of a value: its text as a call left it, and the text that counts in its place."""

_LEFT: dict[int, _Left] = {}
"""By the id of a model that is alive: an object with fields that compare (a dataclass) has no hash."""


@dataclass(frozen=True)
class _Place:
    """Where a value lies: its name, what calls have left in the model, and ids of the containers around it."""

    name: str = ""
    left: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    around: frozenset[int] = frozenset()

    def inside(self, container: object, key: object) -> "_Place":
        return replace(self, name=f"{self.name}[{key!r}]", around=self.around | {id(container)})

    def counts(self, text: str) -> str:
        """Return the text that counts for a value of this text."""
        as_left, before = self.left.get(self.name, (None, ""))
        return before if text == as_left else text


def _left_by(model: Any, make: bool = False) -> _Left:
    """Return what a model's calls have left; of an object without weak references nothing is known."""
    if isinstance(model, functools.partial):
        return _left_by(model.func, make)
    owner = model.__self__ if inspect.ismethod(model) else model
    if make and id(owner) not in _LEFT:
        with suppress(TypeError):
            weakref.finalize(owner, _LEFT.pop, id(owner), None).atexit = False
            _LEFT[id(owner)] = {}
    return _LEFT.get(id(owner), {})


def _places(model: object) -> dict[str, Any]:
    """Return {name: value} of all in a model that its calls may change."""
    of_code = weights_of_code(model) | values_at_prompt(model)
    return of_code | values_of_closure(model) | settings_of(model)


def _named(used: Mapping[str, Any], left: "_Left") -> list[str]:
    """Return "name=text" of each value that counts, sorted."""
    texts = {name: _value(value, _Place(name, left)) for name, value in sorted(used.items())}
    return [f"{name}={text}" for name, text in texts.items() if text]


def _defining(model: object) -> Any:
    plain = model.func if isinstance(model, functools.partial) else model
    return plain if inspect.isroutine(plain) else type(plain)


def _made_with(model: Any, place: _Place) -> Iterator[str]:
    """Yield the values that a callable was made with, as far as they show."""
    if isinstance(model, functools.partial):
        yield from (_value(each, place) for each in model.args)
        keywords = sorted(model.keywords.items())
        yield from (f"{name}={_value(value, place)}" for name, value in keywords)
        yield from _made_with(model.func, place)
        return
    if inspect.ismethod(model) and isinstance(model.__self__, torch.nn.Module):
        yield _value(model.__self__)
    function = inspect.unwrap(getattr(model, "__func__", model))
    for name, contents in closure(model):
        yield _value(contents, replace(place, name=name))
    if inspect.isfunction(function) and source_file(function) is None:
        yield _value((function.__defaults__, function.__kwdefaults__), place)


def _value(value: Any, place: _Place = _Place()) -> str:
    """Return a text that is another for another value; "" where it does not show."""
    if isinstance(value, tuple | list | dict) or inspect.isfunction(value):
        if id(value) in place.around or len(place.around) == DEEPEST:
            return ""
        return _of_function(value, place) if inspect.isfunction(value) else _of_items(value, place)
    return place.counts(_of_one(value))


def _of_items(value: Any, place: _Place) -> str:
    """Return the text of a list or dict: without a dict's entries, and those at a list's end, that do not show."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    texts = [(key, _value(each, place.inside(value, key))) for key, each in list(items)]
    if isinstance(value, dict):
        shown = sorted((repr(key), text) for key, text in texts if text)
        return repr(shown) if shown else ""
    while texts and not texts[-1][1]:
        texts.pop()
    return f"[{', '.join(text for _, text in texts)}]" if texts else ""


def _of_function(value: Any, place: _Place) -> str:
    inner = place.inside(value, "")
    return "\n".join([_bytecode(value.__code__), *filter(None, _made_with(value, inner))])


def _of_one(value: Any) -> str:
    """Return the text of a network, an array, a function's code or a plain value."""
    if isinstance(value, CodeType):
        return _bytecode(value)
    if isinstance(value, torch.nn.Module):
        return state_sha256(value)
    if isinstance(value, torch.Tensor):
        return _of_tensor(value.detach())
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:  # whose bytes are addresses, others in each process
            content = hashlib.sha256(repr(_plain(value.tolist())).encode()).hexdigest()
        else:
            content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype} {value.shape} {content}"
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
