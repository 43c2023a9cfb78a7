"""Paired comparison of two models or checkpoints on the same clips, cell by cell, from stored scores.

A cell of A is matched with B's of the same haystack, SNR, length, position, window and pooling. For each, on the same
resampled lists of clips (paired):

    mAP        m_A - m_B                                        m the mAP of the cell
    adjusted   (m_A - c) / (b_A - c)  -  (m_B - c) / (b_B - c)  b that at 10 s, c of random scores: who loses less
    relative   m_A / b_A  -  m_B / b_B                          the same with chance in it

with a 95 % interval and a two-sided p-value of "no difference", both from the standard error of
`niah.metrics.resampling`. p-values are corrected for the number of cells, separately for each quantity
(`niah.metrics.multiple_testing`); an interval is of one cell. Positions that give the same scene are one cell.

Shares are of cells beyond 10 s, and not of natural crops, which are no longer versions of a clip. `adjusted` is left
out where a 10 s score does not differ significantly from chance. No model is better by `relative`: at chance there is
nothing to lose, and one that guesses keeps all of it.

Runs with other clips, protocol or level mode are refused: the difference would be due to them. Cells are left out where
one name of a haystack stands for two contents, by the SHA-256 that both runs state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import isnan
from pathlib import Path

from niah.compare.check_result import LEVEL, p_text
from niah.compare.differences import PairedScores, difference, paired_scores
from niah.compare.same_clips import refuse_other_runs, seeds_note
from niah.compare.same_haystacks import other_contents, rename_alike
from niah.compare.stored_run import (
    Cells,
    Key,
    StoredRun,
    System,
    is_alone,
    system_names,
    window_words,
)
from niah.errors import NiahError, nearest
from niah.metrics.average_precision import chance_mAP
from niah.metrics.chance import ONE_RECORDING
from niah.metrics.multiple_testing import adjusted
from niah.metrics.resampling import Resampled, paired
from niah.records.axes import OWN
from niah.records.naming import NO_HAYSTACK, Point, axes_name, length_name, pool_of, scene_name
from niah.records.schema import BASE_LENGTH_S
from niah.system import spreadsheet
from niah.system.folders import numbered
from niah.system.markdown_text import plain
from niah.system.number_text import number_text
from niah.system.plurals import plural
from niah.tables.positions import needle_position, shown_position
from niah.tables.table import Table

_TITLES = {
    "mAP": "mAP",
    "adjusted": "Share of what the own 10 s score is above chance",
    "relative": "Share of the own 10 s score, chance included",
}


@dataclass(frozen=True)
class Difference:
    """One comparison of one cell; scores in 0..1, `p` before and after correction.

    `effective_position`: the needle's real position, as a share of the free room.
    """

    haystack: str
    snr_db: float | None
    length_s: float
    position: float | None
    window_s: float | None
    pool: str
    quantity: str  # mAP | adjusted | relative
    a: float
    b: float
    difference: float
    lo: float
    hi: float
    p: float
    p_corrected: float
    effective_position: float | None = None

    @property
    def scene(self) -> str:
        """Return the scene in words: "babble, 10 dB, at 0.5, 50 s, windows of 10 s"."""
        parts = [length_name(self.length_s)]
        if self.length_s != BASE_LENGTH_S or self.snr_db is not None or self.haystack == OWN:
            position = shown_position(self.position, self.effective_position)
            at = [f"at {position}"] if position else []
            parts = [scene_name(self.haystack, self.snr_db), *at, *parts]
        return ", ".join(filter(None, [*parts, window_words(self.window_s, self.pool)]))


@dataclass(frozen=True)
class Comparison:
    """The names of A and B, every difference, the correction of p-values, and notes."""

    a: str
    b: str
    correction: str
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    def table(self, quantity: str) -> Table:
        """Return the differences of one quantity as texts."""
        rows = [each for each in self.differences if each.quantity == quantity]
        beyond = sum(each.p_corrected < LEVEL for each in rows)
        title = _TITLES[quantity]
        corrected = "uncorrected" if self.correction == "none" else f"corrected ({self.correction})"
        outcome = (
            f"{beyond} of {plural(len(rows), 'difference')} {'is' if 1 in (beyond, len(rows)) else 'are'} beyond "
            f"chance at {LEVEL:g}, {corrected}"
        )
        if all(isnan(each.p) for each in rows):
            outcome = "differences are not tested"
        caption = f"{title}: A = {self.a}, B = {self.b}; {outcome}"
        header = ("cell", "A", "B", "A - B [95 %]", "p", f"p {corrected}", "better")
        return Table(caption, header, tuple(map(_texts, rows)))

    def tables(self) -> list[Table]:
        """Return a table for each quantity."""
        known = {each.quantity for each in self.differences}
        return [self.table(quantity) for quantity in _TITLES if quantity in known]

    def markdown(self) -> str:
        """Return the tables and the notes."""
        parts = [table.markdown() for table in self.tables()]
        return "\n".join([*parts, *(f"- {plain(note)}" for note in self.notes)]).rstrip() + "\n"

    def csv(self) -> str:
        """Return one row a difference, numbers in full."""
        about = {"model_a": self.a, "model_b": self.b, "correction": self.correction}
        return spreadsheet.rows_text(Difference, self.differences, before=about)


def compare(
    a: Path | str,
    b: Path | str | None = None,
    *,
    models: tuple[str, ...] = (),
    correction: str = "holm",
) -> Comparison:
    """Compare the run in `a` with that in `b`; or, without `b`, two models of one run.

    Args:
        a: a run directory.
        b: another, on the same clips.
        models: NAME, or NAME@SHA256 of its weights; one for both runs, or A's and B's. Needed
            where a run has several.
        correction: of p-values, one of `niah.metrics.multiple_testing.METHODS`.

    Returns:
        The differences of all cells that both have.

    Raises:
        NiahError: it is not clear what to compare; the clips, protocol or level differ; scores are
            missing; or no cell matches.
    """
    adjusted([], correction)  # refuses an unknown one before the work
    run_a = StoredRun(a)
    run_b = run_a if b is None else StoredRun(b)
    refuse_other_runs(run_a, run_b)
    if b is not None:
        rename_alike(run_b, run_a)
    others = other_contents(run_a, run_b)
    names = _names(models, one_run=b is None)
    side_a, side_b = _Side(run_a, names[0]), _Side(run_b, names[1])
    if b is None and side_a.name == side_b.name:
        raise NiahError(f"A and B are both {side_a.name} of {a}: give two models, or two runs")
    differences, notes = _differences(side_a, side_b, others)
    if not differences:
        reason = "".join(f"; {text}" for text in others.values())
        raise NiahError(f"no cell of {side_a.name} has a counterpart of {side_b.name}{reason}")
    label_a, label_b = side_a.name, side_b.name
    if label_a == label_b:
        places = numbered(side.run.path.resolve().name for side in (side_a, side_b))
        label_a, label_b = (f"{label_a} in {place}" for place in places)
    return Comparison(
        label_a, label_b, correction, _corrected(differences, correction), tuple(notes)
    )


def _names(models: tuple[str, ...], *, one_run: bool) -> tuple[str | None, str | None]:
    if len(models) > 2 or (one_run and len(models) != 2):
        raise NiahError(
            "give two runs, or one run and two models: `niah compare DIR --model X --model Y`"
        )
    padded = (*models, *models, None, None)
    return padded[0], padded[1]


class _Side:
    """One system of one run: its scored cells of whole clips, at the run's level."""

    def __init__(self, run: StoredRun, wanted: str | None) -> None:
        self.run = run
        scored = {system: _whole_clips(cells) for system, cells in run.systems().items()}
        scored = {system: cells for system, cells in scored.items() if cells}
        if not scored:
            raise NiahError(f"{run.path} has no scored cell: let `niah run` finish one")
        system = _chosen(run, list(scored), wanted)
        self.name = system_names(scored)[system]
        self.cells = scored[system]


