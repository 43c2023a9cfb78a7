"""Types of a run's options, by the fields of `RunOptions`, wherever the options come from: Python or a file."""

from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from niah.errors import NiahError
from niah.sweep.options import RunOptions
from niah.system.folders import with_home

HINTS = {name: hint for name, hint in get_type_hints(RunOptions).items() if name != "objects"}
_PATHS = ("audio_root", "babble", "out")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def kind_of_several(name: str) -> type | None:
    """Return the type of one value of an option that has several; None of one that has one."""
    hint = HINTS[name]
    kind: type | None = get_args(hint)[0] if get_origin(hint) is tuple else None
    return kind


def may_be_none(name: str) -> bool:
    """Return whether None is a value of an option."""
    return type(None) in get_args(HINTS[name])


def checked(name: str, value: Any, where: str) -> Any:
    """Return a value as `RunOptions` stores it.

    Args:
        name: field of `RunOptions`.
        value: plain values as TOML and JSON have them, or a tuple of them.
        where: file and key, for messages.

    Raises:
        NiahError: it is of another type, or an empty text for a file: that would be the card's own weights.
    """
    if value == "" and name in (*_PATHS, "checkpoint"):
        raise NiahError(f"{where} is empty: leave it out, or name a file")
    if name == "level" and isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    if name in _PATHS:
        return Path(_typed(str, value, where))
    if (kind := kind_of_several(name)) is not None:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_typed(kind, each, where) for each in values)
    kinds = [each for each in get_args(HINTS[name]) if each is not type(None)]
    return _typed(kinds[0] if kinds else HINTS[name], value, where)


def _typed(kind: type, value: Any, where: str) -> Any:
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is str and isinstance(value, str):
        value = with_home(value)
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise NiahError(f"{where} must be {_WORDS[kind]}, got {value!r:.60}")
    return float(value) if kind is float and isinstance(value, int) else value
