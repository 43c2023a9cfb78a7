"""Where a run is from, as the page shows it: run.json in sections of (name, text) pairs.

A run.json may name folders of its author's machine. The page is made to be published, so of an
absolute path only the last part is shown.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Pairs = list[tuple[str, str]]
MOST_SHOWN = 50  # of a list: excluded clips can be thousands
# a path that starts at the root or at home; not an address, and not an AudioSet id such as /m/09x0r
_ABSOLUTE = re.compile(
    r"(?<![\w.:/~\\-])(?!/[mgt]/)(?:~|/[^\s/:'\"]+)(?:/[^\s/:'\"]+)*/([^\s/:'\"]+)"
)
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*([^\s\\'\"]+)")


def sections(run_json: Mapping[str, Any]) -> list[tuple[str, Pairs]]:
    """(section, its pairs) for each key of run.json, nested names joined by dots."""
    return [(name, list(_flat("", value))) for name, value in run_json.items()]


def without_folders(text: str) -> str:
    """`text` with absolute paths cut to their last part."""
    return _WINDOWS.sub(r"…\\\1", _ABSOLUTE.sub(r"…/\1", text))


def hardware(run_json: Mapping[str, Any]) -> str:
    """The machine in a few words; speeds of two machines are not comparable."""
    told = run_json.get("hardware", {})
    if told.get("gpu"):
        return str(told["gpu"])
    if told.get("processor"):
        return f"{told['processor']}, {told.get('cores', '?')} cores"
    return ""


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for index, inner in enumerate(value[:MOST_SHOWN], 1):
            yield from _flat(f"{name}.{index}" if name else str(index), inner)
        if len(value) > MOST_SHOWN:
            yield name, f"... and {len(value) - MOST_SHOWN} more"
    elif isinstance(value, list):
        shown = [without_folders(each) if isinstance(each, str) else each for each in value]
        yield name, json.dumps(shown, ensure_ascii=False)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield name, without_folders(text)
