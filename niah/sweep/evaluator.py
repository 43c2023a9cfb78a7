"""One model in a sweep: keys of its cells, their rows and scores (`niah.sweep.scorer` has how scenes are scored)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch

from niah.adapters.importing import code_sha256
from niah.errors import NiahError, is_interrupt
from niah.records.axes import AXES
from niah.records.parts import Part, Slicing
from niah.records.run_directory import RunDirectory
from niah.records.schema import (
    CELL_COLUMNS,
    Row,
    Value,
    cell_key,
    window_pool_name,
)
from niah.records.scores import refusal
from niah.scan.availability import other_than_auto
from niah.sweep.forecast import Forecasts
from niah.sweep.inference import ALONE, infer, runs_in_threads
from niah.sweep.loaded_model import LoadedModel
from niah.sweep.model_record import describe, failure, write_description
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.scorer import Scorer, windowed
from niah.version import __version__

Advance = Callable[[int], None]
LEAST_AUDIO_S = 3600.0  # of a cell that may be worth cutting into slices
CALIBRATION_CLIPS = 3


@dataclass
class ModelEvaluator:
    """A loaded model, run cell by cell."""

    options: RunOptions
    model: LoadedModel
    device: torch.device

    def __post_init__(self) -> None:
        self.card, self.adapter = self.model.spec.card, self.model.adapter
        self.options = options = windowed(self.options, self.adapter)
        self.scenes, self.prepared = self.model.scenes, self.model.prepared
        self.forecasts = Forecasts(self.scenes.haystacks, options.snrs_db)
        self.scorer = Scorer(self.adapter, options, len(self.prepared), self.device)

    def key(self, cell: Cell) -> str:
        """Return the hash of everything that a cell's scores depend on; the base depends on no haystack."""
        determinants: dict[str, Value] = {
            **self.scenes.determinants(cell, self.prepared.needles),
            "model": self.card.fingerprint,
            "weights": self.model.weights_sha256,
            "window_s": self.options.window_s,
            "dtype": self.options.dtype,
            **self.model.class_determinants,
        }
        if self.scorer.windows is not None:
            determinants["window_hop_frames"] = self.scorer.windows.hop
            determinants["window_pool"] = self.options.window_pool
        if code := self.code_sha256:
            determinants["adapter_code"] = code
        # the default scan is no determinant either
        if kernel := other_than_auto(self.options.kernel, self.device):
            determinants["kernel"] = kernel
        return cell_key(determinants)

    def leaves_out(self, cell: Cell) -> bool:
        """Return whether a planned cell means nothing for this kind of model; the run's notes say why."""
        return not cell.is_base and self.scenes.has_no(cell.haystack)

    def unit(self, cells: Sequence[Cell]) -> str:
        """Return the name of the work on cells of the same scenes, by which processes claim it."""
        return self.key(replace(cells[0], pooling=None))

    def run(self, cells: Sequence[Cell], directory: RunDirectory, advance: Advance) -> list[Row]:
        """Score the clips of cells and store the logits.

        One pass through the network scores all cells, since they differ in pooling alone; its latency is theirs. An
        exception becomes the rows' `error`, and the run goes on.

        Args:
            cells: cells of the same scenes.
            directory: run directory, open for writing.
            advance: called with the number of clips that were scored.

        Returns:
            One row for each cell, without metrics.

        Raises:
            NiahError: the scores cannot be written.
        """
        try:
            part = self.score(cells, range(len(self.prepared)), advance)
        except (Exception, SystemExit) as error:  # a user's model may call sys.exit
            return self.failed(cells, error)
        return self.store(cells, part, directory)

    def score(
        self,
        cells: Sequence[Cell],
        clips: range,
        advance: Advance,
        batch_size: int | None = None,
        alone: int = ALONE,
    ) -> Part:
        """Compute the logits of some clips of cells of the same scenes.

        Args:
            cells: cells of the same scenes.
            clips: numbers of the clips.
            advance: called with the number of clips that were scored.
            batch_size: scenes in a forward pass; None for the evaluator's own.
            alone: batches before any other work goes on beside one.
        """
        cell = cells[0]
        scenes = self.scenes.of_cell(cell, self.prepared, clips)
        adapter, size = self.scorer.of(cells)
        if self.is_one_scene(cell):
            scenes = islice(scenes, 1)  # scored once, a row a clip
        result = infer(adapter, scenes, batch_size or size, self.device, advance, alone=alone)
        logits = result.logits.numpy()
        if reason := refusal(logits, self.options.dtype):
            raise NiahError(f"{self.model.name}: {reason}")
        names = [*self.scenes.haystacks, ""] if cell.is_base else [cell.haystack]
        for haystack in names:
            self.forecasts.pace(haystack).add(
                cell.length_s, result.clip_s, result.process_peak_bytes
            )
        advance(len(clips) - len(logits))
        latency_s = self.scorer.latency_s(cell) or result.latency_s
        is_padded = cell.length_s in self.scorer.padded
        return Part(logits, latency_s, result.peak_memory_bytes, is_padded)

    def store(self, cells: Sequence[Cell], part: Part, directory: RunDirectory) -> list[Row]:
        """Write the logits of all clips of cells of the same scenes, and return the cells' rows, without metrics.

        Args:
            cells: cells of the same scenes.
            part: logits of all clips.
            directory: run directory, open for writing.

        Raises:
            NiahError: the scores cannot be written.
        """
        if part.is_padded:
            self.scorer.padded.add(cells[0].length_s)
        needles = self.prepared.needles.needles
        distractors = self.scenes.distractor_labels(cells[0], self.prepared)
        logits = np.broadcast_to(part.logits, (len(needles), part.logits.shape[1]))
        for cell, own in zip(cells, np.split(logits, len(cells), axis=1), strict=True):
            directory.write_scores(
                self.key(cell),
                [needle.id for needle in needles],
                [() if cell.control else needle.labels for needle in needles],
                self.model.counted(own),
                classes=self.model.labels.ids,
                distractors=distractors,
                groups=[needle.group for needle in needles],
            )
        outcome: Row = {
            "status": "ok",
            "latency_s": part.latency_s,
            "rtf": cells[0].length_s / part.latency_s,
            "peak_memory_bytes": part.peak_memory_bytes,
        }
        return [{**self._blank_row(cell, self.key(cell)), **outcome} for cell in cells]

    def failed(self, cells: Sequence[Cell], error: BaseException) -> list[Row]:
        """Return the rows of cells of the same scenes that cannot be scored."""
        if is_interrupt(error):  # Ctrl-C in the middle of an import is another exception
            raise KeyboardInterrupt from error
        outcome = failure(error, self.options, self.device)
        return [{**self._blank_row(cell, self.key(cell)), **outcome} for cell in cells]

    def slicing(self, cells: Sequence[Cell], slice_s: float) -> Slicing | None:
        """Cut the clips of cells of the same scenes into slices; None where the work is short.

        Args:
            cells: cells of the same scenes.
            slice_s: seconds that a slice should take, by forecast.
        """
        cell, clips = cells[0], len(self.prepared)
        if self.is_one_scene(cell) or clips * cell.length_s < LEAST_AUDIO_S:
            return None
        most_s = self.forecasts.most_seconds(cell)
        if most_s is not None and clips * most_s <= slice_s:  # short at any pace: none is measured
            return None
        try:
            batch_size = self.scorer.scenes_at_once(cells)
        except (Exception, SystemExit):  # the cell itself records the reason
            return None
        clip_s = self.seconds_a_clip(cell)
        return Slicing.of_seconds(clips, batch_size, clip_s, slice_s) if clip_s else None

    def seconds_a_clip(self, cell: Cell) -> float | None:
        """Forecast the seconds that a scene takes (`niah.sweep.forecast`)."""
        count, alone = CALIBRATION_CLIPS, ALONE
        if self.device.type == "cpu" and runs_in_threads(self.adapter):  # as they go later
            count, alone = 1 + 2 * torch.get_num_threads(), 1
        clips = range(min(len(self.prepared), count))

        def score(short: Cell) -> None:
            for some in (clips[:1], clips):  # the first for a warm-up
                self.score([short], some, _ignore, alone=alone)

        return self.forecasts.seconds(cell, score)

    def is_one_scene(self, cell: Cell) -> bool:
        """Return whether all clips have the same scene, which is scored once."""
        return not cell.is_base and self.scenes.same_for_all(cell)

    @cached_property  # hashing a function's networks for each cell would take longer than short cells
    def code_sha256(self) -> str:
        """Hash of the user's own code of the model; "" where it has none."""
        return self.model.spec.source.code_sha256 or code_sha256(self.card)

    def described(self) -> dict[str, Any]:
        """Return the model's entry in run.json."""
        return describe(self.model, self.code_sha256)

    def write_description(self, directory: RunDirectory) -> None:
        """Write the model's entry of run.json.

        Raises:
            NiahError: cells that are there were scored by other code of the same model and weights.
        """
        write_description(self.model.name, self.described(), directory)

    def _blank_row(self, cell: Cell, key: str) -> Row:
        options = self.options
        haystacks = self.scenes.haystacks
        known: Row = {
            "cell": key,
            "model": cell.model,
            "checkpoint_sha256": self.model.weights_sha256,
            "protocol": options.protocol,
            "needles": self.prepared.needles.name,
            "n_clips": len(self.prepared),
            "haystack": cell.haystack if cell.is_base else haystacks[cell.haystack].name,
            "snr_db": cell.snr_db,
            "length_s": cell.length_s,
            "frames": self.scorer.frames(cell),
            "position": cell.position,
            "window_s": options.window_s,
            "seed": options.seed,
            "batch_size": self.scorer.batch_size,
            "device": _device_name(self.device),
            "dtype": options.dtype,
            "kernel": self.scorer.kernel(cell),
            "niah_version": __version__,
        }
        known |= {name: getattr(cell, name) for name in AXES}
        if options.seed_of_noise != options.seed:
            known["noise_seed"] = options.seed_of_noise
        if cell.length_s in self.scorer.padded:
            known["padded_to"] = self.adapter.frontend.needle_frames
        if options.window_s is not None:
            known["window_pool"] = window_pool_name(
                options.window_pool, options.window_s, options.hop_s
            )
        if code := self.model.spec.source.custom_code:
            known["custom_code"] = code
        return {**dict.fromkeys(CELL_COLUMNS), **known}


def _ignore(_: int) -> None:
    pass


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
