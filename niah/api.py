"""`niah.run`: the command line's main job, from Python."""

import logging
from collections.abc import Iterable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from niah.errors import NiahError
from niah.records.axes import AXES
from niah.sweep.option_types import checked, kind_of_several, may_be_none
from niah.sweep.options import RunOptions

if TYPE_CHECKING:
    import pandas as pd

SHORT_NAMES = {  # keyword of `run`: field of `RunOptions`
    "model": "models",
    "lengths": "lengths_s",
    "snr": "snrs_db",
    "window": "window_s",
    "hop": "hop_s",
    "pool": "window_pool",
    "haystack": "haystacks",
    **{name: axis.values for name, axis in AXES.items() if name != axis.values},
}

Models: TypeAlias = (
    object  # str, Path, a function of waveforms, an adapter or a waveform model, or several
)
Names: TypeAlias = str | Iterable[str]
Numbers: TypeAlias = float | Iterable[float]
Counts: TypeAlias = int | Iterable[int]


class RunKeywords(TypedDict, total=False):
    """The keywords of `run`: the fields of `niah.sweep.options.RunOptions`, and short names of some.

    Where several values are possible, one value or any iterable of values is accepted.
    """

    models: Models  # names or paths of cards, functions of waveforms, adapters, waveform models
    model: Models
    labels: str | Path  # of a function of waveforms: a vocabulary's name or file
    sample_rate: int  # in Hz, of a function of waveforms
    prompt: str  # of text models (CLAP), with {} for a class's name
    trust_remote_code: bool  # run the Python files of a hub's repository
    checkpoint: str | Path | None  # a file, or "random"; None: the card's own weights
    needles: str | Path
    limit: int | None  # number of clips
    audio_root: str | Path | None
    broader: bool
    haystacks: Names
    haystack: Names
    babble: str | Path | None
    snrs_db: Numbers
    snr: Numbers
    positions: Numbers  # in [0, 1]
    lengths_s: Numbers
    lengths: Numbers
    protocol: str
    level: Names  # "surround", "mix" or both
    poolings: Names
    pooling: Names
    controls: Names
    control: Names
    false_alarms: Numbers  # an hour and class, at which recall is reported
    needle_s: Numbers
    needle_counts: Counts
    needle_count: Counts
    distractors: Counts
    needles_per_scene: Counts
    window_s: float | None
    window: float | None
    hop_s: float | None
    hop: float | None
    window_pool: str
    pool: str
    reuse: bool  # score windows of equal content once
    device: str
    dtype: str
    kernel: str
    batch_size: int | None  # None: probed
    seed: int
    noise_seed: int | None  # None: `seed`
    out: str | Path  # the run directory
    strict: bool
    needle_part: str
    preset: str | None  # a figure of the paper; the other keywords override it


def run(**options: Unpack[RunKeywords]) -> "pd.DataFrame":
    """Measure every model x haystack x SNR x length x position, as `niah run` does, and return the table of cells.

    Args:
        **options: the fields of `niah.sweep.options.RunOptions`, with their defaults, or their short names:
            `model`, `haystack`, `lengths`, `snr`, `window`, `hop`, `pool`, `pooling`, `control` and `needle_count`.
            Lengths, windows and hops are in seconds, SNRs in dB. `preset` names a figure of the paper
            (`niah.sweep.presets`); the other keywords override it.

    The notes of the command line (clips and haystacks that are left out, cells that failed, scores that look like
    probabilities) go to `logging.getLogger("niah")` as warnings, which Python prints unless the program logs elsewhere.

    Returns:
        The table of all cells of the run directory, one row a cell (`niah.records.schema.CELL_COLUMNS`).

    Raises:
        NiahError: an option is unknown or wrong. An error in one cell is recorded in that cell's row instead.
    """
    values: dict[str, Any] = {}
    for name, value in options.items():
        field = SHORT_NAMES.get(name, name)
        if field in values:
            raise NiahError(f"{name} is another name of an option that is given too: give one")
        values[field] = value
    names = [field.name for field in fields(RunOptions) if field.name != "objects"]
    if unknown := sorted(set(values) - set(names)):
        raise NiahError(
            f"niah.run has no option {', '.join(unknown)}; it has {', '.join(sorted(names))}"
        )
    from niah.sweep.loop import sweep
    from niah.sweep.presets import notes_on_absent, options_of

    settings = {
        name: value if name == "objects" else _plain(name, value)
        for name, value in _named(values).items()
    }
    parts, note = options_of(settings), logging.getLogger("niah").warning
    for text in notes_on_absent(settings):
        note("%s", text)
    from niah.system.torch_settings import fresh_settings

    with fresh_settings():
        tables = [sweep(part, partial(note, "%s")) for part in parts]
    return tables[-1]  # of the whole run directory


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """Name the Python objects among the models."""
    if "models" not in values:
        return values
    models: Any = values["models"]
    if isinstance(models, str | Path) or callable(models) or not isinstance(models, Iterable):
        models = [models]
    models = list(models)
    if all(isinstance(model, str | Path) for model in models):
        return {**values, "models": models}
    from niah.adapters.python_models import name_of

    names, objects = [], {}
    for model in models:
        name = str(model) if isinstance(model, str | Path) else name_of(model)
        if name in names:
            raise NiahError(f"two models are called '{name}': give one another name (its .name)")
        names.append(name)
        if not isinstance(model, str | Path):
            objects[name] = model
    return {**values, "models": names, "objects": objects}


def _plain(name: str, value: Any) -> Any:
    """Convert a value to that of `RunOptions`: any iterable of values, those of numpy and torch, a text with commas.

    Raises:
        NiahError: it is of another type.
    """
    if name == "labels" and not isinstance(value, str | Path):
        raise NiahError(
            f"labels must be a vocabulary's name or a file (.txt, one label a line), not {type(value).__name__}; a "
            "model's own are its .labels, a niah.vocabularies.Vocabulary"
        )
    if value is None and may_be_none(name):
        return None
    kind = kind_of_several(name)
    if isinstance(value, str) and kind in (int, float):
        value = [_number(each) for each in value.split(",")]
    elif isinstance(value, Iterable) and not isinstance(value, str) and (kind or name == "level"):
        value = [_of_other_libraries(each) for each in value]
    return checked(name, _of_other_libraries(value), name)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _of_other_libraries(value: Any) -> Any:
    """Return a scalar of numpy or torch as a number, and a path, device or dtype as text; else the value as it is."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    is_torchs = type(value).__module__ == "torch" and type(value).__name__ in ("device", "dtype")
    return str(value).removeprefix("torch.") if is_torchs or isinstance(value, Path) else value
