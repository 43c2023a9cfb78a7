"""The table of a run's cells: rows as a data frame, and `cells.csv` as it is read back, from other programs too."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from niah.errors import NiahError
from niah.records.schema import CELL_COLUMNS, COLUMNS, Row, Value, validate_row
from niah.system import spreadsheet
from niah.system.text_tables import read_own_table

if TYPE_CHECKING:
    import pandas as pd

ORDER = ("model", "haystack", "snr_db", "position", "length_s", "window_s", "seed", "cell")
_NAMES = ("cell", "model", "protocol", "needles", "haystack")  # of which NA may be one
_PANDAS = {str: "string", int: "Int64", float: "float64"}


def table(rows: Iterable[Mapping[str, Value]]) -> "pd.DataFrame":
    """Return rows as a DataFrame in the stable order model, haystack, SNR, position, length.

    Columns are of type string, Int64 (nullable) and float64; unknown values are missing (NaN). Optional columns are
    present when a row has a value in them.
    """
    import pandas as pd

    listed = [dict(row) for row in rows]
    used = {name for row in listed for name, value in row.items() if value is not None}
    columns = {name: kind for name, kind in COLUMNS.items() if name in CELL_COLUMNS or name in used}
    # as objects: a column of numbers and gaps would go by way of floats, which hold 53 bits
    frame = pd.DataFrame(listed, columns=list(columns), dtype=object)
    frame = frame.astype({name: _PANDAS[kind] for name, kind in columns.items()})
    return frame.sort_values(list(ORDER), na_position="first", ignore_index=True)


def read_csv(file: Path) -> "pd.DataFrame":
    """Read a `cells.csv` into the form of `table`; also as a spreadsheet or pandas saves it again.

    Raises:
        NiahError: a file that cannot be read, a row that `validate_row` refuses, or a cell twice with other values.
    """
    try:
        read = read_own_table(file, COLUMNS)
    except NiahError as error:
        reason = str(error).removeprefix(str(file)).lstrip(",: ")
        raise NiahError(f"{file} cannot be read as a cells.csv: {reason}") from error
    if missing := [name for name in CELL_COLUMNS if name not in read.header]:
        raise NiahError(
            f"{file} cannot be read as a cells.csv: it lacks the columns {', '.join(missing)}"
        )
    rows: dict[Value, tuple[int, Row]] = {}  # by cell, with its line
    for number, cells in zip(read.lines, read.rows, strict=True):
        named = {name: cell for name, cell in zip(read.header, cells, strict=True) if name}
        try:
            row = validate_row(_parsed(named))
            line, first = rows.setdefault(row["cell"], (number, row))
            if row != first:
                raise NiahError(f"cell {row['cell']} is in line {line} too, with other values")
        except (ValueError, OverflowError, NiahError) as error:
            raise NiahError(
                f"{file} cannot be read as a cells.csv: line {number}: {error}"
            ) from error
    return table(row for _, row in rows.values())


def _parsed(row: Mapping[str, str]) -> Row:
    """Convert texts to their columns' types. Whole numbers may have a point: other tools write 6 as 6.0.

    R writes NA for what is missing.
    """
    row = {name: "" if text == "NA" and name not in _NAMES else text for name, text in row.items()}
    kinds = {name: COLUMNS.get(name, str) for name in row}
    numbers = {
        name: _number(name, text)
        for name, text in row.items()
        if text and kinds[name] in (int, float)
    }
    whole = {
        # beyond 2^53 a float is not exact
        name: int(row[name]) if row[name].isdigit() else int(number)
        for name, number in numbers.items()
        if kinds[name] is int and number.is_integer()
    }
    texts = {name: spreadsheet.unguarded(text) if text else None for name, text in row.items()}
    return {**texts, **numbers, **whole}


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        point = "; write a decimal point" if "," in text else ""
        raise NiahError(f"{name} of a cell row is no number but {text!r:.60}{point}") from None
