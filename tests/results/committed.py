"""Pages and tables of results/: a sentence is written again from the tables, and must be on its page."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import pandas as pd

from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "results"


def missing(name: str, sentences: Iterable[str]) -> list[str]:
    """Return the sentences that a page does not have."""
    listed = list(sentences)
    assert listed
    return [sentence for sentence in listed if sentence not in page(name)]


@cache
def page(name: str) -> str:
    """Return a page as one line, without emphasis and code marks."""
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return " ".join(re.sub(r"\*\*|`|(?<!\w)\*|\*(?!\w)", "", text).split())


@cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / name)


def cell(name: str, **where: Any) -> Any:
    """Return the one row of a table with these values; None means empty."""
    rows = table(name)
    for column, value in where.items():
        rows = rows[rows[column].isna() if value is None else rows[column] == value]
    assert len(rows) == 1, (where, len(rows))
    return rows.iloc[0]


def records(rows: pd.DataFrame) -> list[Any]:
    """Return a table's rows, their values as attributes."""
    return list(rows.itertuples())


def per_cent(value: float) -> str:
    return f"{100 * value:.0f}"


def bounds(row: Any) -> str:
    return f"[{row.mAP_lo:.3f}, {row.mAP_hi:.3f}]"


def short(value: float, digits: int = 3) -> str:
    """Return .818 for 0.818."""
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def section(name: str, heading: str) -> str:
    text = (RESULTS / name).read_text("utf-8")
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def printed(name: str, heading: str, *begin: str) -> list[str]:
    """Return the fields after the first ones of the one line of a section's table that begins with them."""
    lines = section(name, heading).splitlines()
    (line,) = [each for each in lines if each.startswith(f"| {' | '.join(begin)} |")]
    return [field.strip() for field in line.strip("|").split("|")][len(begin) :]
