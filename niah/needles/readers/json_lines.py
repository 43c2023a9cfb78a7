"""A table with a JSON object a line (`metadata.jsonl`), as Hugging Face's `audiofolder` and many pipelines write it.

The columns are those of a CSV (`niah.needles.readers.path_label_csv`); labels may be a list.
"""

import json
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.needles.readers.path_label_csv import OTHER_NAMES, needles_of_rows
from niah.needles.readers.rows import NeedleRows, Request, Row
from niah.system.text_files import read_text

SUFFIX = ".jsonl"
_PATHS = ("path", *OTHER_NAMES)


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a table.

    Args:
        path: the file.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: a line is no object or has no path (file and line are named), or no clip has a label.
    """
    # not `splitlines`: a text in JSON may hold other signs that end a line (U+2028)
    lines = enumerate(read_text(path).split("\n"), start=1)
    objects = {f"{path}, line {number}": line for number, line in lines if line.strip()}
    cells = {where: _cells(line, where) for where, line in objects.items()}
    columns = dict.fromkeys(name for each in cells.values() for name in each)
    return needles_of_rows(
        [Row(where, {**dict.fromkeys(columns, ""), **each}) for where, each in cells.items()],
        path,
        request,
    )


def _cells(line: str, where: str) -> dict[str, str]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise NiahError(f"{where}: is not a JSON object")
    cells = {str(name): _text(value) for name, value in content.items()}
    name = next((each for each in _PATHS if cells.get(each)), None)
    if name is None:
        raise NiahError(f"{where}: has no path (one of {', '.join(_PATHS)})")
    return {**cells, "path": cells[name]}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
