"""One model in a sweep: its cells' keys, its batches, its rows and scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from niah.adapters.loading import adapter_info, code_sha256
from niah.adapters.protocol import Adapter
from niah.adapters.wrappers.lazy_features import InBlocks, ReadsBlocks
from niah.adapters.wrappers.pooled import Pooled
from niah.adapters.wrappers.sliding_window import SlidingWindow, window_starts
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.needles.prepared import PreparedNeedles
from niah.placement import total_frames
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS, OPTIONAL_COLUMNS, Row, Value, cell_key
from niah.scan.availability import other_than_auto
from niah.sweep.cell_scenes import Scenes
from niah.sweep.inference import is_large, measure, probe_batch_size
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.system.folders import roots_of, without_folders
from niah.system.memory import free_cached, is_out_of_memory
from niah.version import __version__

Advance = Callable[[int], None]


@dataclass
class ModelEvaluator:
    """A loaded model with the scenes and needles of its front end."""

    options: RunOptions
    card: ModelCard
    adapter: Adapter
    scenes: Scenes
    prepared: PreparedNeedles
    device: torch.device
    batch_size: int | None = None  # found when the first cell is run

    def __post_init__(self) -> None:
        options = self.options
        self.batch_size = options.batch_size
        self.windows: SlidingWindow | None = None
        if options.window_s is not None:
            self.windows = SlidingWindow(
                self.adapter, options.window_s, options.hop_s, options.window_pool
            )

    def key(self, cell: Cell) -> str:
        """Hash of all that decides a cell's scores; the base depends on no haystack."""
        haystack = None if cell.is_base else self.scenes.haystacks[cell.haystack]
        determinants: dict[str, Value] = {
            "model": self.card.fingerprint,
            "weights": self._weights_sha256,
            "frontend": self.adapter.frontend.fingerprint,
            "protocol": self.options.protocol,
            "level": cell.level or self.options.own_level,
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
        if self.windows is not None:
            determinants["window_hop_frames"] = self.windows.hop
            determinants["window_pool"] = self.options.window_pool
        # an axis that is plain is no determinant: the keys of runs from before there were axes stay
        axes = {name: getattr(cell, name) for name in OPTIONAL_COLUMNS if name != "level"}
        determinants |= {name: value for name, value in axes.items() if value is not None}
        if code := code_sha256(self.card):
            determinants["adapter_code"] = code
        # neither is the scan that is taken anyway
        if kernel := other_than_auto(self.options.kernel, self.device):
            determinants["kernel"] = kernel
        return cell_key(determinants)

    def run(self, cells: Sequence[Cell], directory: RunDirectory, advance: Advance) -> list[Row]:
        """Measure cells of the same scenes and store their scores; the rows say what came of it.

        They differ in their pooling alone, so that one pass through the network scores them all: the latency is its.
        """
        cell = cells[0]
        if self.batch_size is None:
            self.batch_size = self._probed()
        rows = [self._blank_row(each, self.key(each)) for each in cells]
        clips = len(self.prepared)
        try:
            distractors = self.scenes.distractor_labels(cell, self.prepared)
            scenes = self.scenes.of_cell(cell, self.prepared)
            adapter, size = self._scorer(cells, self.batch_size)
            if not cell.is_base and self.scenes.same_for_all(cell):
                scenes = islice(scenes, 1)  # scored once, a row a clip
            measured = measure(adapter, scenes, size, self.device, advance)
        except NiahError as error:
            return [{**row, "status": "error", "error": _told(error, self.options)} for row in rows]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_cached(self.device)
            return [{**row, "status": "oom", "error": "out of memory"} for row in rows]
        advance(clips - len(measured.scores))
        needles = self.prepared.needles.needles
        scores = measured.scores.expand(clips, -1).chunk(len(cells), dim=1)
        for row, own in zip(rows, scores, strict=True):
            directory.write_scores(
                str(row["cell"]),
                [needle.id for needle in needles],
                [() if cell.control else needle.labels for needle in needles],
                own.numpy(),
                classes=self.adapter.labels.ids,
                distractors=distractors,
            )
        known: Row = {
            "status": "ok",
            "latency_s": measured.latency_s,
            "rtf": cell.length_s / measured.latency_s,
            "peak_memory_bytes": measured.peak_memory_bytes,
        }
        return [{**row, **known} for row in rows]

    def described(self) -> dict[str, Any]:
        """The model's entry in run.json."""
        info = adapter_info(self.adapter, self.card)
        return {
            "checkpoint_sha256": info.weights_sha256,
            "checkpoint": Path(info.weights_source).name,
            "random": info.random,
            "parameters": info.parameters,
            "licence": self.card.licence,
            "paper": self.card.paper,
            "adapter": self.card.adapter,
        }

    @property
    def _weights_sha256(self) -> str:
        return adapter_info(self.adapter).weights_sha256

    def _probed(self) -> int:
        """Clips at once, or windows at once."""
        if self.windows is not None:
            many = len(self.prepared) * self._windows_of(max(self.options.lengths_s))
            return probe_batch_size(self.adapter, [self.windows.frames], many, self.device)
        lengths = [self._frames(length_s) for length_s in self.options.lengths_s]
        return probe_batch_size(self.adapter, lengths, len(self.prepared), self.device)

    def _scorer(self, cells: Sequence[Cell], batch_size: int) -> tuple[Adapter, int]:
        """What scores the cells' scenes, and how many of them at once: a batch of windows is of few long scenes."""
        poolings = [cell.pooling for cell in cells if cell.pooling is not None]
        if poolings:
            return Pooled(self.adapter, *poolings), batch_size
        if self.windows is None:
            size = self._frames(cells[0].length_s), self.adapter.frontend.mels
            if isinstance(self.adapter, ReadsBlocks) and is_large(batch_size, *size):
                return InBlocks(self.adapter), batch_size
            return self.adapter, batch_size
        self.windows.windows_at_once = batch_size
        return self.windows, max(1, batch_size // self._windows_of(cells[0].length_s))

    def _windows_of(self, length_s: float) -> int:
        assert self.windows is not None
        return len(window_starts(self._frames(length_s), self.windows.frames, self.windows.hop))

    def _frames(self, length_s: float) -> int:
        return total_frames(length_s, self.adapter.frontend.needle_frames)

    def _blank_row(self, cell: Cell, key: str) -> Row:
        options = self.options
        haystacks = self.scenes.haystacks
        known: Row = {
            "cell": key,
            "model": cell.model,
            "checkpoint_sha256": self._weights_sha256,
            "protocol": options.protocol,
            "needles": self.prepared.needles.name,
            "n_clips": len(self.prepared),
            "haystack": cell.haystack if cell.is_base else haystacks[cell.haystack].name,
            "snr_db": cell.snr_db,
            "length_s": cell.length_s,
            "frames": self._frames(cell.length_s),
            "position": cell.position,
            "window_s": options.window_s,
            "seed": options.seed,
            "batch_size": self.batch_size,
            "device": _device_name(self.device),
            "dtype": options.dtype,
            "kernel": self._scorer([cell], self.batch_size or 1)[0].kernel,
            "niah_version": __version__,
        }
        known |= {name: getattr(cell, name) for name in OPTIONAL_COLUMNS}
        return {**dict.fromkeys(CELL_COLUMNS), **known}


def _told(error: NiahError, options: RunOptions) -> str:
    """An error as a row holds it, which is made to be published."""
    return without_folders(str(error), roots_of(vars(options)))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
