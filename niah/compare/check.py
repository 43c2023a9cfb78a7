"""The regression gate: each cell of a run against a reference, within a tolerance.

References: published numbers (the DASS paper's needle in a haystack, `results/published/niah.csv`,
with sources; and the 10 s AudioSet score on a model's card), or another run's `cells.csv`. A
published value's tolerance is its own (rounding, digitising) plus half the width of the measured
bootstrap interval; against another run it is max(0.005, half that width). `niah.compare.check_formats`
writes a result for people and for continuous integration.
"""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.cards import model_cards, published_file
from niah.errors import NiahError
from niah.records.naming import NO_HAYSTACK, Point, length_name, pool_of, scene_name, window_name
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S, axes_of, is_plain, read_csv
from niah.system.markdown_text import plain
from niah.tables.curves import points
from niah.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED_PROTOCOL = "dass-v1"
PUBLISHED_CLIPS = 15_000  # AudioSet's evaluation list has some 20,000, of which many are gone
CARD_SCORE = "audioset_mAP"  # per cent
ROUNDING = "0.05"  # of such a score, which is given to one decimal
RUN_TOLERANCE = 0.005
SAME_CLIPS = 1e-6  # of chance mAP, which the clips' labels alone decide
BELOW = "mAP_below"
WHOLE = (None, "")  # no window, no pooling
HALF_WIDTH_OF = {"mAP": ("mAP_lo", "mAP_hi"), "relative": ("drop_lo", "drop_hi")}
Key = tuple[Any, ...]


@dataclass(frozen=True)
class CheckRow:
    """One comparison; scores in 0..1. `measured` is NaN for a cell that failed."""

    cell: str
    quantity: str  # mAP | relative | mAP_below (the measured mAP must be below the reference)
    measured: float
    reference: float
    tolerance: float
    status: str = "ok"  # of the measured cell: ok | oom | error

    @property
    def ok(self) -> bool:
        """Whether the measured value is within tolerance of the reference (NaN never is)."""
        excess = self.measured - self.reference
        return (excess if self.quantity == BELOW else abs(excess)) <= self.tolerance


