"""Work on the cells of one scene: claimed, scored, written whole. Any number of processes may call it at once.

Cells of the same scenes differ in their pooling alone, so one pass scores them all. Long ones are cut into slices of
their clips (`niah.records.parts`), each claimed by itself; whoever finds the last one stored puts the cells together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from niah.errors import NiahError
from niah.records.claims import Claim, Claims, Refusal
from niah.records.parts import (
    Slicing,
    joined,
    read_part,
    remove_parts,
    settle_slicing,
    slicing_of,
    write_part,
)
from niah.records.run_directory import RunDirectory
from niah.records.schema import Row
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.plan import Cell
from niah.sweep.share import SLICE_S

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Outcome:
    """Rows that this process wrote; units of the cells that other processes work on, and which (host:pid)."""

    rows: tuple[Row, ...] = ()
    waits_for: Mapping[str, str] = field(default_factory=dict)


@dataclass
class CellWork:
    """Cells of the same scenes, for one model in memory and one run directory."""

    model: ModelEvaluator
    cells: Sequence[Cell]
    directory: RunDirectory
    slice_s: float = SLICE_S
    skip: Advance = lambda _: None  # called with the number of clips that are stored already

    def __post_init__(self) -> None:
        self.unit = self.model.unit(self.cells)
        self.keys = [self.model.key(cell) for cell in self.cells]
        self._join = f"{self.unit}-join"

    def settled_slicing(self) -> Slicing | None:
        """Return how the cells are cut: as another process did, or by this one's forecast."""
        slicing = slicing_of(self.directory.path, self.unit)
        if slicing is None and (own := self.model.slicing(self.cells, self.slice_s)) is not None:
            slicing = settle_slicing(self.directory.path, self.unit, own)
        return slicing

    def do(self, advance: Advance) -> Outcome:
        """Score whatever of the cells no other process works on.

        Args:
            advance: called with the number of clips that are scored.

        Raises:
            NiahError: the scores cannot be written.
        """
        slicing = self.settled_slicing()
        if slicing is None:
            return self._whole(advance)
        waits_for: dict[str, str] = {}
        for clips in slicing.slices():
            outcome = self.do_slice(slicing, clips, advance)
            if outcome.rows:
                return outcome
            waits_for |= outcome.waits_for
        return Outcome(waits_for=waits_for) if waits_for else self.join(slicing)

    def do_slice(self, slicing: Slicing, clips: range, advance: Advance) -> Outcome:
        """Score one slice, unless it is stored or another process works on it.

        Args:
            slicing: how the cells are cut.
            clips: one of its slices.
            advance: called with the number of clips that are scored.

        Returns:
            Rows only where the slice cannot be scored: then neither can the cells.
        """
        run, unit = self.directory.path, f"{self.unit}-{clips.start}"
        if self._is_over() or read_part(run, self.unit, clips) is not None:
            self.skip(len(clips))
            return Outcome()
        title = f"{self.cells[0]}, clips {clips.start + 1} to {clips.stop}"
        claim = self._claims.claim(
            unit, title, lambda: read_part(run, self.unit, clips) is not None
        )
        if isinstance(claim, Refusal):
            return Outcome() if claim.is_done else Outcome(waits_for={unit: claim.by})
        with claim:
            try:
                _check_hopeful(claim)
                part = self.model.score(self.cells, clips, advance, slicing.batch_size)
            except (Exception, SystemExit) as error:
                rows = self.model.failed(self.cells, error)
                with self._join_claim() as joining:
                    if isinstance(joining, Claim):
                        self.directory.write_rows((row, None) for row in rows)
                        joining.done()
                claim.done()
                return Outcome(tuple(rows))
            write_part(run, self.unit, clips.start, part)
            claim.done()
        return Outcome()

    def is_complete(self, slicing: Slicing) -> bool:
        """Return whether every slice is stored, and the cells are not."""
        if self._is_over():
            return False
        run = self.directory.path
        return all(read_part(run, self.unit, clips) for clips in slicing.slices())

    def join(self, slicing: Slicing) -> Outcome:
        """Put the slices together, where all are stored and no other process does so."""
        run = self.directory.path
        with self._join_claim() as claim:
            if isinstance(claim, Refusal):
                if claim.is_done:
                    return Outcome()
                return Outcome(waits_for={self._join: claim.by})
            parts = [read_part(run, self.unit, clips) for clips in slicing.slices()]
            stored = [part for part in parts if part is not None]
            if len(stored) < len(parts):  # damaged since: the next round scores them again
                return Outcome(waits_for={self._join: "this process"})
            rows = self.model.store(self.cells, joined(stored), self.directory)
            self.directory.write_rows((row, None) for row in rows)
            claim.done()
        remove_parts(run, self.unit)
        return Outcome(tuple(rows))

    def _whole(self, advance: Advance) -> Outcome:
        claim = self._claims.claim(self.unit, str(self.cells[0]), self._is_stored)
        if isinstance(claim, Refusal):
            return Outcome() if claim.is_done else Outcome(waits_for={self.unit: claim.by})
        with claim:
            try:
                _check_hopeful(claim)
            except NiahError as error:
                rows = self.model.failed(self.cells, error)
            else:
                rows = self.model.run(self.cells, self.directory, advance)
            self.directory.write_rows((row, None) for row in rows)
            claim.done()
        return Outcome(tuple(rows))

    @property
    def _claims(self) -> Claims:
        assert self.directory.claims is not None
        return self.directory.claims

    def _join_claim(self) -> Claim | Refusal:
        return self._claims.claim(self._join, str(self.cells[0]), self._is_stored)

    def _is_over(self) -> bool:
        """Return whether another process of this session has written the cells, or their error."""
        return self._claims.is_done(self._join) and self._is_stored()

    def _is_stored(self) -> bool:
        return all(self.directory.is_stored(key) for key in self.keys)


def _check_hopeful(claim: Claim) -> None:
    if claim.is_hopeless:
        who = ", ".join(claim.deaths)
        raise NiahError(
            f"its process died {len(claim.deaths)} times ({who}): for want of memory, by a crash of the model's "
            "code, or because it was stopped. The same command tries again"
        )
