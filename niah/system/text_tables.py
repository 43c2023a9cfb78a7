"""Tables as people save them: commas, semicolons, tabs or bars between cells, quotes, blanks, and any line ends."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from niah.errors import NiahError
from niah.system.text_files import MOST_BYTES, read_text

_MOST_SHARED = 10_000
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_COMMENTS = re.compile(
    r"(?:[ ]*(?:#(?![,;|])[^\t\n]*)?\n)+"
)  # before a header; "#" may be a column
_EXCEL = re.compile(r'\s*"?sep=(.)"?[,;\t|]*\n')  # a first line that tells Excel the delimiter


@dataclass(frozen=True)
class TextTable:
    """A table's header and rows, all cells without blanks around them.

    `lines` are the rows' line numbers in the file, for messages. `notes` has a sentence where the cells are not parted
    by commas.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    notes: tuple[str, ...]

    def where(self, index: int) -> str:
        """Return the place of a row, for messages."""
        return f"{self.path}, line {self.lines[index]}"


def read_own_table(path: Path, known: Collection[str]) -> TextTable:
    """Read a table that this package wrote, cell for cell; one that another program saved again as `read_table` does.

    Args:
        path: the file.
        known: columns that the package writes; a header with any other is another program's.

    Raises:
        NiahError: as `read_table`.
    """
    try:
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                reader = csv.reader(stream)
                header = tuple(next(reader, []))
                rows = [(reader.line_num, tuple(cells)) for cells in reader]
            is_own = header and set(header) <= set(known) and len(set(header)) == len(header)
            if is_own and all(len(cells) == len(header) for _, cells in rows):
                lines, cells = tuple(n for n, _ in rows), tuple(c for _, c in rows)
                return TextTable(path, header, cells, lines, ())
    except (OSError, ValueError, csv.Error):
        pass  # which the reader of any table says
    return read_table(path)


def read_table(
    path: Path, columns: Sequence[str] = (), other_names: Mapping[str, str] = MappingProxyType({})
) -> TextTable:
    """Read a table with a header.

    Args:
        path: the file: UTF-8, with or without a byte order mark.
        columns: columns that it must have.
        other_names: names that stand for a column where the header lacks its own: {other: own}.

    Raises:
        NiahError: not text, a column missing or twice, or a row of another length than the header.
    """
    text, delimiter = table_text(path)
    lines = _split(text, delimiter, path)
    header = tuple(next(lines, (0, []))[1])
    if not header:
        raise NiahError(f"{path}: has no header")
    header = tuple(own_names(header, other_names))
    missing = [column for column in columns if column not in header]
    if missing:
        raise NiahError(
            f"{path}: lacks the column '{missing[0]}'; its header is '{','.join(header)}'"
        )
    repeated = [column for column in header if column and header.count(column) > 1]
    if repeated:
        raise NiahError(f"{path}: has two columns '{repeated[0]}'")
    numbers, rows = [], []
    seen: list[dict[str, str]] = [{} for _ in header]
    for number, cells in lines:
        if len(cells) != len(header):
            raise NiahError(
                f"{path}, line {number}: has {len(cells)} cells where the header has {len(header)}"
            )
        numbers.append(number)
        rows.append(tuple(map(_shared, cells, seen)))
    return TextTable(path, header, tuple(rows), tuple(numbers), delimiter_note(path, delimiter))


def own_names(header: Sequence[str], other_names: Mapping[str, str]) -> list[str]:
    """Return a header in which other names stand for those that it lacks.

    Args:
        header: names of columns.
        other_names: {other: own}.
    """
    names = list(header)
    for other, own in other_names.items():
        if own not in names:
            names = [own if name == other else name for name in names]
    return names


def _shared(cell: str, seen: dict[str, str]) -> str:
    """Return the one text of equal cells of a column with few different ones, as labels are."""
    return seen.setdefault(cell, cell) if len(seen) < _MOST_SHARED else seen.get(cell, cell)


def table_text(path: Path) -> tuple[str, str]:
    """Return a table's text and its delimiter; comments (#) before the header and Excel's `sep=;` are left empty.

    Args:
        path: the file.

    Raises:
        NiahError: as `read_text`, or it has nothing but these lines.
    """
    text = read_text(path)
    stated = _EXCEL.match(text)
    if stated is not None:
        text = "\n" + text[stated.end() :]
    if comments := _COMMENTS.match(text):
        text = "\n" * comments[0].count("\n") + text[comments.end() :]
    if not text.strip():
        raise NiahError(f"{path}: has no header")
    if stated is None:
        return text, delimiter_of(text)
    return text, stated[1] if stated[1] in _DELIMITERS else delimiter_of(text)


def delimiter_of(text: str) -> str:
    """Return what parts the cells of the first line that is not empty: what is most frequent outside quotes."""
    first = next(line for line in text.split("\n") if line.strip())
    outside = "".join(first.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def delimiter_note(path: Path, delimiter: str) -> tuple[str, ...]:
    """Return a sentence on a delimiter other than the comma.

    Args:
        path: the table.
        delimiter: as `delimiter_of` returns it.
    """
    if delimiter == ",":
        return ()
    return (f"{path.name} is read with {_DELIMITERS[delimiter]} between cells",)


def _lines(text: str) -> Iterator[str]:
    """Iterate over lines with their ends; a StringIO would take four bytes a letter."""
    start = 0
    while end := text.find("\n", start) + 1:
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _split(text: str, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Iterate over the lines that have cells, with their numbers."""
    reader = csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise NiahError(f"{path}, line {reader.line_num}: is not CSV ({error})") from error
