"""Privacy of published files: of an absolute path only the last part is shown, the user's folders are cut.

Later commands need whole paths (`niah locate` opens the clips again). `remember` stores them in the user's cache under
a hash of the published arguments, so the run directory can be moved or renamed and discloses nothing. Relative paths
are found from where the run directory lies.
"""

import hashlib
import json
import os
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
_TYPED_IN = "typed_in"  # beside the arguments in the cache
# a path that starts at the root or at home; not an address, and not an AudioSet id such as /m/09x0r
_ABSOLUTE = re.compile(
    r"(?<![\w./~\\…-])(?!/[mgt]/)(?:~|/[^\s/:'\"]+)(?:/[^\s/:'\"]+)*/([^\s/:'\"]+)"
)
_FILE_URL = re.compile(r"\bfile:/+(?=[^\s/])")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*([^\s\\'\"]+)")
_WHOLE = re.compile(r"(?!/[mgt]/)(?:[A-Za-z]:[\\/]|\\\\|~|/).*[\\/]([^\\/]+)[\\/]*", re.DOTALL)


def without_folders(text: str, roots: Sequence[str] = ()) -> str:
    """Cut the absolute paths in a text to their last part.

    Args:
        text: a sentence.
        roots: folders that may occur in it; needed where their names have spaces, which no pattern recognises.
    """
    for root in sorted({root.rstrip("/") for root in roots} - {""}, key=len, reverse=True):
        text = text.replace(f"{root}/", f"/{MARK}/")
    text = _FILE_URL.sub("/", text)
    return _WINDOWS.sub(rf"{MARK}\\\1", _ABSOLUTE.sub(rf"{MARK}/\1", text))


def with_home(text: str) -> str:
    """Return a text with the user's home for a "~/" at the start of it, or of a part after a comma.

    A shell leaves it in `--out=~/run` and `--haystack zero,~/street.wav`, and so does a file of options.
    """
    if "~" not in text:
        return text
    parts = text.split(",")
    return ",".join(os.path.expanduser(p) if p.startswith("~/") or p == "~" else p for p in parts)  # noqa: PTH111


def last_part(text: str) -> str:
    """ "…/name" of a text that is one absolute path and nothing else; any other text as `without_folders` has it."""
    match = _WHOLE.fullmatch(text)
    return f"{MARK}/{match.group(1)}" if match else without_folders(text)


def published(value: Any, roots: Sequence[str] = (), *, paths: bool = False) -> Any:
    """Cut the absolute paths in every text of a JSON value.

    Args:
        value: nested mappings, lists, texts and numbers.
        roots: see `without_folders`.
        paths: the texts are paths or names, not sentences.
    """
    if isinstance(value, str):
        return last_part(value) if paths else without_folders(value, roots)
    if isinstance(value, Mapping):
        return {key: published(each, roots, paths=paths) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [published(each, roots, paths=paths) for each in value]
    return value


def published_run(content: Mapping[str, Any]) -> dict[str, Any]:
    """Cut the absolute paths in the content of a run.json."""
    arguments = content.get("arguments")
    roots = roots_of(arguments) if isinstance(arguments, Mapping) else []
    return {
        name: published(value, roots, paths=name == "arguments") for name, value in content.items()
    }


def numbered(names: Iterable[str]) -> list[str]:
    """Make equal names distinct: the second "run" becomes "run (2)"."""
    stated: list[str] = []
    for name in names:
        ways = (name if n == 1 else f"{name} ({n})" for n in count(1))
        stated.append(next(way for way in ways if way not in stated))
    return stated


def roots_of(arguments: Mapping[str, Any]) -> list[str]:
    """Return the absolute paths among a command's arguments, and their folders."""
    roots: list[str] = []
    for value in arguments.values():
        for each in value if isinstance(value, list | tuple) else (value,):
            text = str(each) if isinstance(each, str | Path) else ""
            if text.startswith(("/", "~")):
                roots += [text, text.rpartition("/")[0]]
    return roots


def remember(arguments: Mapping[str, Any], ids_sha256: str) -> None:
    """Store a run's arguments with their whole paths, and where they were typed, in the cache, for `recalled`.

    An unwritable cache is ignored.

    Args:
        arguments: arguments of the run, by name.
        ids_sha256: hash of the run's clip ids.
    """
    arguments = json.loads(json.dumps(arguments))  # lists, as in run.json
    stated = published(arguments, paths=True)
    if stated == arguments:
        return
    file = _file(stated, ids_sha256)
    with suppress(NiahError, OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(file, {**arguments, _TYPED_IN: str(Path.cwd())})


def recalled(stated: Mapping[str, Any], ids_sha256: str, run: Path) -> dict[str, Any]:
    """Return a run's arguments with their whole paths, also of files that were named from the folder it began in.

    Args:
        stated: arguments in its run.json, paths cut.
        ids_sha256: hash of the run's clip ids.
        run: its directory.

    Raises:
        NiahError: a path is cut, and this machine's cache lacks the whole one.
    """
    cut = [name for name, value in stated.items() if name != "out" and _is_cut(value)]
    file = _file(stated, ids_sha256)
    arguments = atomic.read_json(file) if file.is_file() else dict(stated)
    if cut and not file.is_file():
        raise NiahError(
            f"run.json has only the last part of {', '.join(cut)} ({stated[cut[0]]}), and this machine has not run it: "
            "give the same `niah run` command again (it resumes)"
        )
    folder = _typed_in(run, str(arguments.get("out", "")), arguments.pop(_TYPED_IN, None))
    if folder is None or folder == Path.cwd():
        return arguments
    return {name: _from(folder, v) if name != "out" else v for name, v in arguments.items()}


def _typed_in(run: Path, out: str, stored: str | None) -> Path | None:
    """Return the folder in which a run's command was typed, from where its directory lies; None where that is unknown.

    Args:
        run: its directory, which may have been moved together with the folder.
        out: as it was typed.
        stored: the folder by this machine's cache, of a run that may have been another with the same arguments.
    """
    if stored is not None and Path(stored, out).resolve() == run.resolve():
        return Path(stored)
    parts = Path(os.path.normpath(out or ".")).parts
    for place in (Path(os.path.normpath(Path.cwd() / run)), run.resolve()):
        if ".." not in parts and place.parts[len(place.parts) - len(parts) :] == parts:
            return Path(*place.parts[: len(place.parts) - len(parts)])
    return None


def _from(folder: Path, value: Any) -> Any:
    """Return a value, or list of values, with the whole path of a relative one that is a file of the folder.

    A bare word stays: it is a name of this package's, unless there is none of that name.
    """
    if isinstance(value, list | tuple):
        return [_from(folder, each) for each in value]
    if not isinstance(value, str) or not ("/" in value or Path(value).suffix):
        return value
    files = (folder / value, folder / value.rpartition(":")[0])  # of `code.py:tagger` too
    return str(folder / value) if any(map(os.path.isfile, files)) or files[0].is_dir() else value


def _is_cut(value: object) -> bool:
    values = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(each, str) and each.startswith(f"{MARK}/") for each in values)


def _file(stated: Mapping[str, Any], ids_sha256: str) -> Path:
    canonical = json.dumps([stated, ids_sha256], sort_keys=True)
    return cache_folder() / "asked" / f"{hashlib.sha256(canonical.encode()).hexdigest()[:20]}.json"
