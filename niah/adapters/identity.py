"""Identity of a Python object as a model: a hash of its code, its arguments and the weights that it uses."""

import functools
import hashlib
import inspect
import re
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import CodeType
from typing import Any

import torch

from niah.adapters.checkpoints import state_sha256
from niah.adapters.file_values import values_of_file
from niah.adapters.in_use import made_with, settings_of, weights_of_code
from niah.adapters.prompt_code import source_file, values_at_prompt
from niah.adapters.protocol import network_of
from niah.adapters.value_texts import Left, Place, leaves, parts_of, parts_of_function, text_of
from niah.system.download import sha256_of

_BACKEND = re.compile(r"[^=]*\bbackend=")


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
    left, watched = _left_by(model), _is_watched(model)
    parts += filter(None, _made_with(model, Place("", left)))
    removed = {name: None for name in left if name.startswith("self.")}
    parts += _named(removed | settings_of(model) | values_at_prompt(model), left, watched)
    if not getattr(model, "weights_sha256", ""):
        ((name, network),) = _own_networks(model).items()
        if network is not None:
            parts.append(text_of(network, Place(name, left, watched)))
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
    return _named(weights | values_of_file(model), _left_by(model), _is_watched(model))


def networks_sha256(adapter: Any) -> str:
    """Hash the networks of an adapter, or of the waveform model in it, as they are; "" where it shows none.

    The scan backend of a layer is left out, which is the run's choice (`--kernel`).
    """
    owner = adapter if network_of(adapter) is not None else getattr(adapter, "model", adapter)
    ((name, network),) = _own_networks(owner).items()
    if network is None:
        return ""
    parts = parts_of(network, Place(name, _left_by(owner)))
    texts = [f"{part}={text_of(each, place)}" for part, each, place in parts]
    settings = [each for each in texts if not _BACKEND.match(each)]
    return hashlib.sha256("\n".join([state_sha256(network), *settings]).encode()).hexdigest()


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
                counted = text_of(before.get(name), Place(name, left))
                left[name] = text_of(after.get(name)), counted


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


_LEFT: dict[int, Left] = {}
"""By the id of a model that is alive: an object with fields that compare (a dataclass) has no hash."""


def _left_by(model: Any, make: bool = False) -> Left:
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
        places |= dict(leaves(value, Place(name)))
    return places


def _own_networks(owner: Any) -> dict[str, torch.nn.Module | None]:
    """Return the network that an object is, or that it shows as its `network`."""
    if isinstance(owner, torch.nn.Module):
        return {"self": owner}
    return {"self.network": network_of(owner)}


def _is_watched(model: object) -> bool:
    """Return whether a model's calls are seen: those of an adapter are not."""
    return not hasattr(model, "logits")


def _named(used: Mapping[str, Any], left: Left, watched: bool) -> list[str]:
    """Return "name=text" of each value that counts, sorted."""
    placed = ((name, value, Place(name, left, watched)) for name, value in sorted(used.items()))
    texts = ((name, text_of(value, place)) for name, value, place in placed)
    return [f"{name}={text}" for name, text in texts if text]


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


def _made_with(model: Any, place: Place) -> Iterator[str]:
    """Yield the values that a callable was made with, as far as they show."""
    method = model.func if isinstance(model, functools.partial) else model
    if inspect.ismethod(method) and isinstance(method.__self__, torch.nn.Module):
        yield text_of(method.__self__, replace(place, name="self"))
    for name, value, inner in parts_of_function(model, place):
        text = text_of(value, inner)
        yield f"{name}={text}" if name else text