def _whole_clips(cells: Cells) -> Cells:
    return {
        key: point
        for key, point in cells.items()
        if point["status"] == "ok" and point["mAP"] is not None and not axes_name(point)
    }


def _chosen(run: StoredRun, systems: list[System], wanted: str | None) -> System:
    chosen = [system for system in systems if wanted is None or system.is_meant_by(wanted)]
    if len(chosen) == 1:
        return chosen[0]
    known = [f"{system.short_name}, {system.dtype}".rstrip(", ") for system in systems]
    hint = nearest(wanted, {system.model for system in systems}) if wanted else ""
    hint = hint if hint.startswith(" Did") else ""  # all are named below
    wrong = f"has no model '{wanted}'.{hint}" if wanted and not chosen else "has several models."
    raise NiahError(f"{run.path} {wrong} It has {'; '.join(known)}: say which with --model")


def _differences(
    a: _Side, b: _Side, others: Mapping[str, str]
) -> tuple[list[Difference], list[str]]:
    """Compare the cells that both have; `others`: haystacks that are not the same sound, each with a sentence."""
    differences: list[Difference] = []
    same_scene = a.cells.keys() & b.cells.keys()
    matched = {
        key
        for key in same_scene
        if is_alone(a.cells[key]) or a.cells[key]["haystack"] not in others
    }
    differing = {a.cells[key]["haystack"] for key in same_scene - matched}
    bases: dict[Key, _Bases] = {}
    at_chance: set[str] = set()
    for key in sorted(matched, key=lambda key: (str(key[3:]), str(key[2]), key[1])):
        point = a.cells[key]
        scores = _scores(a, b, key)
        pair = scores.maps()
        differences.append(_difference(point, "mAP", *pair))
        base_key = (key[0], BASE_LENGTH_S, None, *key[3:])
        if key == base_key:
            bases[key] = _Bases(pair, chance_mAP(scores.targets))
        elif base_key in matched and point["haystack"] != OWN:
            if base_key not in bases:
                alone = _scores(a, b, base_key)
                bases[base_key] = _Bases(alone.maps(), chance_mAP(alone.targets))
            base = bases[base_key]
            differences.append(_difference(point, "relative", *base.shares(pair, 0.0)))
            names = zip((a.name, b.name), base.at_chance, strict=True)
            at_chance |= {name for name, guesses in names if guesses}
            if not any(base.at_chance):
                differences.append(_difference(point, "adjusted", *base.shares(pair, base.chance)))
    notes = [_alone(len(side.cells) - len(same_scene), name) for side, name in ((a, "A"), (b, "B"))]
    notes += [f"Not compared: {others[name]}." for name in sorted(differing)]
    if differences and all(isnan(each.lo) for each in differences):
        notes.append(ONE_RECORDING)
    else:
        notes += [
            f"{name} does not differ from chance at 10 s: what it keeps in longer scenes is not compared."
            for name in sorted(at_chance)
        ]
    return differences, [note for note in (*notes, seeds_note(a.run, b.run)) if note]


