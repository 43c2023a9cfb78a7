"""Provenance of a run for a page: run.json in sections of (name, text) pairs, without the marks of single clips.

A run.json may name folders of its author's machine. As the page is for publication, only the last part of an absolute
path is shown.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from niah.system.folders import published_run

Pairs = list[tuple[str, str]]
MOST_SHOWN = 50  # of a list: excluded clips can be thousands
_FOR_PROGRAMS = "marks"  # 8 digits a clip


def sections(run_json: Mapping[str, Any]) -> list[tuple[str, Pairs]]:
    """Return (section, its pairs) for each key of run.json, with nested names joined by dots."""
    return [(name, list(_flat("", value))) for name, value in published_run(run_json).items()]


def hardware(run_json: Mapping[str, Any]) -> str:
    """Return the machine in a few words; speeds of two machines are not comparable."""
    machine = run_json.get("hardware", {})
    if machine.get("gpu"):
        return str(machine["gpu"])
    if machine.get("processor"):
        return f"{machine['processor']}, {machine.get('cores', '?')} cores"
    return ""


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == _FOR_PROGRAMS:
                continue
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for index, inner in enumerate(value[:MOST_SHOWN], 1):
            yield from _flat(f"{name}.{index}" if name else str(index), inner)
        if len(value) > MOST_SHOWN:
            yield name, f"... and {len(value) - MOST_SHOWN} more"
    elif isinstance(value, list):
        yield name, json.dumps(value, ensure_ascii=False)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
