"""`niah.run`: the command line's main job, from Python."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.errors import NiahError
from niah.plan import RunOptions

if TYPE_CHECKING:
    import pandas as pd

_SHORT_NAMES = {
    "lengths": "lengths_s",
    "snr": "snrs_db",
    "window": "window_s",
    "haystack": "haystacks",
}


def run(**options: Any) -> "pd.DataFrame":
    """`niah run` from Python: a keyword an option of `niah.plan.RunOptions`; sequences may be lists.

    `lengths`, `snr` and `window` are accepted for `lengths_s`, `snrs_db` and `window_s`.

    Returns:
        The table of all cells of the run directory, one row a cell (`niah.cells.CELL_COLUMNS`).

    Raises:
        NiahError: anything wrong in what was asked. Running out of memory is a row, not an error.
    """
    renamed = {_SHORT_NAMES.get(name, name): value for name, value in options.items()}
    known = {each.name for each in fields(RunOptions)}
    if unknown := sorted(set(renamed) - known):
        raise NiahError(
            f"niah.run has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    from niah.sweep import sweep

    return sweep(RunOptions(**{name: _plain(name, value) for name, value in renamed.items()}))


def _plain(name: str, value: Any) -> Any:
    """Lists as tuples, one thing where several may be given as a tuple of one, paths as `Path`."""
    if name in ("models", "haystacks"):
        return (
            (str(value),) if isinstance(value, str | Path) else tuple(str(each) for each in value)
        )
    if name in ("positions", "lengths_s", "snrs_db"):
        return (
            (float(value),)
            if isinstance(value, int | float)
            else tuple(float(each) for each in value)
        )
    if name in ("out", "babble", "audio_root") and value is not None:
        return Path(value)
    return str(value) if name in ("needles", "checkpoint") and value is not None else value
