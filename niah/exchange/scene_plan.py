"""The scenes of a plan for a system without an adapter: those that a model of waveforms would get in a run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from niah.adapters.waveform import FunctionModel
from niah.errors import NiahError
from niah.exchange.scene_set import Answer, SceneCell
from niah.placement import scene_frames
from niah.records.axes import AXES
from niah.records.schema import cell_key
from niah.scenes.lazy import Scene
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.presets import options_of
from niah.sweep.setup import EvalSetup
from niah.vocabularies import vocabulary

STAND_IN = "scenes"
DEFAULT_HAYSTACKS = ("silence", "gaussian", "babble")
PLACE = ("haystack", "snr_db", "length_s", "position", *(n for n in AXES if n != "pooling"))
"""Columns of cells.csv that tell a scene's place."""


def scene_options(settings: Mapping[str, Any], labels: str, sample_rate: int) -> RunOptions:
    """Return the options of the run that the scenes are of, with a stand-in for its model.

    Args:
        settings: fields of `RunOptions` on scenes and clips.
        labels: classes that are scored: a vocabulary's name or file; "": by the needles, those of the synthetic ones or
            AudioSet's.
        sample_rate: of the files in Hz.

    Raises:
        NiahError: as `RunOptions`, an unknown vocabulary, or a rate that waveforms cannot have.
    """
    needles = str(settings.get("needles", ""))
    embedded = needles.partition(":")[0] in ("", "synthetic")
    labels = labels or ("synthetic" if embedded else "audioset-527")
    is_file = Path(labels).is_file()
    classes = vocabulary(Path(labels) if is_file else labels)
    model = FunctionModel(_no_answer, STAND_IN, sample_rate, classes)
    own = {"models": (STAND_IN,), "objects": {STAND_IN: model}, "device": "cpu"}
    (options,) = options_of(
        {
            "haystacks": DEFAULT_HAYSTACKS,
            **settings,
            **own,
            "labels": labels,
            "sample_rate": sample_rate,
        }
    )
    return options


@dataclass(frozen=True)
class PlannedScene:
    """One scene: its cell, the number of its clip (None: the same for all), its sound."""

    cell: SceneCell
    number: int | None
    scene: Scene

    @property
    def id(self) -> str:
        """Its name in the manifest."""
        return self.cell.scene_id(self.number or 0)


class ScenePlan:
    """The cells of a plan that waveforms have, with their scenes.

    Args:
        setup: of `scene_options`.
    """

    def __init__(self, setup: EvalSetup) -> None:
        loaded = next(setup.loaded())
        self.scenes, self.prepared = loaded.scenes, loaded.prepared
        self.sample_rate = loaded.adapter.sample_rate
        self.cells = [
            (cell, self._described(cell))
            for cell in setup.cells()
            if cell.is_base or not self.scenes.has_no(cell.haystack)
        ]

    def numbers(self, cell: Cell) -> range:
        """Return the numbers of the clips whose scenes differ: one where all are the same."""
        same = not cell.is_base and self.scenes.same_for_all(cell)
        return range(1 if same else len(self.prepared))

    def has_noise(self, cell: Cell) -> bool:
        """Return whether a cell's scenes are of noise or a recording, which hardly compress."""
        return not cell.is_base and self.scenes.haystacks[cell.haystack].needs_snr

    def planned(self, cells: Sequence[tuple[Cell, SceneCell]]) -> Iterator[PlannedScene]:
        """Yield the scenes of cells, in order; their samples are not in memory yet."""
        for cell, described in cells:
            numbers = self.numbers(cell)
            same = len(numbers) < len(self.prepared)
            scenes: Iterable[Scene] = islice(self.scenes.of_cell(cell, self.prepared), len(numbers))
            for number, scene in zip(numbers, scenes, strict=True):
                yield PlannedScene(described, None if same else number, scene)

    def answers(
        self, cells: Sequence[SceneCell], stored: Mapping[str, Sequence[Answer]]
    ) -> Iterator[Answer]:
        """Yield the answers of cells, those of other plans as they are stored.

        Args:
            cells: of the folder.
            stored: the folder's answers by cell.
        """
        planned = {described.key: cell for cell, described in self.cells}
        for described in cells:
            cell = planned.get(described.key)
            if cell is None:
                yield from stored.get(described.key, ())
                continue
            others = self.scenes.distractor_labels(cell, self.prepared)
            same = self.scenes.same_for_all(cell) and not cell.is_base
            for index, needle in enumerate(self.prepared.needles.needles):
                yield Answer(
                    described.key,
                    described.scene_id(0 if same else index),
                    needle.id,
                    () if cell.control else needle.labels,
                    others[index] if others else (),
                    needle.group,
                )

    def _described(self, cell: Cell) -> SceneCell:
        base = {} if cell.is_base else {"haystack": self.scenes.haystacks[cell.haystack].name}
        frames = scene_frames(cell.length_s, self.scenes.frontend.needle_frames)
        columns = {name: getattr(cell, name) for name in PLACE} | base | {"frames": frames}
        key = cell_key(self.scenes.determinants(cell, self.prepared.needles))
        title = str(replace(cell, model="")).removeprefix(", ")
        return SceneCell(key, title, {k: v for k, v in columns.items() if v is not None})


def _no_answer(waveforms: torch.Tensor) -> torch.Tensor:
    raise NiahError(f"scenes are written, not scored ({len(waveforms)} waveforms)")
