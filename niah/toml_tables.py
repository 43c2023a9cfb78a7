"""TOML files that describe one thing (a card, a preset, a recipe), checked against a dataclass."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from niah.errors import NiahError, nearest
from niah.system.lfs_pointer import refuse_lfs_pointer

Described = TypeVar("Described")
_LARGEST = 2**63 - 1


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return the top table of a TOML file.

    Args:
        path: the file.
        what: kind of file, for messages: "card", "recipe".

    Returns:
        Its keys and values.

    Raises:
        NiahError: no such file, not TOML, not UTF-8, nested too deeply, or not readable.
    """
    where = f"{what} {path}"
    if path.exists() and not path.is_file() and not path.is_dir():
        raise NiahError(f"{where} is a device or a pipe, not a file")
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise NiahError(f"{where} not found") from None
    except UnicodeDecodeError:
        refuse_lfs_pointer(path)
        raise NiahError(
            f"{where} is not valid TOML: it is no UTF-8 text, save it as that"
        ) from None
    except (tomllib.TOMLDecodeError, IsADirectoryError) as error:
        refuse_lfs_pointer(path)
        raise NiahError(f"{where} is not valid TOML: {error}") from None
    except RecursionError:
        raise NiahError(f"{where} is not valid TOML: it is nested too deeply") from None
    except OSError as error:
        raise NiahError(f"{where} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # numbers of thousands of digits
        raise NiahError(f"{where} cannot be read: {error}") from None


def toml_line(key: str, value: object) -> str:
    """Return `key = value` in TOML: text, numbers, truths, and lists and tables of them.

    Args:
        key: quoted where it is no bare key.
        value: text that is no Unicode has question marks instead.
    """
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", key)
    return f"{key if bare else _text(key)} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(toml_line(str(key), each) for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else _text(str(value))


def _text(text: str) -> str:
    """Return a basic string: JSON's, but that TOML has no pairs of surrogates, and escapes DEL."""
    unicode = text.encode("utf-8", "replace").decode()
    return json.dumps(unicode, ensure_ascii=False).replace("\x7f", "\\u007f")


def build(
    kind: type[Described],
    table: Mapping[str, Any],
    where: str,
    *,
    prefix: str = "",
    text_as_list: bool = False,
) -> Described:
    """Build a dataclass from a table.

    Lists become tuples, and lists of numbers tuples of floats where the field's type says so; other values stay as they
    are.

    Args:
        kind: the dataclass.
        table: values by field name; fields with a default may be left out.
        where: file and the like, for messages: "card mine.toml".
        prefix: table of the keys, for messages: "weights.v1.".
        text_as_list: whether one text may be written for a list of one.

    Returns:
        The dataclass.

    Raises:
        NiahError: a key that is unknown, missing or of another type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in table:
        if key not in fields:
            raise NiahError(f"{where}: unknown key '{prefix}{key}'.{nearest(key, fields)}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in table:
            key = f"{where}: key '{prefix}{name}'"
            values[name] = _checked(table[name], hints[name], key, text_as_list)
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise NiahError(f"{where}: key '{prefix}{name}' is missing")
    return kind(**values)


def _checked(value: Any, hint: Any, key: str, text_as_list: bool) -> Any:
    """Return the value as the field stores it."""
    optional = [each for each in get_args(hint) if each is not type(None)]
    if type(None) in get_args(hint):
        hint = optional[0]
    origin = get_origin(hint) or hint
    if origin is tuple:
        return _checked_list(value, get_args(hint)[0], key, text_as_list)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        origin = dict
    accepted = (int, float) if origin is float else (origin,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and origin is not bool):
        names = " or ".join(each.__name__ for each in accepted)
        raise NiahError(f"{key} must be {names}, got {value!r:.60}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise NiahError(f"{key} is too large: a whole number of TOML has 64 bits")
    return value


def _checked_list(value: Any, element: Any, key: str, text_as_list: bool) -> tuple[Any, ...]:
    if text_as_list and isinstance(value, str) and element is str:
        return (value,) if value else ()
    of_text = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    if element is str and not of_text:
        raise NiahError(f"{key} must be a list of strings")
    if not isinstance(value, list | tuple):
        raise NiahError(f"{key} must be a list, got {value!r}")
    if element is float:
        for each in value:
            if not isinstance(each, int | float) or isinstance(each, bool):
                raise NiahError(f"{key} must be a list of numbers, got {each!r:.60}")
            _checked(each, float, key, False)
        return tuple(float(each) for each in value)
    return tuple(value)
