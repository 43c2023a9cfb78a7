"""`niah.run`: the command line's main job, from Python."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.errors import NiahError
from niah.records.axes import AXES
from niah.sweep.options import RunOptions

if TYPE_CHECKING:
    import pandas as pd

_SHORT_NAMES = {
    "model": "models",
    "lengths": "lengths_s",
    "snr": "snrs_db",
    "window": "window_s",
    "hop": "hop_s",
    "pool": "window_pool",
    "haystack": "haystacks",
    **{name: axis.values for name, axis in AXES.items()},
}
_KINDS: dict[str, type] = {  # of fields that hold several values
    **{"models": str, "haystacks": str, "positions": float, "lengths_s": float, "snrs_db": float},
    **{axis.values: axis.kind for name, axis in AXES.items() if name != "level"},
}


def run(**options: Any) -> "pd.DataFrame":
    """`niah run` from Python: a keyword an option of `niah.sweep.options.RunOptions`; sequences may be lists.

    `lengths`, `snr`, `window`, `hop` and `pool` are accepted for `lengths_s`, `snrs_db`, `window_s`, `hop_s` and
    `window_pool`; `model`, `haystack`, `control`, `pooling` and `needle_count` without their s. With `preset` the rest
    is as in that figure of the paper (`niah.sweep.presets`).

    Returns:
        The table of all cells of the run directory, one row a cell (`niah.records.schema.CELL_COLUMNS`).

    Raises:
        NiahError: anything wrong in the options. What goes wrong in one cell is a row, not an error.
    """
    renamed = {_SHORT_NAMES.get(name, name): value for name, value in options.items()}
    known = {each.name for each in fields(RunOptions)}
    if unknown := sorted(set(renamed) - known):
        raise NiahError(
            f"niah.run has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    given = {name: _plain(name, value) for name, value in renamed.items()}
    from niah.sweep.loop import sweep
    from niah.sweep.presets import options_of

    tables = [sweep(options) for options in options_of(given)]
    return tables[-1]  # of the whole run directory


def _plain(name: str, value: Any) -> Any:
    """Lists as tuples, one thing where several may be given as a tuple of one, paths as `Path`."""
    if name in _KINDS:
        values = [value] if not isinstance(value, Iterable) or isinstance(value, str) else value
        if name == "models" and (other := [v for v in values if not isinstance(v, str | Path)]):
            raise NiahError(
                f"models are names or paths of cards, got a {type(other[0]).__name__}: docs/your-model.md has the card "
                "of a model of your own"
            )
        return tuple(map(_KINDS[name], values))
    if name == "level" and not isinstance(value, str):
        return ",".join(value)
    if name in ("out", "babble", "audio_root") and value is not None:
        return Path(value)
    return str(value) if name in ("needles", "checkpoint") and value is not None else value
