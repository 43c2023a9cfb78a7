"""Is A better than B? Two models or checkpoints on the same clips, cell by cell, from stored scores.

A cell of A is matched with B's of the same haystack, SNR, length, position, window and pooling. For
each, on the same resampled lists of clips (paired):

    mAP        mAP_A - mAP_B
    relative   mAP_A / mAP_A(10 s)  -  mAP_B / mAP_B(10 s)     (who loses less; beyond 10 s only)

with a 95 % interval and a two-sided p-value of "no difference", both from the standard error of
`niah.metrics.resampling`. p-values are corrected for the number of cells compared, mAP and
relative each by themselves (`niah.metrics.multiple_testing`); intervals are of one cell each.

Runs of other clips, protocol or level mode are refused: a difference would be the clips'.
"""

from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from niah.errors import NiahError, nearest
from niah.metrics.multiple_testing import adjusted
from niah.metrics.resampling import Resampled, paired, resample
from niah.records.naming import (
    NO_HAYSTACK,
    Point,
    axes_name,
    length_name,
    pool_of,
    scene_name,
    window_name,
)
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.records.scores import ClipScores
from niah.system import spreadsheet
from niah.system.folders import numbered
from niah.system.markdown_text import plain
from niah.tables.curves import points
from niah.tables.table import Table

LEVEL = 0.05
SAME_RUN = ("protocol", "level", "ids_sha256", "labels")
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Difference:
    """One comparison of one cell; scores in 0..1, `p` as it is and corrected."""

    haystack: str
    snr_db: float | None
    length_s: float
    position: float | None
    window_s: float | None
    pool: str
    quantity: str  # mAP | relative
    a: float
    b: float
    difference: float
    lo: float
    hi: float
    p: float
    p_corrected: float

    @property
    def scene(self) -> str:
        """ "babble, 10 dB, at 0.5, 50 s, windows of 10 s"."""
        if self.length_s == BASE_LENGTH_S:
            parts = [length_name(self.length_s)]
        else:
            at = [] if self.position is None else [f"at {self.position:g}"]
            parts = [scene_name(self.haystack, self.snr_db), *at, length_name(self.length_s)]
        window = window_name(self.window_s, self.pool)
        return ", ".join([*parts, *([] if window == "whole" else [f"windows of {window}"])])


@dataclass(frozen=True)
class Comparison:
    """`a` and `b` in words, every difference, how p was corrected, and what was left out."""

    a: str
    b: str
    correction: str
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    def table(self, quantity: str) -> Table:
        """The differences of one quantity as texts."""
        found = [each for each in self.differences if each.quantity == quantity]
        sure = sum(each.p_corrected < LEVEL for each in found)
        what = {"mAP": "mAP", "relative": "Share of the own 10 s score"}[quantity]
        corrected = "uncorrected" if self.correction == "none" else f"corrected ({self.correction})"
        caption = (
            f"{what}: A = {self.a}, B = {self.b}; {sure} of {len(found)} differences are beyond "
            f"chance at {LEVEL:g}, {corrected}"
        )
        header = ("cell", "A", "B", "A - B [95 %]", "p", f"p {corrected}", "")
        return Table(caption, header, tuple(map(_texts, found)))

    def markdown(self) -> str:
        """Both tables and the notes."""
        quantities = dict.fromkeys(each.quantity for each in self.differences)
        parts = [self.table(quantity).markdown() for quantity in quantities]
        return "\n".join([*parts, *(f"- {plain(note)}" for note in self.notes)]).rstrip() + "\n"

    def csv(self) -> str:
        """One row a difference, numbers in full."""
        header = ("model_a", "model_b", *(f.name for f in fields(Difference)), "correction")
        rows = ((self.a, self.b, *astuple(each), self.correction) for each in self.differences)
        return spreadsheet.text(header, rows)


def compare(
    a: Path | str,
    b: Path | str | None = None,
    *,
    models: tuple[str, ...] = (),
    correction: str = "holm",
) -> Comparison:
    """Compare the run in `a` with that in `b`; or, without `b`, two models of one run.

    `models`: which (NAME, or NAME@SHA256... of its weights); one for both runs, or A's and B's;
    needed where a run has several. Raises `NiahError` when it is not clear what to compare, when
    the clips, protocol or level differ, when scores are missing, or when no cell matches.
    """
    run_a = RunDirectory(a)
    run_b = run_a if b is None else RunDirectory(b)
    _refuse_other_runs(run_a, run_b)
    names = _asked(models, one_run=b is None)
    side_a, side_b = _Side(run_a, names[0]), _Side(run_b, names[1])
    adjusted([], correction)  # an unknown one is told before the work
    found, notes = _differences(side_a, side_b)
    if not found:
        raise NiahError(f"no cell of {side_a.name} has a counterpart of {side_b.name}")
    label_a, label_b = side_a.name, side_b.name
    if label_a == label_b:
        places = numbered(side.run.path.resolve().name for side in (side_a, side_b))
        label_a, label_b = (f"{label_a} in {place}" for place in places)
    return Comparison(label_a, label_b, correction, _corrected(found, correction), tuple(notes))


def _refuse_other_runs(a: RunDirectory, b: RunDirectory) -> None:
    one, other = (run.run_json().get("identity", {}) for run in (a, b))
    for name in SAME_RUN:
        if name in one and name in other and one[name] != other[name]:
            what = "clips" if name == "ids_sha256" else name
            raise NiahError(
                f"{a.path} and {b.path} differ in {what} ({str(one[name])[:20]} and "
                f"{str(other[name])[:20]}): their scores cannot be compared"
            )


