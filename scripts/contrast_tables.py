"""CSV files of scores and contrasts, and the table of differences that their pages share."""

import csv
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from niah.tables.table import Table

LEVEL = 0.05
AT_CHANCE = "at chance"


def differences_table(titles: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Table:
    """Return the table of rows with quantity, difference, half, p and p_holm, which were corrected together."""
    body = []
    for title, row in zip(titles, rows, strict=True):
        corrected = float(row["p_holm"])
        p_values = p_text(float(row["p"])), p_text(corrected), "yes" if corrected < LEVEL else ""
        body.append((title, row["quantity"], plus_minus(row, "difference", "+"), *p_values))
    tested = sum(not isnan(float(row["p"])) for row in rows)
    caption = (
        f"Differences ± half the 95 % interval (not corrected), p, and Holm's over all {tested}"
    )
    head = ("difference", "quantity", "value", "p", "p (Holm)", f"holds at {LEVEL:g}")
    return Table(caption, head, tuple(body))


def p_text(p: float) -> str:
    """Format a p-value; "" for NaN, of a difference that is not defined."""
    if isnan(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plus_minus(row: Mapping[str, str], column: str, sign: str = "") -> str:
    """Format a value of a table with half its interval; `sign` "+" also shows a plus."""
    return with_half(float(row[column]), float(row["half"]), sign)


def with_half(value: float, half: float, sign: str = "") -> str:
    """Format a value with half its interval; NaN is a share of a score at chance, of which nothing can be kept."""
    return AT_CHANCE if isnan(value) else f"{value:{sign}.3f} ± {half:.3f}"


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
