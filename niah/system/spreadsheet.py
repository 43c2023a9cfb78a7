"""Tables as CSV, for people: the one writer, which lets no text run as a formula in a spreadsheet.

A text that begins (after white space) with = + - @, one of their wide forms, a tab or a carriage return gets an
apostrophe in front; so does one with apostrophes before such a beginning, or it would read as a guarded one.
`unguarded` takes it away again, so that names read back are the names that were written. Numbers are as they are.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_SPACE = r"\s\x00-\x20\u00ad\u180e\u200b-\u200f\u2060\ufeff"  # seen as nothing
_SIGNS = r"=+\-@\t\r\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"
_FORMULA = re.compile(f"'*[{_SPACE}]*[{_SIGNS}]")
_QUOTED = re.compile(r'[",\r\n]')


def text(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a CSV; None and NaN are empty fields, numbers are written in full.

    Args:
        header: names of the columns.
        rows: a line each.
    """
    lines = (",".join(map(_field, row)) for row in (header, *rows))
    return "".join(f"{line}\n" for line in lines)


def rows_text(
    kind: type[Any], rows: Iterable[object], before: Mapping[str, object] | None = None
) -> str:
    """Return a CSV of instances of the dataclass `kind`: a column a field, numbers in full.

    Args:
        kind: the dataclass, which names the columns even when there is no row.
        rows: its instances.
        before: further columns by name, in front and the same in every row.
    """
    first = dict(before or {})
    names = [each.name for each in fields(kind)]
    lines = ((*first.values(), *(getattr(row, name) for name in names)) for row in rows)
    return text((*first, *names), lines)


def frame_text(frame: "pd.DataFrame") -> str:
    """Return a data frame as CSV, without its index."""
    columns = [_plain(frame[name]) for name in frame.columns]
    return text(map(str, frame.columns), zip(*columns, strict=True))


def guarded(value: str) -> str:
    """`value`, with an apostrophe in front where a spreadsheet might take it for a formula."""
    return f"'{value}" if _FORMULA.match(value) else value


def unguarded(value: str) -> str:
    """Return the text that was guarded as `value`."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value[1:]) else value


def _field(value: object) -> str:
    if value is None or value != value:
        return ""
    if not isinstance(value, str):
        return str(value)
    text = guarded(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _plain(column: "pd.Series") -> list[object]:
    """Values of one column; what is missing, in whichever of pandas' ways, as None."""
    missing = column.isna()
    return [
        None if gone else value for gone, value in zip(missing, column.astype(object), strict=True)
    ]