def _asked(models: tuple[str, ...], *, one_run: bool) -> tuple[str | None, str | None]:
    if len(models) > 2 or (one_run and len(models) != 2):
        raise NiahError(
            "give two runs, or one run and two models: `niah compare DIR --model X --model Y`"
        )
    padded = (*models, *models, None, None)
    return padded[0], padded[1]


class _Side:
    """One model of one run: its cells by what must match, resampled when asked for."""

    def __init__(self, run: RunDirectory, asked: str | None) -> None:
        self.run = run
        scored = [p for p in points(run.cells()) if p["status"] == "ok" and p["mAP"] is not None]
        scored = [p for p in scored if not axes_name(p)]  # whole clips once, at the run's level
        if not scored:
            raise NiahError(f"{run.path} has no scored cell: let `niah run` finish one")
        known = sorted({_name(point) for point in scored})
        chosen = [name for name in known if asked is None or name.startswith(f"{asked}@")]
        chosen = chosen or [name for name in known if asked and name.startswith(asked)]
        if len(chosen) != 1:
            names = ", ".join(short_name(name) for name in known)
            hint = nearest(asked, [name.partition("@")[0] for name in known]) if asked else ""
            wrong = (
                f"has no model '{asked}'.{hint}" if asked and not chosen else "has several models"
            )
            raise NiahError(f"{run.path} {wrong} ({names}): say which with --model")
        self.name = chosen[0].partition("@")[0]
        if sum(name.startswith(f"{self.name}@") for name in known) > 1:
            self.name = short_name(chosen[0])
        own = [point for point in scored if _name(point) == chosen[0]]
        self.cells = {_key(point): point for point in reversed(own)}

    def scores(self, point: Point) -> ClipScores:
        return self.run.read_scores(point["cell"])


def _name(point: Point) -> str:
    return f"{point['model']}@{point['checkpoint_sha256'] or ''}"


def short_name(name: str) -> str:
    """ "dass-small@4a3a4fb7" of the name with the whole checksum."""
    model, _, sha = name.partition("@")
    return f"{model}@{sha[:8]}"


def _key(point: Point) -> Key:
    length = float(point["length_s"])
    scene = (point["haystack"] or NO_HAYSTACK, point["snr_db"], point["position"])
    how = (point["window_s"], pool_of(point), point["seed"])
    return (length, None if length == BASE_LENGTH_S else scene, *how)


def _differences(a: _Side, b: _Side) -> tuple[list[Difference], list[str]]:
    found: list[Difference] = []
    matched = a.cells.keys() & b.cells.keys()
    bases: dict[Key, tuple[Resampled, Resampled]] = {}
    for key in sorted(matched, key=lambda key: (str(key[2:]), str(key[1]), key[0])):
        pair = _resampled(a, b, key)
        found.append(_difference(key, "mAP", *pair))
        base_key = (BASE_LENGTH_S, None, *key[2:])
        if key == base_key:
            bases[key] = pair
        elif base_key in a.cells and base_key in b.cells:
            if base_key not in bases:
                bases[base_key] = _resampled(a, b, base_key)
            shares = [
                paired(lambda m, n: m / n, own, base)
                for own, base in zip(pair, bases[base_key], strict=True)
            ]
            found.append(_difference(key, "relative", *shares))
    alone = [len(side.cells) - len(matched) for side in (a, b)]
    counts = [(count, name) for count, name in zip(alone, "AB", strict=True) if count]
    return found, [f"{count} cells of {name} have no counterpart." for count, name in counts]


def _resampled(a: _Side, b: _Side, key: Key) -> tuple[Resampled, Resampled]:
    """Both sides' mAP of a cell on the same draws."""
    one, other = a.scores(a.cells[key]), b.scores(b.cells[key])
    if (one.ids, one.labels, one.classes) != (other.ids, other.labels, other.classes):
        raise NiahError(
            f"cell {a.cells[key]['cell']} in {a.run.path} and {b.cells[key]['cell']} in "
            f"{b.run.path} are of different clips, labels or classes: they cannot be compared"
        )
    left, right = resample(one.targets, [one.logits, other.logits])
    return left, right


def _difference(key: Key, quantity: str, a: Resampled, b: Resampled) -> Difference:
    length, scene, window_s, pool, _ = key
    haystack, snr_db, position = scene or (NO_HAYSTACK, None, None)
    delta = paired(lambda x, y: x - y, a, b)
    place = (haystack, snr_db, length, position, window_s, pool)
    values = (a.estimate, b.estimate, delta.estimate, *delta.interval())
    return Difference(*place, quantity, *values, delta.p_value(), delta.p_value())


def _corrected(found: list[Difference], correction: str) -> tuple[Difference, ...]:
    """Each quantity's p-values corrected for how many there are of it."""
    corrected: dict[int, float] = {}
    for quantity in dict.fromkeys(each.quantity for each in found):
        places = [i for i, each in enumerate(found) if each.quantity == quantity]
        p = adjusted([found[i].p for i in places], correction)
        corrected.update(zip(places, map(float, p), strict=True))
    return tuple(replace(each, p_corrected=corrected[i]) for i, each in enumerate(found))


def _texts(of: Difference) -> tuple[str, ...]:
    better = "A" if of.difference > 0 else "B"
    return (
        of.scene,
        f"{of.a:.3f}",
        f"{of.b:.3f}",
        f"{of.difference:+.3f} [{of.lo:+.3f}, {of.hi:+.3f}]",
        _p(of.p),
        _p(of.p_corrected),
        better if of.p_corrected < LEVEL else "",
    )


def _p(value: float) -> str:
    return "" if value != value else "< 0.0001" if value < 1e-4 else f"{value:.4f}"
