"""CSV files of scores and contrasts, and the columns of p-values that their tables share."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

LEVEL = 0.05
P_HEADER = ("p", "p (Holm)", f"holds at {LEVEL:g}")


def p_columns(row: Mapping[str, str]) -> tuple[str, str, str]:
    """Return a contrast's p, p after Holm's correction, and whether it holds, as texts."""
    corrected = float(row["p_holm"])
    return p_text(float(row["p"])), p_text(corrected), "yes" if corrected < LEVEL else ""


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
