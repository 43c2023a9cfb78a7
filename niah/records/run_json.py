"""run.json: a run's options, code and machine, checked when read (a stranger may have written it), cut when written.

Schema 2 added the optional columns of `niah.records.schema` and the distractors' labels. A run of schema 1 has nothing
in them, so it is read as it is; opened for writing, it becomes one of schema 2, which an older niah refuses.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.records.model_entries import OTHERS, merged_models
from niah.system import atomic, folders
from niah.system.printable import printable
from niah.system.unreadable import UnreadableError

SCHEMA_VERSION = 2
OLDEST_SCHEMA = 1
SETTLES_S = 30.0  # sshfs keeps attributes for 20 s
_LOOK_S = 0.5
_FIX = "Take it from a copy of the run, or run again in a new folder"
DEEPEST = 32  # levels of lists and objects
_OBJECTS = ("identity", "models", "needles", "haystacks", "variants", "arguments", "hardware")
_OF_OBJECTS = ("models", "haystacks", "variants")
_LISTS = {"presets": str, "notes": str, "excluded_clips": dict}
_NAMES = ("haystacks", "variants", "presets")  # keyed by names that are looked up: never cut


def read_run_json(file: Path) -> dict[str, Any]:
    """Return the checked content of a run.json.

    Raises:
        NiahError: it is no run's, of a schema that is not read, or has a value of a wrong type.
    """
    content = _read(file)
    version = content.get("schema_version")
    if not isinstance(version, int) or not isinstance(content.get("identity"), dict):
        raise NiahError(
            f"{file} is not a run's, or was edited: it has no whole number schema_version and no identity. {_FIX}"
        )
    if version > SCHEMA_VERSION:
        raise NiahError(
            f"{file} has schema {version}, newer than this niah's {SCHEMA_VERSION}: update niah"
        )
    if version < OLDEST_SCHEMA:
        raise NiahError(
            f"{file} has schema {version}, older than {OLDEST_SCHEMA}, the first that was released: run again "
            "in a new folder"
        )
    return checked_run_json(content, file)


def lost_run_json(run: Path) -> str | None:
    """Return the sentence on a run whose run.json is lost; None where it is there, or there are no rows that it is of.

    Args:
        run: a folder; a published table has a cells.csv alone.
    """
    # in this order: another process may be beginning the run, and writes its rows after its run.json
    if not any((run / "cells").glob("*.json")) or (run / "run.json").exists():
        return None
    return (
        f"{run / 'run.json'} is missing, and without it nothing says which clips and scenes the scores beside it are "
        f"of. {_FIX}"
    )


def _read(file: Path) -> dict[str, Any]:
    """Return the content; of a file that ends too early, after a while, if other processes are at work.

    A network file system that caches attributes (sshfs, NFS with `actimeo`) may show a file that another machine has
    just replaced by a longer one at its former length.
    """
    deadline = time.monotonic() + SETTLES_S
    while True:
        try:
            return atomic.read_json(file)
        except UnreadableError:
            raise
        except NiahError as error:
            is_torn = isinstance(error.__cause__, ValueError)
            others = any((file.parent / "workers").glob("[!.]*.json"))
            if not (is_torn and others and time.monotonic() < deadline):
                raise NiahError(f"{error}. {_FIX}") from error
        time.sleep(_LOOK_S)


def merged_run_json(stored: Mapping[str, Any], new: Mapping[str, object]) -> dict[str, Any]:
    """Return the content of run.json after an amendment, fit to be published.

    Keys of `new` replace those of `stored`, but `schema_version` and `identity` stay, `models`, `haystacks` and
    `variants` are merged by name, models by their weights too (`niah.records.model_entries`), and `presets` are added.
    Absolute paths are cut to their last part (`niah.system.folders`).

    Args:
        stored: present content.
        new: keys to replace.
    """
    plain: dict[str, Any] = json.loads(json.dumps(dict(new)))
    fixed = {name: stored[name] for name in ("schema_version", "identity")}
    by_name = {
        name: {**stored.get(name, {}), **plain.get(name, {})}
        for name in _OF_OBJECTS
        if name in stored or name in plain
    }
    by_name["models"] = merged_models(stored.get("models", {}), plain.get("models", {}))
    merged = {**fixed, **stored, **plain, **by_name, **fixed}
    if "presets" in merged:
        merged["presets"] = [
            *dict.fromkeys([*stored.get("presets", []), *plain.get("presets", [])])
        ]
    uncut = {name: merged[name] for name in _NAMES if name in merged}
    return {**folders.published_run(merged), **uncut}


def why_no_cells(run_json: Mapping[str, Any]) -> str:
    """Return why a run's folder has no cells, and what to do, to follow its path in a message.

    Args:
        run_json: content of its run.json.
    """
    if run_json.get("identity", {}).get("measures") == "causes":
        return (
            "is a folder of `niah causes`, which has no cells of a run: its tables are in causes.md"
        )
    return "has no finished cells yet: let `niah run` finish one"


def checked_run_json(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Check the types of the keys that are read, and the depth of everything.

    Args:
        content: object read from the file.
        file: its path, for messages.

    Returns:
        The content, with half surrogates, which no file can be written with, spelt out as escapes.

    Raises:
        NiahError: something is not as it must be; names the file and the key.
    """
    for name in _OBJECTS:
        _expect(content.get(name, {}), dict, name, file)
    for name in _OF_OBJECTS:
        for key, value in content.get(name, {}).items():
            _expect(value, dict, f"{name}.{key}", file)
    for name, entry in content.get("models", {}).items():
        others = entry.get(OTHERS, {})
        _expect(others, dict, f"models.{name}.{OTHERS}", file)
        for sha256, other in others.items():
            _expect(other, dict, f"models.{name}.{OTHERS}.{sha256}", file)
    for name, kind in _LISTS.items():
        _expect(content.get(name, []), list, name, file)
        for value in content.get(name, []):
            _expect(value, kind, f"an entry of {name}", file)
    for clip in content.get("excluded_clips", []):
        for name in ("id", "reason"):
            _expect(clip.get(name), str, f"{name} of an entry of excluded_clips", file)
    for name, haystack in content.get("haystacks", {}).items():
        contains = haystack.get("contains", [])
        _expect(contains, list, f"haystacks.{name}.contains", file)
        for label in contains:
            _expect(label, str, f"a label of haystacks.{name}", file)
    cleaned: dict[str, Any] = _cleaned(dict(content), file, 0)
    return cleaned


def _expect(value: object, kind: type, name: str, file: Path) -> None:
    words: dict[type, str] = {dict: "an object", list: "a list", str: "text"}
    if not isinstance(value, kind):
        raise NiahError(f"{file}: '{name}' must be {words[kind]} but is {value!r:.60}")


def _cleaned(value: Any, file: Path, depth: int) -> Any:
    if depth > DEEPEST:
        raise NiahError(f"{file} is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {printable(name): _cleaned(each, file, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each, file, depth + 1) for each in value]
    return printable(value) if isinstance(value, str) else value
