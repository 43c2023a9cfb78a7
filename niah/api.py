"""`niah.run`: the command line's main job, from Python."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.errors import NiahError
from niah.sweep.options import RunOptions

if TYPE_CHECKING:
    import pandas as pd

_SHORT_NAMES = {
    "lengths": "lengths_s",
    "snr": "snrs_db",
    "window": "window_s",
    "hop": "hop_s",
    "pool": "window_pool",
    "haystack": "haystacks",
    "control": "controls",
    "pooling": "poolings",
    "needle_count": "needle_counts",
}
_WORDS = ("models", "haystacks", "controls", "poolings")
_NUMBERS = ("positions", "lengths_s", "snrs_db", "needle_s")
_COUNTS = ("needle_counts", "distractors")


def run(**options: Any) -> "pd.DataFrame":
    """`niah run` from Python: a keyword an option of `niah.sweep.options.RunOptions`; sequences may be lists.

    `lengths`, `snr`, `window`, `hop` and `pool` are accepted for `lengths_s`, `snrs_db`, `window_s`, `hop_s` and
    `window_pool`; `haystack`, `control`, `pooling` and `needle_count` without their s. With `preset` what is not given
    is as in that figure of the paper (`niah.sweep.presets`).

    Returns:
        The table of all cells of the run directory, one row a cell (`niah.records.schema.CELL_COLUMNS`).

    Raises:
        NiahError: anything wrong in what was asked. Running out of memory is a row, not an error.
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
    if name in _WORDS:
        return tuple(map(str, [value] if isinstance(value, str | Path) else value))
    if name in _NUMBERS or name in _COUNTS:
        kind = float if name in _NUMBERS else int
        return tuple(map(kind, [value] if isinstance(value, int | float) else value))
    if name == "level" and not isinstance(value, str):
        return ",".join(value)
    if name in ("out", "babble", "audio_root") and value is not None:
        return Path(value)
    return str(value) if name in ("needles", "checkpoint") and value is not None else value
