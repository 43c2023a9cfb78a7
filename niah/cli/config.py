"""Options of `niah run` from a file: a TOML of options, or the run.json of an earlier run, which it repeats."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from niah.api import SHORT_NAMES
from niah.errors import NiahError, nearest
from niah.records.axes import AXES
from niah.records.run_json import read_run_json
from niah.sweep.option_types import HINTS, checked
from niah.sweep.presets import PART_OPTIONS
from niah.system.folders import recalled
from niah.toml_tables import read_toml

Settings = dict[str, Any]
PARAMETERS = {  # option of the command line: field of `RunOptions`, where they differ
    **{"model": "models", "haystack": "haystacks", "snr": "snrs_db", "lengths": "lengths_s"},
    **{"window": "window_s", "hop": "hop_s"},
    **{name: axis.values for name, axis in AXES.items()},
}


def read_config(path: Path, note: Callable[[str], None]) -> Settings:
    """Return fields of `RunOptions` from a file.

    Args:
        path: a TOML whose keys are options (`lengths`, `haystack`) or fields (`lengths_s`), or a run.json.
        note: gets what of the file is not repeated.

    Raises:
        NiahError: the file cannot be read, is neither, has an unknown key or a value of another type, or names a
            file of another machine.
    """
    if path.suffix.lower() == ".json":
        return _of_run(path, note)
    settings = {}
    for key, value in read_toml(path, "config").items():
        name = key.replace("-", "_")
        name = SHORT_NAMES.get(name, PARAMETERS.get(name, name))
        if name not in HINTS:
            known = [*HINTS, *PARAMETERS]
            raise NiahError(f"config {path}: unknown option '{key}'.{nearest(key, known)}")
        settings[name] = checked(name, value, f"config {path}: {key}")
    return settings


def merged(context: typer.Context, settings: Settings, options: Settings) -> Settings:
    """Return `options`, with the file's settings for those that were not typed.

    Args:
        context: of the command, which knows what was typed.
        settings: from `read_config`.
        options: fields of `RunOptions` from the command line.
    """
    names = {field: parameter for parameter, field in PARAMETERS.items()}
    untyped = {
        field: value
        for field, value in settings.items()
        if not _is_typed(context, names.get(field, field))
    }
    return {**options, **untyped}


def _is_typed(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name != "DEFAULT"


def _of_run(path: Path, note: Callable[[str], None]) -> Settings:
    if not path.is_file():
        raise NiahError(f"config {path} not found")
    content = read_run_json(path)
    stated = content.get("arguments")
    if not stated:
        raise NiahError(f"config {path} has no arguments of a run")
    arguments: Mapping[str, Any] = recalled(
        stated, str(content["identity"].get("ids_sha256")), path.parent
    )
    settings = {
        name: checked(name, value, f"config {path}: {name}")
        for name, value in arguments.items()
        if name in HINTS and value is not None
    }
    if settings.pop(
        "trust_remote_code", False
    ):  # a stranger's run.json must not run a stranger's code
        note(f"{path} was run with --trust-remote-code: give it again if you trust that code")
    if settings.get("preset"):
        dropped = [
            name for name in (*PART_OPTIONS, "protocol", "level") if settings.pop(name, None)
        ]
        note(f"{', '.join(dropped)} are those of --preset {settings['preset']}, less what you give")
    return settings
