"""`niah locate --events`: sound events of each model in a run's scenes, scored in time; resumed cell by cell.

Thresholds of onset F and of counts are those with the best onset F of each class in the shortest scenes of the same
model, haystack, SNR, position and number of needles, so that scores which drift with length show; they are fitted on
other recordings than they are used on (`niah.diagnosis.events.evaluation`). PSDS1 needs none.
True events are the clips' sounds (as long as the clip, before padding), or all annotated ones where the haystack is the
recordings' own. Only classes with an event in some scene count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from niah.adapters.wrappers.sliding_window import over_windows
from niah.diagnosis.events.evaluation import event_scores, fitted_thresholds, fold_of_scenes
from niah.diagnosis.events.rows import (
    EventScores,
    is_stored,
    read_thresholds,
    write,
    write_cell,
)
from niah.diagnosis.events.scores import position_scores, window_scores
from niah.diagnosis.localisation.evidence import has_positions
from niah.diagnosis.run_scenes import RunScenes, too_short_note
from niah.errors import NiahError
from niah.metrics.sound_events import ScoredScene
from niah.needles.readers.events import Annotated
from niah.records.axes import OWN
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.loaded_model import LoadedModel
from niah.sweep.options import check_hop, check_window
from niah.sweep.plan import Cell
from niah.sweep.setup import EvalSetup
from niah.system.progress import progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

METHODS = ("positions", "windows")
COLLAR_S = 1.0
LONGEST_COLLAR_S = 1000.0
KEY_VERSION = 3
_LONGEST_PIECE_S = BASE_LENGTH_S + 0.24  # 1024 frames


@dataclass(frozen=True)
class EventOptions:
    """Options of `niah locate --events` beside those of the scenes.

    Attributes:
        method: "positions", "windows", or "auto": positions where the model has them.
        window_s: seconds of a window.
        hop_s: seconds from one window to the next.
        collar_s: largest distance of two onsets that are the same.
        needle_counts: copies of the clip in a scene.
        batch_size: windows in one forward pass.
    """

    method: str = "auto"
    window_s: float = 10.0
    hop_s: float = 5.0
    collar_s: float = COLLAR_S
    needle_counts: tuple[int, ...] = (1,)
    batch_size: int = 1

    def __post_init__(self) -> None:
        if self.method not in ("auto", *METHODS):
            raise NiahError(f"--method '{self.method}': events are by auto, {' or '.join(METHODS)}")
        check_window(self.window_s)
        check_hop(self.hop_s, self.window_s)
        if not 0.0 < self.collar_s <= LONGEST_COLLAR_S:
            raise NiahError(
                f"--collar must be above 0, to {LONGEST_COLLAR_S:g} s, got {self.collar_s:g}"
            )
        if not self.needle_counts or min(self.needle_counts) < 1:
            raise NiahError("--needle-count must be 1 or more")


def locate_events(
    scenes: RunScenes, options: EventOptions, note: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Score the events of every model in every scene of a run, and write the table.

    Args:
        scenes: from `niah.diagnosis.run_scenes.open_scenes`.
        options: of the events.
        note: gets sentences for the user.

    Returns:
        The files.

    Raises:
        NiahError: a model without scores by position where these are wanted, or no scene that holds so many needles.
    """
    setup, run = scenes.setup, scenes.setup.options.out
    counts = dict.fromkeys(options.needle_counts)
    short = {n: set(scenes.lengths_s) - set(_lengths_with(n, scenes)) for n in counts}
    for text in (*scenes.notes, too_short_note("--needle-count", short)):
        if text:
            note(text)
    with progress_bar() as bar:
        for model in setup.loaded():
            cells = [
                cell
                for cell in _cells(scenes, model.name, options.needle_counts)
                if model.scenes.plays(cell.haystack)
            ]
            total = sum(cell.length_s for cell in cells) * len(model.prepared)
            task = bar.add_task("events", total=total, detail=model.name)
            first: dict[tuple[object, ...], Cell] = {}
            for cell in cells:
                place = (cell.haystack, cell.snr_db, cell.position, cell.needle_count)
                shortest = first.setdefault(place, cell)
                key = _key(model, cell, shortest, options)
                step = partial(_advance, bar, task, cell.length_s)
                if is_stored(run, key):
                    step(len(model.prepared))
                else:
                    _score(model, cell, shortest, setup, options, step)
    return write(run)


def _advance(bar: "Progress", task: "TaskID", length_s: float, scenes: int) -> None:
    bar.advance(task, length_s * scenes)


def _lengths_with(count: int, scenes: RunScenes) -> list[float]:
    """Return the lengths in seconds of the scenes that hold `count` needles."""
    return [length_s for length_s in scenes.lengths_s if length_s > count * _LONGEST_PIECE_S]


