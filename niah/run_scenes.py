"""The scenes of a run: one builder a haystack, shared by all models, and a cell's scenes in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

from niah.features import KaldiFrontend
from niah.haystacks import Haystack
from niah.needle_features import PreparedNeedles
from niah.plan import Cell, RunOptions
from niah.scenes import SceneBuilder


@dataclass
class Scenes:
    """Builders of a run's haystacks, each made when first needed; their energies are kept for all models."""

    options: RunOptions
    haystacks: dict[str, Haystack]
    frontend: KaldiFrontend = field(default_factory=KaldiFrontend)
    _builders: dict[str, SceneBuilder] = field(default_factory=dict)

    def builder(self, haystack: str) -> SceneBuilder:
        if haystack not in self._builders:
            options = self.options
            self._builders[haystack] = SceneBuilder(
                self.frontend,
                options.protocol,
                self.haystacks[haystack],
                options.seed,
                options.level,  # type: ignore[arg-type]  # checked there
            )
        return self._builders[haystack]

    def any_builder(self) -> SceneBuilder:
        """For what does not depend on the haystack: the needles themselves."""
        return self.builder(next(iter(self.haystacks)))

    def of_cell(self, cell: Cell, prepared: PreparedNeedles) -> Iterator[Tensor]:
        """The scene of every clip, in order."""
        builder = self.any_builder() if cell.is_base else self.builder(cell.haystack)
        for index, needle in enumerate(prepared.needles.needles):
            features = prepared.features(index)
            if cell.is_base:
                yield features.features
                continue
            assert cell.position is not None
            yield builder.scene(
                features,
                needle.id,
                length_s=cell.length_s,
                position=cell.position,
                snr_db=cell.snr_db,
            )