@dataclass(frozen=True)
class CheckResult:
    """All comparisons made, and what could not be compared."""

    rows: tuple[CheckRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """False when any comparison is off, or when there was nothing to compare."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def table(self) -> Table:
        """The comparisons as rows of text, those that are off first."""
        header = ("cell", "quantity", "measured", "reference", "tolerance", "")
        ordered = sorted(self.rows, key=lambda row: row.ok)
        return Table(self.verdict(), header, tuple(map(_texts, ordered)))

    def markdown(self) -> str:
        """The verdict in a sentence, the table, and the notes."""
        table = self.table().markdown() if self.rows else self.verdict() + "\n"
        return (
            table + "".join(f"\n- {plain(note)}" for note in self.notes) + "\n" * bool(self.notes)
        )

    def verdict(self) -> str:
        """How many comparisons are off, in a sentence."""
        if not self.rows:
            return "Nothing was compared: no cell of the run has a counterpart in the reference."
        off = sum(not row.ok for row in self.rows)
        return f"{off} of {len(self.rows)} comparisons are off."


def check(run_dir: Path | str, against: str | Path = "published") -> CheckResult:
    """Compare the cells of the run in `run_dir` with the published ones or with another run's.

    `against`: "published", a `cells.csv`, or a run directory. Raises `NiahError` when either cannot
    be read, or when the two runs are of different clips. Metrics are taken as cells.csv has them.
    """
    run = RunDirectory(run_dir)
    cells = run.cells()
    if str(against) == "published":
        return _against_published(cells, published_file())
    if Path(against).is_dir():
        _refuse_other_clips(run, RunDirectory(against))
    return _against_run(cells, _cells_of(Path(against)))


def _refuse_other_clips(run: RunDirectory, other: RunDirectory) -> None:
    """By the clips' checksum, where both runs state it."""
    ids = [each.run_json().get("identity", {}).get("ids_sha256") for each in (run, other)]
    if None not in ids and ids[0] != ids[1]:
        raise NiahError(
            f"{run.path} and {other.path} are of different clips: their scores cannot be compared; "
            "run both on the same list"
        )


def _against_published(cells: "pd.DataFrame", file: Path) -> CheckResult:
    rows_of_paper = _rows_of(file)
    references = [*rows_of_paper, *_card_references({row["model"] for row in rows_of_paper})]
    measured = [
        point
        for point in points(cells)
        if point["protocol"] == PUBLISHED_PROTOCOL and is_plain(point)
    ]
    by_key = {_published_key(point): point for point in reversed(measured)}
    matched = [(by_key.get(_reference_key(reference)), reference) for reference in references]
    rows = [_published_row(point, reference) for point, reference in matched if point is not None]
    if not rows:
        models = ", ".join(sorted({reference["model"] for reference in references}))
        note = (
            f"{file.name} has {models}, all {PUBLISHED_PROTOCOL}: none matches a cell of the run."
        )
        return CheckResult((), (note,))
    clips = int(cells["n_clips"].max())
    note = (
        f"The published scores are of AudioSet's evaluation clips (some 20,000); these {clips} clips "
        f"of {measured[0]['needles']} are others, so that a difference need not be the model's."
    )
    return CheckResult(tuple(rows), (note,) if clips < PUBLISHED_CLIPS else ())


def _rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _card_references(told: Collection[str]) -> list[dict[str, str]]:
    """10 s scores from cards, as rows like niah.csv's: of models that are not `told` there and whose
    card has one checkpoint, so that it is clear which the score is of."""
    alone = {"haystack": "", "snr_db": "", "position": "", "length_s": f"{BASE_LENGTH_S}"}
    return [
        {**alone, "model": card.name, "metric": "mAP", "value": f"{score}", "tolerance": ROUNDING}
        for card in model_cards()
        if (score := card.published.get(CARD_SCORE)) is not None
        and len(card.weights) == 1
        and card.name not in told
    ]


def _published_row(point: Point, reference: Mapping[str, str]) -> CheckRow:
    quantity = reference["metric"]
    column = quantity.removesuffix("_below")
    scale = 0.01 if column == "mAP" else 1.0  # published mAP is in per cent
    tolerance = scale * float(reference["tolerance"]) + _half_width(point, quantity)
    return _row(point, quantity, scale * float(reference["value"]), tolerance)


def _against_run(cells: "pd.DataFrame", others: "pd.DataFrame") -> CheckResult:
    measured = {_run_key(point): point for point in reversed(points(cells))}
    rows, absent = [], 0
    for reference in points(others):
        point = measured.get(_run_key(reference))
        if point is None:
            absent += 1
            continue
        _refuse_other_chance(point, reference)
        for quantity in HALF_WIDTH_OF:
            if reference[quantity] is not None:
                tolerance = max(RUN_TOLERANCE, _half_width(point, quantity))
                rows.append(_row(point, quantity, reference[quantity], tolerance))
    note = f"{absent} of the reference's {len(others)} cells are not in the run."
    return CheckResult(tuple(rows), (note,) if absent else ())


def _refuse_other_chance(point: Point, reference: Point) -> None:
    levels = (point["chance_mAP"], reference["chance_mAP"])
    if None not in levels and abs(levels[0] - levels[1]) > SAME_CLIPS:
        raise NiahError(
            f"the run and the reference are of different clips of {point['needles']} (chance is "
            f"{levels[0]:.6f} and {levels[1]:.6f}): their scores cannot be compared; run both on "
            "the same list"
        )


def _cells_of(path: Path) -> "pd.DataFrame":
    if path.is_dir():
        return RunDirectory(path).cells()
    if not path.is_file():
        raise NiahError(f"{path} is no cells.csv and no run directory: give 'published' or these")
    return read_csv(path)


def _published_key(point: Point) -> Key:
    scene = (point["haystack"], point["snr_db"], point["position"])
    window = (point["window_s"], pool_of(point))
    return _key(point["model"], point["length_s"], scene, window)


def _reference_key(reference: Mapping[str, str]) -> Key:
    snr_db, position, length_s = (
        float(reference[name]) if reference[name] else None
        for name in ("snr_db", "position", "length_s")
    )
    return _key(reference["model"], length_s, (reference["haystack"], snr_db, position), WHOLE)


def _run_key(point: Point) -> Key:
    clips = (point["protocol"], point["needles"], point["n_clips"])
    return (*clips, *_published_key(point), axes_of(point))


def _key(model: str, length_s: float | None, scene: Key, window: Key) -> Key:
    # at 10 s there is the needle alone: its cell counts for every haystack and position
    return (model, length_s, None if length_s == BASE_LENGTH_S else scene, window)


def _row(point: Point, quantity: str, reference: float, tolerance: float) -> CheckRow:
    measured = point[quantity.removesuffix("_below")]
    measured = nan if measured is None else float(measured)
    return CheckRow(_name(point), quantity, measured, float(reference), tolerance, _status(point))


def _half_width(point: Point, quantity: str) -> float:
    low, high = (point[name] for name in HALF_WIDTH_OF[quantity.removesuffix("_below")])
    return 0.0 if low is None or high is None else float(high - low) / 2


def _status(point: Point) -> str:
    return str(point["status"])


def _name(point: Point) -> str:
    """ "dass-small, babble, 10 dB, at 0.5, 50 s", "dass-small (10 s windows), 10 s"."""
    window = window_name(point["window_s"], pool_of(point))
    model = point["model"] if window == "whole" else f"{point['model']} ({window} windows)"
    if point["length_s"] == BASE_LENGTH_S:
        return f"{model}, {length_name(BASE_LENGTH_S)}"
    scene = scene_name(point["haystack"] or NO_HAYSTACK, point["snr_db"])
    position = "" if point["position"] is None else f", at {point['position']:g}"
    return f"{model}, {scene}{position}, {length_name(point['length_s'])}"


def _texts(row: CheckRow) -> tuple[str, ...]:
    measured = row.status if row.measured != row.measured else f"{row.measured:.4f}"
    verdict = "ok" if row.ok else "OFF"
    below = "< " if row.quantity == BELOW else ""
    reference, tolerance = f"{below}{row.reference:.4f}", f"{row.tolerance:.4f}"
    return (row.cell, row.quantity, measured, reference, tolerance, verdict)
