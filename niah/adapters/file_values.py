"""Plain values of a model's file that its text does not tell: of a script's arguments, the environment, other files."""

import ast
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

from niah.adapters.in_use import COUNTED_ELSEWHERE, functions_of, is_users, plain_values
from niah.adapters.prompt_code import globals_of, source_file


def values_of_file(model: Any) -> dict[str, Any]:
    """Return {name: plain value} of what a model's code names in its module, and the module's text does not tell.

    Left out are this package's code, that of installed ones and of a prompt, variables that a function assigns itself,
    those that count elsewhere (`DEVICE`), and paths, which are others on each machine.

    Args:
        model: a function, a method, a `functools.partial` of one, or an object.
    """
    values: dict[str, Any] = {}
    for function in functions_of(model):
        values |= _values_of(function)
    return values


def _values_of(function: Any) -> dict[str, Any]:
    code: CodeType = function.__code__
    space: dict[str, Any] = function.__globals__
    is_own = str(space.get("__name__")).startswith("niah.")
    if is_own or not is_users(code.co_filename) or (file := source_file(function)) is None:
        return {}
    text = _literals(file, file.stat().st_mtime_ns)
    assigned = globals_of(code, ("STORE_GLOBAL", "DELETE_GLOBAL"))
    values: dict[str, Any] = {}
    for name in globals_of(code):
        if name in space and name not in assigned and not _is_left_out(name):
            value = space[name]
            if not _is_told(value, text.get(name, _NONE)):
                values |= dict(plain_values(name, value))
    return {name: value for name, value in values.items() if not _is_path(value)}


_NONE = object()


def _is_left_out(name: str) -> bool:
    return name.startswith("__") or name.lower() in COUNTED_ELSEWHERE


def _is_told(value: Any, literal: Any) -> bool:
    return type(value) is type(literal) and repr(value) == repr(literal)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()


@lru_cache(maxsize=100)
def _literals(file: Path, _changed_ns: int) -> dict[str, Any]:
    """Return the variables of a file to which its text assigns a literal, once."""
    try:
        statements = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError, OSError):
        return {}
    literals: dict[str, Any] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    try:
                        literals[target.id] = ast.literal_eval(statement.value)
                    except ValueError:
                        literals.pop(target.id, None)
    return literals
