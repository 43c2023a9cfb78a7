"""CSV files of scores and contrasts, and the table of differences that their pages share."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from niah.tables.table import Table

LEVEL = 0.05


def differences_table(titles: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Table:
    """Return the table of rows with quantity, difference, half, p and p_holm, which were corrected together."""
    body = []
    for title, row in zip(titles, rows, strict=True):
        corrected = float(row["p_holm"])
        p_values = p_text(float(row["p"])), p_text(corrected), "yes" if corrected < LEVEL else ""
        body.append((title, row["quantity"], plus_minus(row, "difference", "+"), *p_values))
    caption = (
        f"Differences ± half the 95 % interval (not corrected), p, and Holm's over all {len(rows)}"
    )
    head = ("difference", "quantity", "value", "p", "p (Holm)", f"holds at {LEVEL:g}")
    return Table(caption, head, tuple(body))


def p_text(p: float) -> str:
    """Format a p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plus_minus(row: Mapping[str, str], column: str, sign: str = "") -> str:
    """Format a value with half its interval; `sign` "+" also shows a plus."""
    return f"{float(row[column]):{sign}.3f} ± {float(row['half']):.3f}"


def read_csv(file: Path) -> list[dict[str, str]]:
    """Read a table."""
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_csv(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of the same columns."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
