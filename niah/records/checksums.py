"""Checksums within JSON and CSV files of a run: an edited or damaged one is noticed when it is read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

_NAME = "sha256"
ROWS_COLUMN = "rows_sha256"
"""The column of a CSV with the checksum of all rows: the same in each, so that a missing row is noticed as well."""


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its checksum as the last entry."""
    return {**content, _NAME: _checksum(content)}


def is_intact(content: Mapping[str, Any]) -> bool:
    """Return whether content that was read is what was written; files of earlier versions have no checksum."""
    return _NAME not in content or content[_NAME] == _checksum(content)


def rows_sha256(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the checksum of a CSV's rows, whatever their order, the columns' and the last digits of numbers.

    Programs that save a table again may change these.

    Args:
        header: the names of the columns.
        rows: fields as text, without the column of checksums.
    """
    content = sorted(sorted(zip(header, map(_rounded, row), strict=True)) for row in rows)
    return _checksum({"rows": content})


def _rounded(field: str) -> str:
    try:
        return f"{float(field):.12g}"
    except ValueError:
        return field


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of an object without its checksum, whatever its white space and order."""
    parts = {name: value for name, value in content.items() if name != _NAME}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