def _cells(scenes: RunScenes, model: str, needle_counts: Sequence[int]) -> list[Cell]:
    """List the scenes, the shortest of a kind first; those that do not hold the needles are left out."""
    haystacks = scenes.setup.haystacks
    if any(count > 1 for count in needle_counts) and all(h.fill == OWN for h in haystacks.values()):
        raise NiahError(
            "crops of the recordings themselves hold their own events: leave out --needle-count"
        )
    cells = []
    for haystack, each in haystacks.items():
        for snr_db in scenes.snrs_db if each.needs_snr else (None,):
            for position in dict.fromkeys(scenes.positions):
                for count in dict.fromkeys((1,) if each.fill == OWN else needle_counts):
                    for length_s in _lengths_with(count, scenes):
                        cell = Cell(model, haystack, length_s, snr_db, position)
                        copies = None if count == 1 else count
                        cells.append(replace(cell, needle_count=copies))
    if not cells:
        raise NiahError("no scene is long enough for so many needles: give longer --lengths")
    return cells


def _key(model: LoadedModel, cell: Cell, shortest: Cell, options: EventOptions) -> str:
    """Return the key of a cell at the thresholds of the shortest one of its kind that was asked for with it."""
    method = _method(model, options)
    windows = (options.window_s, options.hop_s) if method == "windows" else (None, None)
    own = (
        model.scenes.own(model.prepared.needles).fingerprint if model.scenes.is_own(cell) else None
    )
    return model.key(
        cell.haystack,
        events=KEY_VERSION,
        method=method,
        snr_db=cell.snr_db,
        length_s=cell.length_s,
        position=cell.position,
        needle_count=cell.needle_count,
        window_s=windows[0],
        hop_s=windows[1],
        collar_s=options.collar_s,
        own_recordings=own,
        thresholds_s=shortest.length_s,
    )


def _method(model: LoadedModel, options: EventOptions) -> str:
    exact = has_positions(model.adapter)
    if options.method == "auto":
        return "positions" if exact else "windows"
    if options.method == "positions" and not exact:
        raise NiahError(f"model '{model.name}' has no logits by position: use --method windows")
    return options.method


def _score(
    model: LoadedModel,
    cell: Cell,
    shortest: Cell,
    setup: EvalSetup,
    options: EventOptions,
    advance: Callable[[int], None],
) -> None:
    scenes, labels = _scored_scenes(model, cell, options, advance)
    ids = list(model.labels.ids)
    groups = [needle.group for needle in model.prepared.needles.needles]
    folds = fold_of_scenes(groups)
    fitted = fitted_thresholds(scenes, folds, options.collar_s)
    used = fitted
    if cell != shortest:
        reference = _key(model, shortest, shortest, options)
        known = read_thresholds(setup.options.out, reference)
        used = np.array([[own.get(id_, np.nan) for id_ in ids] for own in known])
    is_positions = _method(model, options) == "positions"
    row = event_scores(
        scenes,
        [[ids.index(label) for label in own] for own in labels],
        used[folds],
        options.collar_s,
        groups=groups,
    )
    about: dict[str, Any] = {
        "model": model.name,
        "checkpoint_sha256": model.weights_sha256,
        "method": _method(model, options),
        "haystack": setup.haystacks[cell.haystack].name,
        "snr_db": cell.snr_db,
        "length_s": cell.length_s,
        "position": cell.position,
        "needles": 0 if model.scenes.is_own(cell) else cell.needle_count or 1,
        "window_s": None if is_positions else options.window_s,
        "hop_s": None if is_positions else options.hop_s,
        "place_s": float(np.median(np.diff(scenes[0].edges_s))),
        "collar_s": options.collar_s,
        "thresholds_s": shortest.length_s,
    }
    stored_thresholds = [
        {id_: t for id_, t in zip(ids, own, strict=True) if t == t} for own in fitted.tolist()
    ]
    key = _key(model, cell, shortest, options)
    write_cell(setup.options.out, key, EventScores(**about, **row), stored_thresholds)


def _scored_scenes(
    model: LoadedModel, cell: Cell, options: EventOptions, advance: Callable[[int], None]
) -> tuple[list[ScoredScene], list[tuple[str, ...]]]:
    """Return the scored scenes of a cell's clips, and the clips' own labels."""
    ids = list(model.labels.ids)
    by_position = _method(model, options) == "positions"
    adapter = model.adapter
    if not by_position:
        adapter = over_windows(adapter, options.batch_size, reuse=True)
    scored = []
    for index, scene in enumerate(model.scenes.of_cell(cell, model.prepared)):
        with torch.inference_mode():
            if by_position:
                edges, scores = position_scores(adapter, scene.whole())
            else:
                window, hop, size = options.window_s, options.hop_s, options.batch_size
                edges, scores = window_scores(adapter, scene.whole(), window, hop, size)
        true = _by_class(model.scenes.events(cell, model.prepared, index), ids)
        scored.append(ScoredScene(edges, model.counted(scores), true))
        advance(1)
    return scored, [needle.labels for needle in model.prepared.needles.needles]


def _by_class(
    events: Sequence[Annotated], ids: Sequence[str]
) -> tuple[list[tuple[float, float]], ...]:
    return tuple([(e.onset_s, e.offset_s) for e in events if id_ in e.labels] for id_ in ids)
