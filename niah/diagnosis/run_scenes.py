"""The scenes of a finished run, set up again for further questions: `niah locate`, its events, `niah stream`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.adapters.importing import code_sha256
from niah.cards import RANDOM
from niah.errors import NiahError
from niah.records.axes import AXES
from niah.records.naming import length_name
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.options import RunOptions, check_limit
from niah.sweep.setup import EvalSetup
from niah.system.folders import recalled

DEFAULT_CLIPS = 20  # few: such questions take many forward passes a scene


@dataclass(frozen=True)
class WantedScenes:
    """Which scenes of a run are wanted; () and None are the run's values.

    Attributes:
        run: its directory.
        models: names or cards.
        limit: most clips, the first of the run.
        haystacks: names.
        snrs_db: needle over noise, in dB.
        positions: of the needle, 0 to 1.
        lengths_s: of the scenes, in seconds.
        device: that computes.
    """

    run: Path
    models: tuple[str, ...] = ()
    limit: int = DEFAULT_CLIPS
    haystacks: tuple[str, ...] = ()
    snrs_db: tuple[float, ...] = ()
    positions: tuple[float, ...] = ()
    lengths_s: tuple[float, ...] = ()
    device: str | None = None

    def __post_init__(self) -> None:
        check_limit(self.limit)


@dataclass(frozen=True)
class RunScenes:
    """The scenes, set up: their parts, and the values of their axes."""

    setup: EvalSetup
    snrs_db: tuple[float, ...]
    positions: tuple[float, ...]
    lengths_s: tuple[float, ...]  # beyond the needle alone, ascending


def open_scenes(wanted: WantedScenes) -> RunScenes:
    """Set up the scenes of a run again.

    Args:
        wanted: which.

    Raises:
        NiahError: no run there, random weights, code that was edited since, or no scene beyond the needle alone.
    """
    run_json = RunDirectory(wanted.run).run_json()
    arguments = run_json.get("arguments")
    if not arguments or "measures" in run_json["identity"]:
        raise NiahError(
            f"{wanted.run} has no run.json of `niah run`, whose scenes are asked about: run `niah run` first"
        )
    arguments = recalled(arguments, str(run_json["identity"].get("ids_sha256")))
    if arguments.get("checkpoint") == RANDOM:
        raise NiahError("random weights have no accuracy: give a run of trained ones")
    of_run = run_json.get("needles", {}).get("clips") or wanted.limit
    clips = wanted.limit if wanted.limit < of_run else arguments.get("limit")  # all of the run's
    axes = {
        name: tuple(getattr(wanted, name) or arguments[name])
        for name in ("snrs_db", "positions", "lengths_s")
    }
    setup = EvalSetup(
        RunOptions.of_scenes(
            arguments,
            models=wanted.models or None,
            haystacks=wanted.haystacks or None,
            device=wanted.device,
            limit=clips,
            out=wanted.run,  # the run's haystacks keep their names
            **axes,
        )
    )
    _check_code(setup, run_json)
    lengths_s = tuple(s for s in sorted(set(axes["lengths_s"])) if s > BASE_LENGTH_S)
    if not lengths_s:
        raise NiahError("the needle alone has no place in time: give --lengths beyond 10")
    return RunScenes(setup, axes["snrs_db"], axes["positions"], lengths_s)


def _check_code(setup: EvalSetup, run_json: Mapping[str, Any]) -> None:
    """Check that the users' own code of the models is that of the run's cells: tables would mix both."""
    for model in setup.models:
        stored = run_json.get("models", {}).get(model.name, {}).get("adapter_code")
        if stored and stored != (model.source.code_sha256 or code_sha256(model.card)):
            raise NiahError(
                f"the code or the weights of model '{model.name}' are not those that scored its cells in "
                f"{setup.options.out}: `niah run` it in a new folder first"
            )


def too_short_note(option: str, lengths_s: Mapping[int, Collection[float]]) -> str:
    """Return a sentence on scenes that are left out as too short; "" without any.

    Args:
        option: that asks for several clips in a scene.
        lengths_s: the lengths that are left out, by the option's value.
    """
    parts = [
        f"{option} {count}: scenes of {', '.join(map(length_name, sorted(lengths)))}"
        for count, lengths in sorted(lengths_s.items())
        if lengths
    ]
    return f"left out as too short: {'; '.join(parts)}" if parts else ""


def scene_notes(run: Path) -> list[str]:
    """Return sentences on what of a run is not asked about: weights of earlier calls, and all but its plain scenes.

    Args:
        run: its directory.
    """
    return [*_weights_notes(run), *_axes_notes(RunDirectory(run).run_json().get("arguments") or {})]


def _weights_notes(run: Path) -> list[str]:
    directory = RunDirectory(run)
    models = directory.run_json().get("models", {})
    cells = directory.cells()
    notes = []
    for name, own in cells.groupby("model")["checkpoint_sha256"]:
        weights = sorted({str(sha)[:8] for sha in own.dropna()})
        last = str(models.get(name, {}).get("checkpoint_sha256") or "")[:8]
        if len(weights) > 1:
            notes.append(
                f"{run} has cells of several weights of {name} ({', '.join(weights)}): those of the last `niah run` "
                f"are loaded, {last}"
            )
    return notes


def _axes_notes(arguments: Mapping[str, Any]) -> list[str]:
    further = [
        axis.option
        for name, axis in AXES.items()
        if name not in ("control", "level") and set(arguments.get(axis.values) or ()) - {axis.plain}
    ]
    if "," in str(arguments.get("level")):
        further.append("further --level")
    if arguments.get("window_s"):
        further.append("--window")
    if not further:
        return []
    return [f"these are the run's plain scenes, heard whole, without its {', '.join(further)}"]
