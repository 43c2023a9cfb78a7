"""`niah locate`: where each model of a run heard each needle, in the run's scenes; resumed cell by cell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from niah.adapters.wrappers.sliding_window import over_windows
from niah.diagnosis.localisation.evidence import (
    HOP_S,
    METHODS,
    TOLERANCE_S,
    WINDOW_S,
    Curve,
    Method,
    find,
    has_positions,
    occlusion_curve,
    position_curve,
)
from niah.diagnosis.localisation.rows import is_stored, read, write_cell
from niah.diagnosis.localisation.table import write
from niah.diagnosis.run_scenes import WantedScenes, open_scenes
from niah.errors import NiahError
from niah.needles.features import NeedleFeatures
from niah.placement import FRAMES_PER_SECOND, start_frame, total_frames
from niah.records.axes import OWN
from niah.sweep.loaded_model import LoadedModel
from niah.sweep.options import check_batch_size, check_hop, check_window
from niah.sweep.setup import EvalSetup
from niah.system.progress import progress_bar

OCCLUSION_GRID = 2  # version of the windows' grid, in a result's key


@dataclass(frozen=True)
class LocateOptions(WantedScenes):
    """The options of `niah locate`."""

    method: str = "auto"
    window_s: float = WINDOW_S
    hop_s: float = HOP_S
    batch_size: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in ("auto", "both", *METHODS):
            raise NiahError(f"--method '{self.method}': must be auto, both, {' or '.join(METHODS)}")
        check_batch_size(self.batch_size)
        check_window(self.window_s)
        check_hop(self.hop_s, self.window_s)


@dataclass(frozen=True)
class _Cell:
    model: LoadedModel
    method: Method
    haystack: str
    snr_db: float | None
    length_s: float
    position: float


def locate(options: LocateOptions, note: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Find every needle's peak in the requested scenes; write the tables and the figures.

    Args:
        options: which scenes, and how.
        note: gets sentences for the user.

    Returns:
        The files.

    Raises:
        NiahError: no run there, a model without the method's logits, or a wrong option.
    """
    if options.method != "positions" and options.hop_s > 2 * TOLERANCE_S:
        raise NiahError(
            f"--hop must be at most {2 * TOLERANCE_S:g} s, got {options.hop_s:g}: a peak over {TOLERANCE_S:g} s "
            "from the needle's middle is no hit, and places are as wide as a hop"
        )
    scenes = open_scenes(options)
    setup = scenes.setup
    for text in scenes.notes:
        note(text)
    plan = [
        (haystack, snr_db, length_s, position)
        for length_s in scenes.lengths_s
        for haystack, made in setup.haystacks.items()
        if made.fill != OWN  # its crops hold many events: `--events`
        for snr_db in (scenes.snrs_db if made.needs_snr else (None,))
        for position in scenes.positions
    ]
    if not plan:
        raise NiahError("crops of the recordings themselves hold many events: add --events")
    work = sum(length_s for _, _, length_s, _ in plan) * len(setup.clips)
    with progress_bar() as bar:
        task = bar.add_task("locate", total=work * len(setup.models), detail="")
        for model in setup.loaded():
            methods = _methods(options.method, model)
            for scene in (each for each in plan if model.scenes.plays(each[0])):
                for method in methods:
                    cell = _Cell(model, method, *scene)
                    bar.update(task, detail=f"{model.name}, {method}, {scene[2]:g} s")
                    share = scene[2] / len(methods)

                    def advance(clips: int, share: float = share) -> None:
                        bar.advance(task, share * clips)

                    _do(cell, setup, options, advance)
    return [*write(options.run), *draw(options.run)]


def draw(run: Path) -> list[Path]:
    """Draw the figures of the stored cells."""
    from niah.diagnosis.localisation.figure import draw as draw_figures

    return [figure.file for figure in draw_figures(read(run), run / "figures")]


def _methods(method: str, model: LoadedModel) -> Sequence[Method]:
    exact = has_positions(model.adapter)
    if method == "auto":
        return ("positions",) if exact else ("occlusion",)
    if method == "positions" and not exact:
        raise NiahError(f"model '{model.name}' has no logits by position: use --method occlusion")
    if method == "both":
        return METHODS if exact else ("occlusion",)
    return [each for each in METHODS if each == method]


def _do(
    cell: _Cell, setup: EvalSetup, options: LocateOptions, advance: Callable[[int], None]
) -> None:
    """Measure and store one cell, unless it is stored."""
    windows = (options.window_s, options.hop_s) if cell.method == "occlusion" else (None, None)
    key = cell.model.key(
        cell.haystack,
        method=cell.method,
        snr_db=cell.snr_db,
        length_s=cell.length_s,
        position=cell.position,
        window_s=windows[0],
        hop_s=windows[1],
        tolerance_s=TOLERANCE_S,
        **({"grid": OCCLUSION_GRID} if cell.method == "occlusion" else {}),
    )
    if is_stored(options.run, key):
        advance(len(cell.model.prepared))
        return
    pairs: list[dict[str, Any]] = []
    width_s = 0.0
    for clip, labels, curve, target_s in _curves(cell, options):
        width_s = curve.width_s
        for label in labels:
            values = curve.values[:, cell.model.spec.labels.index(label)]
            peak = find(curve.centres_s, values, target_s)
            pairs.append({"clip": clip, "label": label, **vars(peak)})
        advance(1)
    about = {
        "model": cell.model.name,
        "checkpoint_sha256": cell.model.weights_sha256,
        "method": cell.method,
        "haystack": setup.haystacks[cell.haystack].name,
        "snr_db": cell.snr_db,
        "length_s": cell.length_s,
        "position": cell.position,
        "window_s": windows[0],
        "hop_s": windows[1],
        "place_s": width_s,
        "tolerance_s": TOLERANCE_S,
    }
    needles = cell.model.prepared.needles.needles
    recordings = {each.id: each.group for each in needles if each.group != each.id}
    write_cell(options.run, key, about, pairs, recordings)


def _curves(
    cell: _Cell, options: LocateOptions
) -> Iterator[tuple[str, tuple[str, ...], Curve, float]]:
    """Yield (clip id, its labels, curve, centre of its sound in seconds) for each clip."""
    builder = cell.model.scenes.builder(cell.haystack)
    frontend = cell.model.adapter.frontend
    build = partial(
        builder.scene, length_s=cell.length_s, position=cell.position, snr_db=cell.snr_db
    )
    for index, needle in enumerate(cell.model.prepared.needles.needles):
        features = cell.model.prepared.features(index)
        scene = build(features, needle.id)
        if cell.method == "positions":
            curve = position_curve(cell.model.adapter, scene)
        else:
            filling = build(None, needle.id, like=features)
            curve = occlusion_curve(
                over_windows(cell.model.adapter, options.batch_size, reuse=True),
                scene,
                filling,
                window_s=options.window_s,
                hop_s=options.hop_s,
                batch_size=options.batch_size,
            )
        total = total_frames(cell.length_s, frontend.needle_frames)
        start = start_frame(total, frontend.needle_frames, cell.position, builder.protocol)
        yield needle.id, needle.labels, curve, sound_centre_s(features, start)


def sound_centre_s(needle: NeedleFeatures, start: int) -> float:
    """Return the centre of a clip's sound, its frames before padding, in seconds of the scene.

    Args:
        needle: features of the clip.
        start: its first frame in the scene.
    """
    sounding = min(needle.frames, len(needle.features))
    return (start + sounding / 2) / FRAMES_PER_SECOND
