"""Folders of the user's machine, cut from what is made to be published: of an absolute path the last part is shown.

What a later command needs the whole path for (`niah locate` opens the clips again) is kept in the user's cache by
`remember`, under what the published form says: the run directory can be moved or renamed, and tells nothing.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.system import atomic
from niah.system.download import cache_folder

MARK = "…"
# a path that starts at the root or at home; not an address, and not an AudioSet id such as /m/09x0r
_ABSOLUTE = re.compile(
    r"(?<![\w./~\\…-])(?!/[mgt]/)(?:~|/[^\s/:'\"]+)(?:/[^\s/:'\"]+)*/([^\s/:'\"]+)"
)
_FILE_URL = re.compile(r"\bfile:/+(?=[^\s/])")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*([^\s\\'\"]+)")
_WHOLE = re.compile(r"(?!/[mgt]/)(?:[A-Za-z]:[\\/]|\\\\|~|/).*[\\/]([^\\/]+)[\\/]*", re.DOTALL)


def without_folders(text: str, roots: Sequence[str] = ()) -> str:
    """`text` with absolute paths cut to their last part.

    `roots`: folders that may occur in it and have spaces in their names, where no pattern sees a path's end.
    """
    for root in sorted({root.rstrip("/") for root in roots} - {""}, key=len, reverse=True):
        text = text.replace(f"{root}/", f"/{MARK}/")
    text = _FILE_URL.sub("/", text)
    return _WINDOWS.sub(rf"{MARK}\\\1", _ABSOLUTE.sub(rf"{MARK}/\1", text))


def last_part(text: str) -> str:
    """ "…/name" of a text that is one absolute path and nothing else; any other text as `without_folders` has it."""
    found = _WHOLE.fullmatch(text)
    return f"{MARK}/{found.group(1)}" if found else without_folders(text)


def published(value: Any, roots: Sequence[str] = (), *, paths: bool = False) -> Any:
    """`value` of JSON with every text in it cut; `paths`: its texts are paths or names, not sentences."""
    if isinstance(value, str):
        return last_part(value) if paths else without_folders(value, roots)
    if isinstance(value, Mapping):
        return {key: published(each, roots, paths=paths) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [published(each, roots, paths=paths) for each in value]
    return value


def published_run(content: Mapping[str, Any]) -> dict[str, Any]:
    """A run.json as it may be shown to all."""
    arguments = content.get("arguments")
    roots = roots_of(arguments) if isinstance(arguments, Mapping) else []
    return {
        name: published(value, roots, paths=name == "arguments") for name, value in content.items()
    }


def numbered(names: Iterable[str]) -> list[str]:
    """The names, "run" as "run (2)" where an earlier one is "run": told apart without the folders above."""
    stated: list[str] = []
    for name in names:
        ways = (name if n == 1 else f"{name} ({n})" for n in count(1))
        stated.append(next(way for way in ways if way not in stated))
    return stated


def roots_of(arguments: Mapping[str, Any]) -> list[str]:
    """The folders of the absolute paths among what a command was asked."""
    found: list[str] = []
    for value in arguments.values():
        for each in value if isinstance(value, list | tuple) else (value,):
            text = str(each) if isinstance(each, str | Path) else ""
            if text.startswith(("/", "~")):
                found += [text, text.rpartition("/")[0]]
    return found


def remember(asked: Mapping[str, Any], ids_sha256: str) -> None:
    """Keep the whole paths of what a run was asked, for `recalled`. A cache that cannot be written is no harm."""
    asked = json.loads(json.dumps(asked))  # lists, as run.json has them
    stated = published(asked, paths=True)
    if stated == asked:
        return
    file = _file(stated, ids_sha256)
    with suppress(NiahError, OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(file, asked)


def recalled(stated: Mapping[str, Any], ids_sha256: str) -> dict[str, Any]:
    """Return the arguments with their whole paths, from the published form in a run.json.

    Raises:
        NiahError: a path is cut, and this machine's cache does not know it.
    """
    cut = [name for name, value in stated.items() if name != "out" and _is_cut(value)]
    if not cut:
        return dict(stated)
    file = _file(stated, ids_sha256)
    if file.is_file():
        return atomic.read_json(file)
    raise NiahError(
        f"run.json tells of {', '.join(cut)} only the last part ({stated[cut[0]]}), and this machine has not run it: "
        "give the same `niah run` command again (it resumes)"
    )


def _is_cut(value: object) -> bool:
    values = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(each, str) and each.startswith(f"{MARK}/") for each in values)


def _file(stated: Mapping[str, Any], ids_sha256: str) -> Path:
    canonical = json.dumps([stated, ids_sha256], sort_keys=True)
    return cache_folder() / "asked" / f"{hashlib.sha256(canonical.encode()).hexdigest()[:20]}.json"
