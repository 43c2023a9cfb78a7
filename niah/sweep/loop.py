"""The sweep: every planned cell that is not there yet, one after another, each written whole.

    needles -> scenes -> adapter.logits -> sigmoid -> scores/<cell>.parquet -> a row

Metrics are not computed here: `niah.records.summarise` computes them from the stored scores.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import Progress, TaskID

from niah.adapters.loading import choose_device, load_model
from niah.adapters.protocol import Adapter
from niah.adapters.scan_choice import use_scan
from niah.adapters.wrappers.pooled import position_logits_of
from niah.cards import ModelCard
from niah.frontends import Frontend
from niah.haystacks import Haystack, load_haystack
from niah.needles import load_needles
from niah.needles.feature_cache import FeatureCache
from niah.needles.prepared import PreparedNeedles, prepare_alike
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from niah.scan.availability import check_available, other_than_auto
from niah.sweep.cell_scenes import Scenes
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell, left_out, model_cards_of, plan, spec_of
from niah.sweep.provenance import git, hardware, versions
from niah.system import folders
from niah.system.download import cache_folder
from niah.system.memory import keep_freed_memory
from niah.system.progress import progress_bar
from niah.version import __version__
from niah.vocabularies import vocabulary

if TYPE_CHECKING:
    import pandas as pd

Note = Callable[[str], None]


def sweep(options: RunOptions, note: Note = lambda _: None) -> "pd.DataFrame":
    """Run, resume or amend; `note` is told what the user should read (clips left out, failed cells)."""
    keep_freed_memory()
    cards = model_cards_of(options)
    labels = vocabulary(next(iter(cards.values())).labels_source)
    needles = load_needles(
        options.needles,
        vocabulary=labels,
        limit=options.clips_limit,
        seed=options.seed,
        broader=options.broader,
        audio_root=options.audio_root,
    )
    haystacks = {
        spec: load_haystack(spec, babble=options.babble, seed=options.seed)
        for spec in options.haystacks
    }
    device = choose_device(options.device)
    check_available(options.kernel, device)
    scenes = _refuse_early(options, cards, haystacks, device)
    prepared = prepare_alike(
        needles,
        {fingerprint: each.frontend for fingerprint, each in scenes.items()},
        FeatureCache(cache_folder() / "features"),
        keep_waveform="mix" in options.levels,
        strict=options.strict,
    )
    clips = next(iter(prepared.values())).needles
    notes = [*(told for each in prepared.values() for told in each.notes), *left_out(options)]
    for told in dict.fromkeys(notes):
        note(told)
    identity = {
        "protocol": options.protocol,
        "level": options.own_level,
        "needles": needles.name,
        "ids_sha256": clips.ids_sha256,
        "seed": options.seed,
        "labels": labels.name,
    }
    if kernel := other_than_auto(options.kernel, device):
        identity["kernel"] = kernel
    with RunDirectory.create_or_open(options.out, identity) as directory:
        record = _run_json(options, list(prepared.values()), device, notes)
        directory.write_run_json({**record, **_added(directory, options.preset, haystacks)})
        folders.remember(record["arguments"], clips.ids_sha256)
        try:
            _Sweep(options, cards, scenes, prepared, directory, device, note).all_cells()
        finally:
            summarise(directory)
        return directory.cells()


def _refuse_early(
    options: RunOptions,
    cards: dict[str, ModelCard],
    haystacks: dict[str, Haystack],
    device: torch.device,
) -> dict[str, Scenes]:
    """Load every model once and make every scene builder, before anything is measured or written.

    A checkpoint that does not fit the third model must not be found after hours with the first two. Returns the scenes
    of each front end, by its fingerprint.
    """
    frontends: dict[str, Frontend] = {}
    for name in cards:
        adapter = _load(options, name, device)
        if options.poolings:
            position_logits_of(adapter)
        frontend = adapter.frontend
        frontends.setdefault(frontend.fingerprint, frontend)
    scenes = {key: Scenes(options, haystacks, each) for key, each in frontends.items()}
    for each in scenes.values():
        each.all_builders()
    return scenes


def _load(options: RunOptions, name: str, device: torch.device) -> Adapter:
    adapter = load_model(
        spec_of(options, name),
        options.checkpoint,
        device=str(device),
        dtype=options.dtype,
        seed=options.seed,
    )
    use_scan(adapter, options.kernel)
    return adapter


def _run_json(
    options: RunOptions,
    prepared: list[PreparedNeedles],
    device: torch.device,
    notes: list[str],
) -> dict[str, Any]:
    arguments = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(options).items()
    }
    needles = prepared[0].needles
    excluded = {clip.id: clip for each in prepared for clip in each.excluded}
    return {
        "niah_version": __version__,
        "arguments": arguments,
        "needles": {"name": needles.name, "licence": needles.licence, "clips": len(needles)},
        "hardware": hardware(device),
        "versions": versions(),
        "git": git(),
        "excluded_clips": [asdict(clip) for clip in excluded.values()],
        "notes": list(dict.fromkeys(notes)),
    }


def _added(
    directory: RunDirectory, preset: str | None, haystacks: dict[str, Haystack]
) -> dict[str, Any]:
    """What every part of a run adds to run.json: its preset, and what is truly in its haystacks (for the report)."""
    held = directory.run_json()
    contained = {each.name: {"contains": list(each.contains)} for each in haystacks.values()}
    presets = dict.fromkeys([*held.get("presets", []), *filter(None, [preset])])
    return {"presets": [*presets], "haystacks": {**held.get("haystacks", {}), **contained}}


@dataclass
class _Sweep:
    """The state of one call of `sweep`."""

    options: RunOptions
    cards: dict[str, ModelCard]
    scenes: dict[str, Scenes]  # by the fingerprint of a front end, as `prepared`
    prepared: dict[str, PreparedNeedles]  # the same clips in each
    directory: RunDirectory
    device: torch.device
    note: Note

    def all_cells(self) -> None:
        cells = plan(self.options, list(self.cards))
        done = self.directory.completed()
        with progress_bar() as bar:
            task = bar.add_task("sweep", total=sum(_work(cell) for cell in cells), detail="")
            for name in self.cards:
                model = self._load(name)
                for group in _together(cell for cell in cells if cell.model == name):
                    todo = [cell for cell in group if model.key(cell) not in done]
                    bar.update(task, detail=str(group[0]))
                    bar.advance(task, sum(map(_work, group)) - sum(map(_work, todo)))
                    if not todo:
                        continue
                    per_clip = sum(map(_work, todo)) / len(model.prepared)
                    rows = model.run(todo, self.directory, partial(_advance, bar, task, per_clip))
                    self.directory.write_rows((row, None) for row in rows)
                    for cell, row in zip(todo, rows, strict=True):
                        if row["status"] != "ok":
                            self.note(f"{cell}: {row['status']}: {row['error']}")

    def _load(self, name: str) -> ModelEvaluator:
        adapter = _load(self.options, name, self.device)
        frontend = adapter.frontend.fingerprint
        model = ModelEvaluator(
            self.options,
            self.cards[name],
            adapter,
            self.scenes[frontend],
            self.prepared[frontend],
            self.device,
        )
        self.directory.write_run_json({"models": {name: model.described()}})
        return model


def _together(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Neighbours that differ in pooling alone: one pass scores them all."""
    for _, group in groupby(cells, key=lambda cell: replace(cell, pooling=None)):
        yield list(group)


def _advance(bar: Progress, task: TaskID, per_clip: float, clips: int) -> None:
    bar.advance(task, clips * per_clip)


def _work(cell: Cell) -> float:
    """What the progress bar counts: seconds of audio, so that the time left is near the truth."""
    return cell.length_s
