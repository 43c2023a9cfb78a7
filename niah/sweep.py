"""The sweep: every planned cell that is not there yet, one after another, each written whole.

    needles -> scenes -> adapter.logits -> sigmoid -> scores/<cell>.parquet -> a row

Metrics are not computed here: `niah.summary` computes them from the stored scores.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import Progress, TaskID

import niah
from niah.adapters import Adapter, choose_device, load_model
from niah.adapters.window import SlidingWindow
from niah.cards import ModelCard
from niah.cells import CELL_COLUMNS, Row, Value
from niah.download import cache_folder
from niah.errors import NiahError
from niah.feature_cache import FeatureCache
from niah.features import KaldiFrontend
from niah.haystacks import load_haystack
from niah.measure import measure, probe_batch_size
from niah.memory import free_cached, is_out_of_memory, keep_freed_memory
from niah.needle_features import PreparedNeedles, prepare
from niah.needles import load_needles
from niah.placement import total_frames
from niah.plan import Cell, RunOptions, model_cards_of, plan, spec_of
from niah.progress import progress_bar
from niah.provenance import git, hardware, versions
from niah.records import RunDirectory, cell_key, summarise
from niah.run_scenes import Scenes
from niah.vocabularies import vocabulary

if TYPE_CHECKING:
    import pandas as pd

Note = Callable[[str], None]
Advance = Callable[[int], None]


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
    scenes = Scenes(options, haystacks)
    _refuse_early(options, cards, scenes, device)
    prepared = prepare(
        needles,
        scenes.any_builder(),
        FeatureCache(cache_folder() / "features"),
        strict=options.strict,
    )
    for told in prepared.notes:
        note(told)
    identity = {
        "protocol": options.protocol,
        "level": options.level,
        "needles": needles.name,
        "ids_sha256": prepared.needles.ids_sha256,
        "seed": options.seed,
        "labels": labels.name,
    }
    with RunDirectory.create_or_open(options.out, identity) as directory:
        directory.write_run_json(_run_json(options, prepared, device))
        try:
            _Sweep(options, cards, scenes, prepared, directory, device, note).all_cells()
        finally:
            summarise(directory)
        return directory.cells()


def _refuse_early(
    options: RunOptions, cards: dict[str, ModelCard], scenes: Scenes, device: torch.device
) -> None:
    """Make every scene builder and load every model once, before anything is measured or written.

    A checkpoint that does not fit the third model must not be found after hours with the first two.
    """
    for haystack in options.haystacks:
        scenes.builder(haystack)
    for name in cards:
        _load(options, name, scenes.frontend, device)


def _load(options: RunOptions, name: str, frontend: KaldiFrontend, device: torch.device) -> Adapter:
    adapter = load_model(
        spec_of(options, name),
        options.checkpoint,
        device=str(device),
        dtype=options.dtype,
        seed=options.seed,
    )
    if adapter.frontend.fingerprint != frontend.fingerprint:
        raise NiahError(f"model '{name}' has another front end than the scenes are built for")
    return adapter


def _run_json(
    options: RunOptions, prepared: PreparedNeedles, device: torch.device
) -> dict[str, Any]:
    arguments = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(options).items()
    }
    needles = prepared.needles
    return {
        "niah_version": niah.__version__,
        "arguments": arguments,
        "needles": {"name": needles.name, "licence": needles.licence, "clips": len(prepared)},
        "hardware": hardware(device),
        "versions": versions(),
        "git": git(),
        "excluded_clips": [asdict(clip) for clip in prepared.excluded],
        "notes": list(prepared.notes),
    }


@dataclass
class _Sweep:
    """The state of one call of `sweep`."""

    options: RunOptions
    cards: dict[str, ModelCard]
    scenes: Scenes
    prepared: PreparedNeedles
    directory: RunDirectory
    device: torch.device
    note: Note

    def all_cells(self) -> None:
        cells = plan(self.options, list(self.cards))
        done = self.directory.completed()
        with progress_bar() as bar:
            task = bar.add_task("sweep", total=sum(_work(cell) for cell in cells), detail="")
            for name in self.cards:
                adapter = self._load(name)
                batch_size = self.options.batch_size
                for cell in (cell for cell in cells if cell.model == name):
                    key = cell_key(self._determinants(cell, adapter))
                    bar.update(task, detail=str(cell))
                    if key in done:
                        bar.advance(task, _work(cell))
                        continue
                    if batch_size is None:
                        frames = total_frames(max(self.options.lengths_s))
                        batch_size = probe_batch_size(
                            adapter, frames, len(self.prepared), self.device
                        )
                    per_clip = _work(cell) / len(self.prepared)
                    advance = partial(_advance, bar, task, per_clip)
                    row = self._run_cell(cell, key, adapter, batch_size, advance)
                    self.directory.write_row(row)
                    if row["status"] != "ok":
                        self.note(f"{cell}: {row['status']}: {row['error']}")

    def _load(self, name: str) -> Adapter:
        options = self.options
        adapter = _load(options, name, self.scenes.frontend, self.device)
        described = _describe(adapter, self.cards[name])
        self.directory.write_run_json({"models": {name: described}})
        return SlidingWindow(adapter, options.window_s) if options.window_s else adapter

    def _determinants(self, cell: Cell, adapter: Adapter) -> dict[str, Value]:
        """All that decides a cell's scores; the base depends on no haystack."""
        haystack = None if cell.is_base else self.scenes.haystacks[cell.haystack]
        return {
            "model": self.cards[cell.model].fingerprint,
            "weights": _weights_sha256(adapter),
            "frontend": adapter.frontend.fingerprint,
            "protocol": self.options.protocol,
            "level": self.options.level,
            "haystack": None if haystack is None else haystack.name,
            "haystack_sha256": None if haystack is None else haystack.fingerprint,
            "snr_db": cell.snr_db,
            "length_s": cell.length_s,
            "position": cell.position,
            "window_s": self.options.window_s,
            "dtype": self.options.dtype,
            "seed": self.options.seed,
            "clips": self.prepared.needles.ids_sha256,
        }

    def _run_cell(
        self, cell: Cell, key: str, adapter: Adapter, batch_size: int, advance: Advance
    ) -> Row:
        """Measure a cell and store its scores; the row says what came of it."""
        row = self._blank_row(cell, key, adapter, batch_size)
        try:
            scenes = self.scenes.of_cell(cell, self.prepared)
            measured = measure(adapter, scenes, batch_size, self.device, advance)
        except NiahError as error:
            return {**row, "status": "error", "error": str(error)}
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_cached(self.device)
            return {**row, "status": "oom", "error": "out of memory"}
        needles = self.prepared.needles
        self.directory.write_scores(
            key,
            [needle.id for needle in needles.needles],
            [needle.labels for needle in needles.needles],
            measured.scores.numpy(),
            classes=adapter.labels.ids,
        )
        seconds = cell.length_s
        return {
            **row,
            "status": "ok",
            "latency_s": measured.latency_s,
            "rtf": seconds / measured.latency_s,
            "peak_memory_bytes": measured.peak_memory_bytes,
        }

    def _blank_row(self, cell: Cell, key: str, adapter: Adapter, batch_size: int) -> Row:
        options = self.options
        known: Row = {
            "cell": key,
            "model": cell.model,
            "checkpoint_sha256": _weights_sha256(adapter),
            "protocol": options.protocol,
            "needles": self.prepared.needles.name,
            "n_clips": len(self.prepared),
            "haystack": cell.haystack
            if cell.is_base
            else self.scenes.haystacks[cell.haystack].name,
            "snr_db": cell.snr_db,
            "length_s": cell.length_s,
            "frames": total_frames(cell.length_s),
            "position": cell.position,
            "window_s": options.window_s,
            "seed": options.seed,
            "batch_size": batch_size,
            "device": _device_name(self.device),
            "dtype": options.dtype,
            "kernel": adapter.kernel,
            "niah_version": niah.__version__,
        }
        return {**dict.fromkeys(CELL_COLUMNS), **known}


def _advance(bar: Progress, task: TaskID, per_clip: float, clips: int) -> None:
    bar.advance(task, clips * per_clip)


def _work(cell: Cell) -> float:
    """What the progress bar counts: seconds of audio, so that the time left is near the truth."""
    return cell.length_s


def _unwrapped(adapter: Adapter) -> Adapter:
    return adapter.adapter if isinstance(adapter, SlidingWindow) else adapter


def _weights_sha256(adapter: Adapter) -> str:
    return str(getattr(_unwrapped(adapter), "weights_sha256", ""))


def _describe(adapter: Adapter, card: ModelCard) -> dict[str, Any]:
    """A model's entry in run.json."""
    return {
        "checkpoint_sha256": _weights_sha256(adapter),
        "checkpoint": Path(str(getattr(adapter, "weights_source", ""))).name,
        "random": bool(getattr(adapter, "random", False)),
        "parameters": getattr(adapter, "parameters", card.parameters),
        "licence": card.licence,
        "paper": card.paper,
        "adapter": card.adapter,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
