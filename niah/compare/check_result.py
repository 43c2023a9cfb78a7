"""The result of a gate: one row a comparison, its verdict, and the table of them."""

from dataclasses import dataclass
from math import isnan, nan
from typing import Literal

from niah.system.markdown_text import plain
from niah.system.number_text import number_text
from niah.system.plurals import plural
from niah.tables.table import Table

LEVEL = 0.05  # a difference with a corrected p-value below is beyond chance
ROUNDING = 1e-9  # 0.605 - 0.6 is more than 0.005 in floating point
BELOW = "mAP_below"
Verdict = Literal["ok", "OFF", "missing", "skipped"]
ORDER: tuple[Verdict, ...] = ("OFF", "missing", "ok", "skipped")


@dataclass(frozen=True)
class CheckRow:
    """One comparison; scores in 0..1.

    Attributes:
        cell: its name in words.
        quantity: mAP, relative, or mAP_below (the measured mAP must be below the reference).
        measured: NaN for a cell that failed or is missing.
        reference: what it is compared with.
        tolerance: a difference up to this size passes.
        status: of the measured cell: ok, oom, error or missing.
        lo, hi: 95 % interval of measured - reference; NaN where they are not paired.
        p, p_corrected: of "there is no difference", by itself and for all rows (Holm); NaN where not paired.
        one_sided: only a loss counts.
        allow_missing: a missing cell is skipped instead of failed.
    """

    cell: str
    quantity: str
    measured: float
    reference: float
    tolerance: float
    status: str = "ok"
    lo: float = nan
    hi: float = nan
    p: float = nan
    p_corrected: float = nan
    one_sided: bool = False
    allow_missing: bool = False

    @property
    def difference(self) -> float:
        """Return measured - reference."""
        return self.measured - self.reference

    @property
    def verdict(self) -> Verdict:
        """Return "OFF" beyond the tolerance (if paired, and chance); "missing" or "skipped" without a cell; or "ok"."""
        if self.status == "missing":
            return "skipped" if self.allow_missing else "missing"
        if isnan(self.measured):
            return "OFF"
        most = self.tolerance + ROUNDING
        if self.quantity == BELOW:
            beyond = self.difference > most
        elif self.one_sided:
            beyond = -self.difference > most
        else:
            beyond = abs(self.difference) > most
        by_chance = not isnan(self.p_corrected) and self.p_corrected >= LEVEL
        return "OFF" if beyond and not by_chance else "ok"

    @property
    def ok(self) -> bool:
        """Return whether the row passes."""
        return self.verdict in ("ok", "skipped")

    @property
    def measured_text(self) -> str:
        """Return the measured value, or the status of a cell without one."""
        status = "not scored" if self.status == "ok" else self.status
        return status if isnan(self.measured) else f"{self.measured:.4f}"


@dataclass(frozen=True)
class CheckResult:
    """All comparisons, how they were made, and notes for the reader."""

    rows: tuple[CheckRow, ...]
    notes: tuple[str, ...] = ()
    how: str = ""

    @property
    def ok(self) -> bool:
        """Return False when any row fails, or when nothing was compared."""
        return self.n_compared > 0 and all(row.ok for row in self.rows)

    @property
    def n_compared(self) -> int:
        """Return the number of rows with a cell on both sides."""
        return sum(row.status != "missing" for row in self.rows)

    def table(self) -> Table:
        """Return the rows as texts, those that fail first."""
        paired = any(not isnan(row.p_corrected) for row in self.rows)
        header = (
            *("cell", "quantity", "measured", "reference"),
            *(("difference [95 %]", "p (Holm)") if paired else ()),
            *("tolerance", ""),
        )
        ordered = sorted(self.rows, key=lambda row: ORDER.index(row.verdict))
        return Table(self.verdict(), header, tuple(_texts(row, paired=paired) for row in ordered))

    def markdown(self) -> str:
        """Return the verdict in a sentence, the table, and the notes."""
        table = self.table().markdown() if self.rows else self.verdict() + "\n"
        notes = self.all_notes
        return table + "".join(f"\n- {plain(note)}" for note in notes) + "\n" * bool(notes)

    @property
    def all_notes(self) -> list[str]:
        """Return what follows the table."""
        return [note for note in (self.how, *self.notes) if note]

    def verdict(self) -> str:
        """Return the counts in a sentence: "2 of 12 comparisons are off; 1 cell of the reference is missing"."""
        missing = sum(row.verdict == "missing" for row in self.rows)
        skipped = sum(row.verdict == "skipped" for row in self.rows)
        if not self.n_compared:
            return "Nothing was compared: no cell of the run has a counterpart in the reference."
        off = sum(row.verdict == "OFF" for row in self.rows)
        parts = [
            f"{off} of {plural(self.n_compared, 'comparison')} {'is' if 1 in (off, self.n_compared) else 'are'} off"
        ]
        if missing:
            parts.append(
                f"{plural(missing, 'cell')} of the reference {'is' if missing == 1 else 'are'} missing"
            )
        if skipped:
            parts.append(
                f"{plural(skipped, 'missing cell')} of the reference {'was' if skipped == 1 else 'were'} skipped"
            )
        return "; ".join(parts) + "."


def p_text(value: float) -> str:
    """Return a p-value with four decimals; "" for NaN."""
    return "" if isnan(value) else "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _texts(row: CheckRow, *, paired: bool) -> tuple[str, ...]:
    below = "< " if row.quantity == BELOW else ""
    difference = ""
    if not isnan(row.difference):
        difference = number_text(row.difference, "+.4f")
        if not isnan(row.lo):
            difference += f" [{number_text(row.lo, '+.4f')}, {number_text(row.hi, '+.4f')}]"
    return (
        row.cell,
        row.quantity,
        row.measured_text,
        f"{below}{row.reference:.4f}",
        *((difference, p_text(row.p_corrected)) if paired else ()),
        f"{row.tolerance:.4f}",
        row.verdict,
    )
