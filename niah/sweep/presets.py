"""Presets: the runs behind the paper's figures, as data (`results/published/presets/*.toml`).

A preset is one or more parts, each a full grid of models x haystacks x SNRs x positions x lengths x poolings; all go
into one run directory. Options beside `--preset` override the preset's, in every part. The paper's statements on the
figure are carried along for the report, and so are our assumptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from niah.cards import find_model, known_models, published_file
from niah.errors import NiahError, nearest
from niah.placement import current_protocol
from niah.sweep.options import RunOptions
from niah.toml_tables import build, read_toml

PAPERS_PROTOCOL = "dass-v1"
PART_OPTIONS = ("models", "haystacks", "snrs_db", "positions", "lengths_s", "poolings")


@dataclass(frozen=True)
class Part:
    """Fields of `niah.sweep.options.RunOptions`; None is their default."""

    models: tuple[str, ...]
    haystacks: tuple[str, ...]
    positions: tuple[float, ...]
    lengths_s: tuple[float, ...]
    snrs_db: tuple[float, ...] | None = None
    poolings: tuple[str, ...] | None = None

    def options(self) -> dict[str, Any]:
        """Return the fields of `RunOptions` that this part sets."""
        values = {name: getattr(self, name) for name in PART_OPTIONS}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Preset:
    """One figure. `states`: the paper's statements on it; `assumed`: our choices where the paper is silent."""

    name: str
    title: str
    source: str
    parts: tuple[Part, ...]
    states: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    path: Path = field(default=Path(), compare=False)


def presets() -> list[Preset]:
    """Read the presets of the package, sorted by name."""
    return [
        read_preset(path) for path in sorted((published_file().parent / "presets").glob("*.toml"))
    ]


def find_preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        NiahError: an unknown name; says the nearest.
    """
    known = {preset.name: preset for preset in presets()}
    if name not in known:
        raise NiahError(f"--preset '{name}': unknown.{nearest(name, known)}")
    return known[name]


def read_preset(path: Path) -> Preset:
    """Read one preset.

    Raises:
        NiahError: the file is no preset: not TOML, unknown keys, no parts, values of another type.
    """
    table, where = read_toml(path, "preset"), f"preset {path}"
    parts = table.pop("parts", [])
    if "path" in table:
        raise NiahError(f"{where}: unknown key 'path'")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise NiahError(f"{where}: [[parts]] must be tables")
    if not parts:
        raise NiahError(f"{where} has no [[parts]]: give at least one")
    built = tuple(build(Part, part, where) for part in parts)
    return build(Preset, {**table, "parts": built, "path": path}, where)


def options_of(settings: Mapping[str, Any]) -> list[RunOptions]:
    """Make `RunOptions` from a mapping of its fields: one, or one for each part of the preset that it names.

    Raises:
        NiahError: as `RunOptions` does, or for an unknown preset, or when none of its models has weights on its card.
    """
    if settings.get("protocol") is not None:
        settings = {**settings, "protocol": current_protocol(settings["protocol"])}
    if settings.get("preset") is None:
        return [RunOptions(**settings)]
    preset, absent = find_preset(str(settings["preset"])), without_weights(settings)
    runs = []
    for part in preset.parts:
        models = tuple(model for model in part.models if model not in absent)
        own = {"models": models, "protocol": PAPERS_PROTOCOL, "out": Path("runs") / preset.name}
        options = {**part.options(), **own, **settings}
        if options["models"]:
            runs.append(RunOptions(**options))
    if not runs:
        raise NiahError(
            f"--preset {preset.name}: {', '.join(absent)} have no weights to be had; give --model, --checkpoint"
        )
    return runs


def without_weights(settings: Mapping[str, Any]) -> list[str]:
    """Return the models of the preset in `settings` that are left out because their cards have no weights."""
    if (
        settings.get("preset") is None
        or "models" in settings
        or settings.get("checkpoint") is not None
    ):
        return []
    models = (m for part in find_preset(str(settings["preset"])).parts for m in part.models)
    cards = known_models()
    return [model for model in dict.fromkeys(models) if not find_model(model, cards)[0].weights]


def notes_on_absent(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for the user on each model that `without_weights` names."""
    return [
        f"{absent} is left out: its card has no weights; give --model {absent} --checkpoint FILE"
        for absent in without_weights(settings)
    ]