@dataclass(frozen=True)
class _Bases:
    """The mAP of both at 10 s, resampled, and that of random scores."""

    maps: tuple[Resampled, Resampled]
    chance: float

    def shares(self, longer: tuple[Resampled, Resampled], floor: float) -> list[Resampled]:
        """Return what is left of either in a longer scene, above a floor."""
        return [
            paired(lambda m, b: (m - floor) / (b - floor), own, base)
            for own, base in zip(longer, self.maps, strict=True)
        ]

    @cached_property
    def at_chance(self) -> tuple[bool, ...]:
        """Return which of the two do not differ significantly from random scores."""
        return tuple(not each.unit_interval()[0] > self.chance for each in self.maps)


def _alone(count: int, name: str) -> str:
    if not count:
        return ""
    return f"{plural(count, 'cell')} of {name} {'has' if count == 1 else 'have'} no counterpart."


def _scores(a: _Side, b: _Side, key: Key) -> PairedScores:
    return paired_scores(a.run, a.cells[key], b.run, b.cells[key])


def _difference(point: Point, quantity: str, a: Resampled, b: Resampled) -> Difference:
    haystack, snr_db, position = (
        (NO_HAYSTACK, None, None)
        if is_alone(point)
        else (point["haystack"] or NO_HAYSTACK, point["snr_db"], point["position"])
    )
    delta = difference(a, b)
    lo, hi = delta.interval()
    p = delta.p_value()
    return Difference(
        haystack,
        snr_db,
        float(point["length_s"]),
        position,
        point["window_s"],
        pool_of(point),
        quantity,
        *(a.estimate, b.estimate, delta.estimate, lo, hi, p, p),
        effective_position=needle_position(point),
    )


def _corrected(rows: Iterable[Difference], correction: str) -> tuple[Difference, ...]:
    """Correct the p-values of each quantity for the number of its cells."""
    differences = list(rows)
    corrected: dict[int, float] = {}
    for quantity in dict.fromkeys(each.quantity for each in differences):
        places = [i for i, each in enumerate(differences) if each.quantity == quantity]
        p = adjusted([differences[i].p for i in places], correction)
        corrected.update(zip(places, map(float, p), strict=True))
    return tuple(replace(each, p_corrected=corrected[i]) for i, each in enumerate(differences))


def _texts(row: Difference) -> tuple[str, ...]:
    better = "A" if row.difference > 0 else "B"
    difference, low, high = (number_text(x, "+.3f") for x in (row.difference, row.lo, row.hi))
    interval = "" if isnan(row.lo) else f" [{low}, {high}]"  # of one recording there is none
    return (
        row.scene,
        f"{row.a:.3f}",
        f"{row.b:.3f}",
        f"{difference}{interval}",
        p_text(row.p),
        p_text(row.p_corrected),
        better if row.p_corrected < LEVEL and row.quantity != "relative" else "",
    )
