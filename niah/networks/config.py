"""A card's [config] as the settings of a network: types and sizes are checked before anything is built of them."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")

LARGEST = 1 << 16  # of a width, a number of frames or of mels
DEEPEST = 128  # blocks
MAY_BE_ZERO = ("patch", "first_column", "table")  # where 0 means that there is none
ABOVE_ZERO = ("mlp_ratio", "initial_A")
MAY_BE_NEGATIVE = ("first_column",)


def network_config(kind: type[Config], config: Mapping[str, Any], classes: int) -> Config:
    """Return the settings of a network.

    Args:
        kind: the dataclass of a family's settings.
        config: values by field name, as a card has them.
        classes: number of outputs.

    Raises:
        ValueError: an unknown key, a value of another type, or a size that no network has.
    """
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)} - {"classes"}  # type: ignore[arg-type]
    for name, value in config.items():
        if name not in names:
            raise ValueError(f"unknown key '{name}'; there are {', '.join(sorted(names))}")
        _check(name, value, hints[name])
    return kind(**{**config, "classes": classes})


def _check(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not 0 < len(value) <= DEEPEST:
            raise ValueError(f"{name} must be a list of numbers, got {value!r:.60}")
        for each in value:
            _check(name, each, get_args(hint)[0])
        if name == "depths" and sum(value) > DEEPEST:
            raise ValueError(f"depths must be {DEEPEST} blocks at most in all, got {sum(value)}")
    elif get_origin(hint) is Literal or hint in (str, bool):
        wanted = bool if hint is bool else str
        if not isinstance(value, wanted):
            raise ValueError(f"{name} must be {wanted.__name__}, got {value!r:.60}")
    elif isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
        raise ValueError(f"{name} must be {hint.__name__}, got {value!r:.60}")
    elif hint is int:
        most = DEEPEST if name in ("depth", "depths") else LARGEST
        least = -LARGEST if name in MAY_BE_NEGATIVE else 0 if name in MAY_BE_ZERO else 1
        if not least <= value <= most:
            raise ValueError(f"{name} must be {least} to {most}, got {value!r:.60}")
    elif not (0 <= value < math.inf and value <= LARGEST):
        raise ValueError(f"{name} must be 0 to {LARGEST}, got {value!r:.60}")
    elif name in ABOVE_ZERO and value == 0:
        raise ValueError(f"{name} must be above 0")
    elif name == "drop_path" and value >= 1:
        raise ValueError(f"drop_path must be below 1, got {value!r:.60}")
