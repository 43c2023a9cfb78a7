"""Large CSV files of paths and labels, read by column; `niah.needles.readers.path_label_csv` says what they mean.

A plain table of two million clips opens in seconds. One that is not plain (quotes, other delimiters, a row a label) or
not right is left to the reader of rows, which knows every way of writing a table and names the line of a mistake.
"""

from pathlib import Path

from niah.errors import NiahError
from niah.needles.readers import manifest
from niah.needles.readers.path_label_csv import LICENCE_COLUMNS
from niah.needles.readers.rows import NeedleRows, Request

LEAST_BYTES = 8 << 20  # smaller tables open in a second either way
_COLUMNS = {manifest.PATH, "labels", "label", "group", "split", "fold", *LICENCE_COLUMNS}


def read(path: Path, request: Request) -> NeedleRows | None:
    """Read the clips of a large, plain table; None where it is to be read row by row.

    Args:
        path: the file.
        request: vocabulary, audio folder, filters and strictness.
    """
    import pyarrow
    import pyarrow.compute as compute
    import pyarrow.csv as csv

    try:
        if not path.is_file() or path.stat().st_size < LEAST_BYTES:
            return None
        with path.open("rb") as stream:
            names = stream.readline(1000).decode("ascii").strip().split(",")
        if manifest.PATH not in names or not _COLUMNS.issuperset(names):
            return None
        table = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pyarrow.string()), strings_can_be_null=False
            ),
        )
        for index, name in enumerate(names):
            column = table.column(index)
            if compute.any(compute.match_substring(column, '"')).as_py():
                return None
            table = table.set_column(index, name, compute.utf8_trim_whitespace(column))
        if manifest.has_two_paths(table, path, request):  # rows to join, or to name by their line
            return None
        return manifest.needles_of_columns(table, path, request)
    except (pyarrow.ArrowException, NiahError, OSError, ValueError):
        return None
