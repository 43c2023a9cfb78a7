"""Code that lies in no file, as a notebook's: what a model's function or class is made of there.

A file is hashed whole. Of a notebook the functions and classes that the model's code names count one by one, also
through others, and the numbers and texts that they name.
"""

import dis
import functools
import inspect
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import torch

from niah.adapters.in_use import COUNTED_ELSEWHERE, DEEPEST, MOST_SETTINGS, PLAIN, closure

_MODEL = "model"
_OWN_ATTRIBUTE = re.compile(rf"{_MODEL}\.[^.]*")


def source_file(defining: Any) -> Path | None:
    """Return the source file of a function or class; None for one that is built in or was made at a prompt."""
    try:
        name = inspect.getsourcefile(defining)
    except (TypeError, OSError):  # the latter of a class of a notebook
        return None
    return Path(name) if name is not None and Path(name).is_file() else None


def values_at_prompt(model: Any) -> dict[str, Any]:
    """Return {name: code or plain value} of all that lies in no file and that a model's code names; {} of a file's.

    Left out are variables that this code assigns itself, and an object's own attributes, which are its settings.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
    """
    values: dict[str, Any] = {}
    _take(_MODEL, model, values, {})
    assigned = {
        name
        for code in values.values()
        if isinstance(code, CodeType)
        for name in globals_of(code, ("STORE_GLOBAL", "DELETE_GLOBAL"))
    }
    return {
        f"prompt {name}": value
        for name, value in values.items()
        if re.split(r"[.[]", name)[0] not in assigned and not _OWN_ATTRIBUTE.fullmatch(name)
    }


def _take(
    name: str, value: Any, values: dict[str, Any], seen: dict[int, Any], depth: int = 0
) -> None:
    """Add a value of a notebook, and what its code names.

    Args:
        name: of the value.
        value: any.
        values: what there is so far.
        seen: the values that were followed, by their id.
        depth: objects and containers around it.
    """
    if isinstance(value, PLAIN):
        values[name] = value
    elif id(value) not in seen and not isinstance(value, torch.Tensor) and depth < DEEPEST:
        seen[id(value)] = value
        depth += not (inspect.isroutine(value) or isinstance(value, type))
        for part, each in _parts(name, value):
            if isinstance(each, CodeType):
                values[part] = each
            else:
                _take(part, each, values, seen, depth)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of the parts of a function, class, container or object; code of notebooks as it is."""
    if inspect.ismethod(value):
        yield from ((name, value.__self__), (f"{name}()", value.__func__))
    elif isinstance(value, functools.partial):
        yield from ((name, value.func), (f"{name} args", [*value.args, value.keywords]))
    elif inspect.isfunction(value):
        yield from _parts_of_function(inspect.unwrap(value))
    elif isinstance(value, type):
        yield from _parts_of_class(value)
    elif isinstance(value, property | staticmethod | classmethod):
        yield name, value.fget if isinstance(value, property) else value.__func__
    elif isinstance(value, tuple | list | dict):
        if len(value) <= MOST_SETTINGS:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            yield from ((f"{name}[{key!r}]", each) for key, each in list(items))
    elif isinstance(value, torch.nn.Module):
        for inner, each in value.named_modules():
            yield from _parts_of_object(f"{name}.{inner}" if inner else name, each)
    elif not isinstance(value, ModuleType):
        yield from _parts_of_object(name, value)


def _parts_of_function(function: Any) -> Iterator[tuple[str, Any]]:
    yield from closure(function)
    if not inspect.isfunction(function) or source_file(function) is not None:
        return
    yield f"{function.__qualname__}()", function.__code__
    yield f"{function.__qualname__} defaults", [function.__defaults__, function.__kwdefaults__]
    space = function.__globals__
    yield from ((name, space[name]) for name in globals_of(function.__code__) if name in space)


def _parts_of_class(kind: type) -> Iterator[tuple[str, Any]]:
    for each in kind.__mro__:
        if _is_at_prompt(each):
            own = ((n, v) for n, v in vars(each).items() if n not in COUNTED_ELSEWHERE)
            yield from (
                (f"{each.__qualname__}.{name}", value)
                for name, value in own
                if not name.startswith("__") or inspect.isroutine(value)
            )


def _parts_of_object(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield an object's class, and of one of a notebook's class, or of a plain bag of values, its attributes."""
    kind = type(value)
    yield kind.__qualname__, kind
    if _is_at_prompt(kind) or isinstance(value, SimpleNamespace | Namespace):
        for attribute, each in list(getattr(value, "__dict__", {}).items()):
            if not attribute.startswith("_") and attribute not in COUNTED_ELSEWHERE:
                yield f"{name}.{attribute}", each


def _is_at_prompt(kind: type) -> bool:
    """Return whether a class was made at a prompt; one that is built in lies in no file either."""
    module = sys.modules.get(kind.__module__)
    return (module is None or kind.__module__ == "__main__") and source_file(kind) is None


@lru_cache(maxsize=1000)  # a model's calls are looked at before and after
def globals_of(code: CodeType, by: tuple[str, ...] = ("LOAD_GLOBAL", "LOAD_NAME")) -> list[str]:
    """Return the variables of its module that a function's code reads, also in functions inside it, sorted."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in by}
    inner = (globals_of(each, by) for each in code.co_consts if isinstance(each, CodeType))
    return sorted(names.union(*inner))
