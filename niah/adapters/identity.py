"""Identity of a Python object as a model: a hash of its code, its arguments and the weights that it uses."""

import functools
import hashlib
import inspect
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import CodeType, ModuleType, NoneType
from typing import Any

import numpy as np
import torch

from niah.adapters.checkpoints import state_sha256
from niah.adapters.file_values import values_of_file
from niah.adapters.in_use import (
    DEEPEST,
    PLAIN,
    is_bag,
    items_of,
    made_with,
    parts_of_object,
    settings_of,
    weights_of_code,
)
from niah.adapters.network_settings import network_settings
from niah.adapters.prompt_code import source_file, values_at_prompt
from niah.adapters.protocol import network_of
from niah.system.download import sha256_of


def identity_of(model: object) -> str:
    """Hash what decides a Python object's logits, as far as it shows.

    The code is the source file that defines it, as long as there is one, else the bytecode and the default values, with
    those of what it names in the notebook (`niah.adapters.prompt_code`). Of what a `functools.partial` was given, of
    default values, of what a function closes over and of the object of a method, plain values, arrays, networks and
    functions show; of the module that a function or class lies in, the networks and arrays that its code names, and
    plain values that the module's text does not tell (`niah.adapters.file_values`); of an object its networks and
    settings. A network is its weights and its settings (`niah.adapters.network_settings`). What the code imports does
    not show, nor what the model's own calls have left there (`remembering`).
    """
    defining = _defining(model)
    file = source_file(defining)
    parts = [] if file is None else [sha256_of(file), *_where_in_file(defining)]
    left = _left_by(model)
    parts += filter(None, _made_with(model, _Place("", left)))
    removed = {name: None for name in left if name.startswith("self.")}
    parts += _named(removed | settings_of(model) | values_at_prompt(model), left)
    if not getattr(model, "weights_sha256", ""):
        ((name, network),) = _own_networks(model).items()
        if network is not None:
            parts.append(_value(network, _Place(name, left)))
        parts += weights_in_use(model, but=network)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def weights_in_use(model: object, but: torch.nn.Module | None = None) -> list[str]:
    """Return a text on each network and array that a model's code names in its module, or that is an object's.

    Plain values count that the module's text does not tell (`niah.adapters.file_values`).

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
        but: a network that is counted already.
    """
    weights = {name: value for name, value in weights_of_code(model).items() if value is not but}
    return _named(weights | values_of_file(model), _left_by(model))


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
        networks = {
            name for name in changed if _is_network(before, name) or _is_network(after, name)
        }
        if changed:
            left = _left_by(model, make=True)
            for name in changed:
                if not networks.isdisjoint(_around(name)):
                    left.pop(name, None)  # the whole network is another
                    continue
                counted = _value(before.get(name), _Place(name, left))
                left[name] = _value(after.get(name)), counted


def _is_network(places: Mapping[str, Any], name: str) -> bool:
    return isinstance(places.get(name), torch.nn.Module)


def _around(name: str) -> list[str]:
    """Return the names of what a place of this name lies in."""
    return [name[:at] for at, sign in enumerate(name) if sign == "."]


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


_ARRAYS: tuple[type, ...] = (torch.Tensor, np.ndarray)

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


_Parts = Iterator[tuple[str, Any, _Place]]


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
    of_code = weights_of_code(model) | values_at_prompt(model) | values_of_file(model)
    values = of_code | settings_of(model)
    owner = model.__self__ if inspect.ismethod(model) else model
    values |= {name: each for name, each in _own_networks(owner).items() if each is not None}
    places: dict[str, Any] = {}
    for name, value in [*values.items(), *made_with(model)]:
        places |= dict(_leaves(value, _Place(name)))
    return places


def _own_networks(owner: Any) -> dict[str, torch.nn.Module | None]:
    """Return the network that an object is, or that it shows as its `network`."""
    if isinstance(owner, torch.nn.Module):
        return {"self": owner}
    return {"self.network": network_of(owner)}


def _named(used: Mapping[str, Any], left: "_Left") -> list[str]:
    """Return "name=text" of each value that counts, sorted."""
    texts = {name: _value(value, _Place(name, left)) for name, value in sorted(used.items())}
    return [f"{name}={text}" for name, text in texts.items() if text]


