"""Scenes of a run's cells: one builder for each haystack, level and front end, shared by all models.

A control's scene is that of the same clip without its needle, at the level that the clip would set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from niah.frontends import Frontend
from niah.frontends.waveform import is_waveform
from niah.haystacks import Haystack
from niah.needles import NeedleSet
from niah.needles.companions import Companions
from niah.needles.distractors import Distractors
from niah.needles.features import NeedleFeatures, loudest_segment
from niah.needles.needle_part import FIRST
from niah.needles.prepared import PreparedNeedles
from niah.needles.readers.events import Annotated
from niah.placement import FRAMES_PER_SECOND, arrange, scene_frames
from niah.records.axes import AXES, SHAM
from niah.records.schema import Value
from niah.scenes.builder import Piece, SceneBuilder
from niah.scenes.lazy import Scene
from niah.scenes.own import OwnRecordings
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell, piece_frames
from niah.system.bounded_store import BoundedStore

_MEMORY_BYTES = 1 << 29  # of needles in noise: 1,000 of AST's front end


@dataclass
class Scenes:
    """Builders of a run's haystacks for one front end, each made when first needed; their energies stay in memory.

    Of scenes that several models (`users`) read, the rows that were computed stay too, as far as there is room.
    """

    options: RunOptions
    haystacks: dict[str, Haystack]
    frontend: Frontend
    users: int = 1
    _builders: dict[tuple[str, str], SceneBuilder] = field(default_factory=dict)
    _chooser: Distractors | None = None
    _company: Companions | None = None
    _own: OwnRecordings | None = None
    _made: BoundedStore[Scene] = field(default_factory=lambda: BoundedStore(_MEMORY_BYTES))

    def builder(self, haystack: str, level: str | None = None) -> SceneBuilder:
        """Return the scene builder of a haystack at a level.

        Args:
            haystack: its name.
            level: "surround" or "mix"; None for the run's own. Constants have surround alone.

        Raises:
            NiahError: a haystack that the protocol or the front end does not have.
        """
        options = self.options
        level = level or options.own_level
        if not self.haystacks[haystack].needs_snr:
            level = "surround"
        if (haystack, level) not in self._builders:
            self._builders[haystack, level] = SceneBuilder(
                self.frontend,
                options.protocol,
                self.haystacks[haystack],
                options.seed_of_noise,
                level,
            )
        return self._builders[haystack, level]

    def builders(self, haystack: str) -> list[SceneBuilder]:
        """Return the haystack's scene builders, one a level.

        Raises:
            NiahError: as `builder`.
        """
        return [self.builder(haystack, level) for level in self.options.levels]

    def has_no(self, haystack: str) -> bool:
        """Return whether the haystack means nothing to this kind of front end: zeros, where rows are samples."""
        return self.haystacks[haystack].fill == "zero" and is_waveform(self.frontend)

    def can_play(self, haystack: str) -> bool:
        """Return whether the front end has this haystack: zeros are a mean log-mel, which not every one defines."""
        return self.haystacks[haystack].fill != "zero" or bool(self.frontend.zero_row)

    def plays(self, haystack: str) -> bool:
        """Return whether a run has scenes of this haystack for this front end."""
        return self.can_play(haystack) and not self.has_no(haystack)

    def of_cell(
        self, cell: Cell, prepared: PreparedNeedles, clips: range | None = None
    ) -> Iterator[Scene]:
        """Yield the scene of every clip, in order; their rows are not in memory yet.

        Args:
            cell: the cell.
            prepared: the run's clips.
            clips: numbers of the clips; None for all.
        """
        clips = range(len(prepared)) if clips is None else clips
        if cell.is_base:
            for index in clips:
                yield Scene.of_rows(prepared.features(index).features)
            return
        if self.is_own(cell):
            own = self.own(prepared.needles)
            for index in clips:
                start_s = self._own_start_s(cell, own, index)
                yield own.scene(self.frontend, index, start_s, cell.length_s)
            return
        builder, like = (
            self.builder(cell.haystack, cell.level),
            replace(cell, model="", pooling=None),
        )
        is_costly = self.haystacks[cell.haystack].needs_snr and not cell.control
        for index in clips:
            if self.users > 1 and is_costly:
                yield self._made.get_or_make(
                    (like, prepared.needles.needles[index].id),
                    lambda index=index: self._scene(cell, builder, prepared, index),  # type: ignore[misc]
                    lambda scene: scene.memory_bytes,
                )
            else:
                yield self._scene(cell, builder, prepared, index)

    def _scene(
        self, cell: Cell, builder: SceneBuilder, prepared: PreparedNeedles, index: int
    ) -> Scene:
        """Return one clip's scene in a haystack."""
        if cell.is_rearranged:
            return self._rearranged(cell, builder, prepared, index)
        features, clip_id = prepared.features(index), prepared.needles.needles[index].id
        if cell.is_short and not cell.control:
            first = self._loudest(features, scene_frames(cell.length_s))
            return builder.part(
                features, first, clip_id, length_s=cell.length_s, snr_db=cell.snr_db
            )
        return builder.laid_out(
            None if cell.control else features,
            clip_id,
            length_s=cell.length_s,
            position=cell.position or 0.0,  # a needle-free scene has none
            snr_db=cell.snr_db,
            sham=cell.control == SHAM,
            like=features if cell.control else None,
        )

    def determinants(self, cell: Cell, needles: NeedleSet) -> dict[str, Value]:
        """Return all that determines a cell's scenes, for its key; those of the needle alone depend on no haystack.

        Args:
            cell: the cell.
            needles: the run's clips.
        """
        options = self.options
        haystack = None if cell.is_base else self.haystacks[cell.haystack]
        determinants: dict[str, Value] = {
            "frontend": self.frontend.fingerprint,
            "protocol": options.protocol,
            "level": cell.level or options.own_level,
            "haystack": None if haystack is None else haystack.name,
            "haystack_sha256": None if haystack is None else haystack.fingerprint,
            "snr_db": cell.snr_db,
            "length_s": cell.length_s,
            "position": cell.position,
            "seed": options.seed,
            "clips": needles.ids_sha256,
        }
        # an axis that is plain is no determinant: the keys of runs from before there were axes stay
        axes = {name: getattr(cell, name) for name in AXES if name != "level"}
        determinants |= {name: value for name, value in axes.items() if value is not None}
        if not cell.is_base and options.seed_of_noise != options.seed:
            determinants["noise_seed"] = options.seed_of_noise
        if options.needle_part != FIRST:
            determinants["needle_part"] = options.needle_part
        if self.is_own(cell):
            determinants["own_recordings"] = self.own(needles).fingerprint
        return determinants

    def events(self, cell: Cell, prepared: PreparedNeedles, index: int) -> list[Annotated]:
        """Return the sounds in one clip's scene with their labels, in seconds of the scene, in time order.

        A clip's sound are its frames before padding; of a natural scene it is all annotated events in the crop.

        Args:
            cell: the cell; not a control.
            prepared: the run's clips.
            index: place of the clip.
        """
        if self.is_own(cell):
            own = self.own(prepared.needles)
            return own.events(index, self._own_start_s(cell, own, index), cell.length_s)
        needles = prepared.needles.needles
        return [
            Annotated(
                piece.start / FRAMES_PER_SECOND,
                (piece.start + min(piece.count, piece.needle.frames - piece.first))
                / FRAMES_PER_SECOND,
                needles[clip].labels,
            )
            for clip, piece in sorted(self._pieces(cell, prepared, index), key=lambda p: p[1].start)
        ]

    def same_for_all(self, cell: Cell) -> bool:
        """Return whether every clip's scene is the same: a constant without its needle."""
        if cell.control is None:
            return False
        return not self.haystacks[cell.haystack].needs_snr and not self.is_own(cell)

    def is_own(self, cell: Cell) -> bool:
        """Return whether a cell's scenes are crops of the needles' own recordings."""
        return not cell.is_base and self.haystacks[cell.haystack].fill == "own"

    def own(self, needles: NeedleSet) -> OwnRecordings:
        """Return the needles' recordings.

        Raises:
            NiahError: a needle is no annotated event.
        """
        if self._own is None or self._own.needles is not needles:
            self._own = OwnRecordings(needles)
        return self._own

    def _own_start_s(self, cell: Cell, own: OwnRecordings, index: int) -> float:
        if cell.control:
            return own.free_start_s(index, cell.length_s)
        return own.start_s(index, cell.length_s, cell.position or 0.0)

    def distractor_labels(self, cell: Cell, prepared: PreparedNeedles) -> list[tuple[str, ...]]:
        """Return the labels of the other clips in every clip's scene, in order; empty where the cell has none.

        Args:
            cell: the cell.
            prepared: the run's clips.
        """
        labels: list[tuple[str, ...]] = [()] * len(prepared)
        if self.is_own(cell):
            own = self.own(prepared.needles)
            starts = [self._own_start_s(cell, own, index) for index in range(len(prepared))]
            return [own.labels(i, start_s, cell.length_s) for i, start_s in enumerate(starts)]
        if cell.distractors:
            chooser = self._distractors(prepared)
            labels = [chooser.labels(index, cell.distractors) for index in range(len(prepared))]
        if cell.needles_per_scene:
            companions = self._companions(prepared)
            labels = [
                tuple(dict.fromkeys((*companions.labels(i, cell.needles_per_scene), *others)))
                for i, others in enumerate(labels)
            ]
        return labels if any(labels) else []

    def _rearranged(
        self, cell: Cell, builder: SceneBuilder, prepared: PreparedNeedles, index: int
    ) -> Scene:
        pieces = [piece for _, piece in self._pieces(cell, prepared, index)]
        clip_id = prepared.needles.needles[index].id
        return builder.arranged(pieces, clip_id, length_s=cell.length_s, snr_db=cell.snr_db)

    def _pieces(self, cell: Cell, prepared: PreparedNeedles, index: int) -> list[tuple[int, Piece]]:
        """Return the clips of one clip's scene by their numbers, and their places; needles first."""
        assert cell.position is not None
        frames = piece_frames(cell, self.frontend.needle_frames)
        total = scene_frames(cell.length_s, self.frontend.needle_frames)
        counts = (cell.needles, cell.distractors or 0)
        places = arrange(total, frames, cell.position, self.options.protocol, *counts)
        others: Sequence[int] = ()
        if cell.distractors:
            others = self._distractors(prepared).of(index, cell.distractors)
        hidden = [index]
        if cell.needles_per_scene:
            hidden = self._companions(prepared).of(index, cell.needles_per_scene)
        clips = [*hidden * (cell.needle_count or 1), *others]
        features = {clip: prepared.features(clip) for clip in dict.fromkeys(clips)}
        return [
            (clip, Piece(features[clip], start, self._loudest(features[clip], frames), frames))
            for clip, start in zip(clips, (*places.needles, *places.distractors), strict=True)
        ]

    def _loudest(self, needle: NeedleFeatures, frames: int) -> int:
        return loudest_segment(needle, frames, of_samples=is_waveform(self.frontend))

    def _companions(self, prepared: PreparedNeedles) -> Companions:
        if self._company is None or self._company.needles != prepared.needles.needles:
            self._company = Companions(prepared.needles, self.options.seed)
        return self._company

    def _distractors(self, prepared: PreparedNeedles) -> Distractors:
        if self._chooser is None or self._chooser.needles != prepared.needles.needles:
            self._chooser = Distractors(prepared.needles, self.options.seed)
        return self._chooser
