"""The scenes of a finished run, set up again for further questions: `niah locate`, its events, `niah stream`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from niah.adapters.importing import code_sha256
from niah.cards import RANDOM, haystack_cards
from niah.errors import NiahError
from niah.records.axes import AXES
from niah.records.naming import length_name
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.haystacks import named_haystacks
from niah.sweep.models import models_of
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
    """The scenes, set up: their parts, and the values of their axes.

    Attributes:
        setup: models, clips and haystacks.
        snrs_db: needle over noise, in dB.
        positions: of the needle, 0 to 1.
        lengths_s: beyond the needle alone, in seconds, ascending.
        notes: sentences for the user on what of the run is left out.
    """

    setup: EvalSetup
    snrs_db: tuple[float, ...]
    positions: tuple[float, ...]
    lengths_s: tuple[float, ...]
    notes: tuple[str, ...] = ()


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
    arguments = recalled(arguments, str(run_json["identity"].get("ids_sha256")), wanted.run)
    if arguments.get("checkpoint") == RANDOM:
        raise NiahError("random weights have no accuracy: give a run of trained ones")
    snrs_db = wanted.snrs_db or tuple(arguments["snrs_db"])
    positions = wanted.positions or tuple(arguments["positions"])
    lengths_s = wanted.lengths_s or tuple(arguments["lengths_s"])
    last = RunOptions.of_scenes(arguments, out=wanted.run)  # the run's haystacks keep their names
    setup = EvalSetup(
        replace(
            last,
            models=_models(wanted.models, last, run_json) or last.models,
            haystacks=_haystacks(wanted.haystacks, last, run_json) or last.haystacks,
            device=wanted.device or last.device,
            snrs_db=snrs_db,
            positions=positions,
            lengths_s=lengths_s,
        ),
        first=wanted.limit,
        without={clip["id"] for clip in run_json.get("excluded_clips", [])},
    )
    _check_code(setup, run_json)
    _check_sounds(setup, last, run_json)
    beyond_s = tuple(s for s in sorted(set(lengths_s)) if s > BASE_LENGTH_S)
    if not beyond_s:
        raise NiahError("the needle alone has no place in time: give --lengths beyond 10")
    scenes = RunScenes(setup, snrs_db, positions, beyond_s)
    return replace(scenes, notes=(*setup.unplayable, *_earlier_notes(scenes, wanted)))


def _models(
    wanted: Sequence[str], last: RunOptions, run_json: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return models as the user typed them for the run, where they are named as its tables name them."""
    if not {*wanted} - {*last.models} & {*run_json.get("models", {})}:
        return tuple(wanted)
    typed = {model.name: model.spec for model in models_of(last)}
    return tuple(typed.get(name, name) for name in wanted)


def _haystacks(
    wanted: Sequence[str], last: RunOptions, run_json: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return haystacks as the user typed them for the run, where they are named as its tables name them.

    Raises:
        NiahError: a name of the tables whose recording only an earlier call knew.
    """
    named = {*wanted} - {*last.haystacks} & {*run_json.get("haystacks", {})}
    if not named:
        return tuple(wanted)
    typed = {haystack.name: spec for spec, haystack in named_haystacks(last)[0].items()}
    known = {*typed, *(card.name for card in haystack_cards())}
    for name in sorted(named - known):
        raise NiahError(
            f"haystack '{name}' of {last.out} is of an earlier `niah run` than the last: give --haystack its file, "
            "folder or card"
        )
    return tuple(typed.get(name, name) for name in wanted)


def _check_code(setup: EvalSetup, run_json: Mapping[str, Any]) -> None:
    """Check that the users' own code of the models is that of the run's cells: tables would mix both."""
    for model in setup.models:
        stored = run_json.get("models", {}).get(model.name, {}).get("adapter_code")
        if stored and stored != (model.source.code_sha256 or code_sha256(model.card)):
            raise NiahError(
                f"the code or the weights of model '{model.name}' are not those that scored its cells in "
                f"{setup.options.out}: `niah run` it in a new folder first"
            )


def _check_sounds(setup: EvalSetup, last: RunOptions, run_json: Mapping[str, Any]) -> None:
    """Check that recordings and clips are those of the run's cells.

    Of a part of the clips it is not known where an earlier version has made the run.

    Args:
        setup: of the scenes.
        last: options of the run's last call.
        run_json: of the run.
    """
    stored = run_json.get("haystacks") or {}
    for spec, haystack in setup.haystacks.items():
        if stored and spec in last.haystacks and haystack.name not in stored:
            raise NiahError(
                f"the sound of haystack {spec} is not that of its cells in {last.out}: `niah run` it first, or give "
                "--haystack"
            )
    _check_clips(setup, last.out, run_json)


def _check_clips(setup: EvalSetup, run: Path, run_json: Mapping[str, Any]) -> None:
    identity, now = run_json["identity"], setup.identity()
    if identity.get("labels") != now["labels"]:  # other classes of the same clips
        return
    first = "`niah run` them in a new folder first"
    if identity.get("ids_sha256") == now["ids_sha256"]:
        if identity.get("content_sha256", now["content_sha256"]) != now["content_sha256"]:
            raise NiahError(
                f"the sound or the labels of the clips of {run} have changed since: {first}"
            )
        if identity.get("groups_sha256", now["groups_sha256"]) != now["groups_sha256"]:
            raise NiahError(f"the recordings of the clips of {run} have changed since: {first}")
        return
    marks = run_json.get("needles", {}).get("marks")
    if isinstance(marks, str) and (others := setup.unmarked(marks)):
        raise NiahError(
            f"{len(others)} of the first {len(setup.clips)} clips are not in {run}, or their sound or labels have "
            f"changed since ({others[0]}{', ..' if len(others) > 1 else ''}): {first}"
        )


def _earlier_notes(scenes: RunScenes, wanted: WantedScenes) -> list[str]:
    """Return a sentence on models and scenes of the run's earlier calls, which its options no longer name."""
    cells = RunDirectory(wanted.run).cells()
    cells = cells[cells["length_s"] > BASE_LENGTH_S]
    models = [model.name for model in scenes.setup.models]
    haystacks = [each.name for each in scenes.setup.haystacks.values()]
    further = [
        f"{option} {', '.join(others)}"
        for option, column, ours, chosen in (
            ("--model", "model", models, wanted.models),
            ("--haystack", "haystack", haystacks, wanted.haystacks),
            ("--snr", "snr_db", scenes.snrs_db, wanted.snrs_db),
            ("--positions", "position", scenes.positions, wanted.positions),
            ("--lengths", "length_s", scenes.lengths_s, wanted.lengths_s),
        )
        if not chosen
        and (others := list(dict.fromkeys(_others(cells[column].dropna().tolist(), ours))))
    ]
    if not further:
        return []
    return [
        f"asked about are models and scenes of the last `niah run`; the run also has {'; '.join(further)}"
    ]


def _others(stored: Iterable[object], ours: Iterable[object]) -> list[str]:
    """Return the values that are not asked about, as options are typed; numbers in their order."""
    known = {_typed(value) for value in ours}
    return [
        text for value in sorted(set(stored), key=_order) if (text := _typed(value)) not in known
    ]


def _typed(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _order(value: object) -> tuple[float, str]:
    return (value, "") if isinstance(value, float) else (0.0, str(value))


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