def _where_in_file(defining: Any) -> list[str]:
    """Return where a lambda, or a function inside another, stands in its file: several have one name; [] of others."""
    code = getattr(inspect.unwrap(getattr(defining, "__func__", defining)), "__code__", None)
    if not isinstance(code, CodeType) or "<" not in code.co_qualname:
        return []
    places = [each for each in code.co_positions() if None not in each]
    return [repr((code.co_firstlineno, max(places, default=None)))]


def _defining(model: object) -> Any:
    plain = model.func if isinstance(model, functools.partial) else model
    return plain if inspect.isroutine(plain) else type(plain)


def _made_with(model: Any, place: _Place) -> Iterator[str]:
    """Yield the values that a callable was made with, as far as they show."""
    method = model.func if isinstance(model, functools.partial) else model
    if inspect.ismethod(method) and isinstance(method.__self__, torch.nn.Module):
        yield _value(method.__self__, replace(place, name="self"))
    for name, value, inner in _parts_of_function(model, place):
        text = _value(value, inner)
        yield f"{name}={text}" if name else text


def _parts_of_function(function: Any, place: _Place) -> _Parts:
    within = f"{place.name}." if place.name else ""
    for name, value in made_with(function):
        kind, _, keyword = name.partition(" ")
        is_keyword = kind == "argument" and not keyword.isdigit()
        yield keyword if is_keyword else "", value, replace(place, name=within + name)


def _parts(value: Any, place: _Place) -> _Parts:
    """Yield the name, value and place of the parts of a container, a function, a network or an object."""
    if isinstance(value, tuple | list | dict) or is_bag(value):
        items = list(items_of(value))
        yield from ((repr(key), each, place.inside(value, key)) for key, each in items)
    elif inspect.isfunction(value):
        yield from _parts_of_function(value, place.inside(value, ""))
    elif isinstance(value, functools.partial):
        made = ("func", value.func), ("args", value.args), ("keywords", value.keywords)
        yield from ((name, each, place.inside(value, name)) for name, each in made)
    elif inspect.ismethod(value):
        yield "method", value.__qualname__, _Place()
        yield "self", value.__self__, place.inside(value, "")
    else:
        is_network = isinstance(value, torch.nn.Module)
        named = network_settings(value) if is_network else parts_of_object("", value)
        around = place.around | {id(value)}
        for name, each in named:
            part = name.removeprefix(".")
            yield part, each, replace(place, name=f"{place.name}.{part}", around=around)


def _has_parts(value: Any) -> bool:
    if isinstance(value, (*PLAIN, *_ARRAYS, type, ModuleType, CodeType, NoneType)):
        return False
    return not inspect.isroutine(value) or inspect.isfunction(value) or inspect.ismethod(value)


def _leaves(value: Any, place: _Place) -> Iterator[tuple[str, Any]]:
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
        for _, each, inner in _parts(value, place):
            yield from _leaves(each, inner)


def _value(value: Any, place: _Place = _Place()) -> str:
    """Return a text that is another for another value; "" where it does not show."""
    if not _has_parts(value):
        return place.counts(_of_one(value))
    if id(value) in place.around or len(place.around) >= DEEPEST:
        return ""
    if isinstance(value, torch.nn.Module):
        return place.counts(_of_network(value, place))
    texts = [(name, _value(each, inner)) for name, each, inner in _parts(value, place)]
    if inspect.isfunction(value):
        parts = (f"{name}={text}" if name else text for name, text in texts)
        return "\n".join([_bytecode(value.__code__), *filter(None, parts)])
    if not isinstance(value, tuple | list):  # without what does not show
        shown = sorted((name, text) for name, text in texts if text)
        return repr(shown) if shown else ""
    while texts and not texts[-1][1]:
        texts.pop()
    return f"[{', '.join(text for _, text in texts)}]" if texts else ""


def _of_network(network: torch.nn.Module, place: _Place) -> str:
    """Return a hash of a network's weights, and of what decides its outputs beside them."""
    settings = ((name, _value(each, inner)) for name, each, inner in _parts(network, place))
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
