"""Runs that have nothing left to do, noticed before any model or needle is loaded.

The keys of a run's cells are a function of its options, of this package and of files of the user's. Where everything
that the options name is part of the package, the keys of a run that ended are kept in the user's cache, by a hash of
the options and of the package's files. The same options in a folder that has all these cells, with scores that are
those of their rows, need no more than the report. Everything else goes the usual way.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from niah.cards import find_model, known_models
from niah.errors import NiahError
from niah.needles.defaults import EMBEDDED
from niah.records.run_directory import RunDirectory
from niah.records.run_parts import refuse_foreign
from niah.records.workers import list_workers
from niah.sweep.options import CONSTANT_HAYSTACKS, RunOptions
from niah.system import atomic
from niah.system.download import cache_folder, sha256_of

_HAYSTACKS = (*CONSTANT_HAYSTACKS, "gaussian", "babble")  # whose sounds the package makes
_PACKAGE = Path(__file__).resolve().parent.parent
_PLAIN: dict[str, object] = {  # what only concerns other needles and models than the package's
    "checkpoint": None,
    "labels": "",
    "sample_rate": None,
    "prompt": "",
    "trust_remote_code": False,
    "audio_root": None,
    "babble": None,
    "kernel": "auto",
}


@dataclass(frozen=True)
class Ended:
    """A run that ended: the keys of its cells, the notes that it gave, its arguments in run.json but for the folder.

    `identity` is what its run.json says that all its results share.
    """

    cells: tuple[str, ...]
    notes: tuple[str, ...]
    arguments: dict[str, Any]
    identity: dict[str, Any]


def remember(
    options: RunOptions, run: RunDirectory, cells: Collection[str], notes: Iterable[str]
) -> None:
    """Keep what a run that ended consists of; a cache that cannot be written is no error.

    Args:
        options: as they were given.
        run: its folder.
        cells: keys of all its cells.
        notes: that it gave on its clips and models.
    """
    if not _is_embedded(options) or not run.completed() >= set(cells):
        return
    arguments, identity = _said(run)
    with suppress(NiahError, OSError):
        file = _file(options)
        file.parent.mkdir(parents=True, exist_ok=True)
        entry = {
            "cells": sorted(cells),
            "notes": list(notes),
            "arguments": arguments,
            "identity": identity,
        }
        atomic.write_json(file, entry)


def ended(options: RunOptions) -> Ended | None:
    """Return what is known of a run that has nothing left to do; None where there may be something.

    Args:
        options: as they are given.
    """
    if not (options.out / "run.json").is_file() or not _is_embedded(options):
        return None
    try:
        stored = json.loads(_file(options).read_text())
        known = Ended(
            tuple(stored["cells"]),
            tuple(stored["notes"]),
            dict(stored["arguments"]),
            dict(stored["identity"]),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None
    with suppress(NiahError):  # which the usual way reports, or mends
        refuse_foreign(options.out)
        if any(worker.is_alive for worker in list_workers(options.out)):
            return None
        run = RunDirectory(options.out)
        is_same = _said(run) == (known.arguments, known.identity)
        if is_same and run.completed() >= set(known.cells):
            return known
    return None


def _said(run: RunDirectory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments, but for the folder, and the identity of run.json."""
    content = run.run_json()
    arguments = {k: v for k, v in content.get("arguments", {}).items() if k != "out"}
    return arguments, content["identity"]


def _is_embedded(options: RunOptions) -> bool:
    """Return whether models, needles and haystacks are all part of the package."""
    plain = all(getattr(options, name) == value for name, value in _PLAIN.items())
    if not plain or options.objects or options.needles not in ("", EMBEDDED):
        return False
    cards = known_models()
    for name in options.models:
        if name.partition(":")[0] not in cards:
            return False
        card, weights = find_model(name, cards)
        if not weights or not card.weights[weights].file:
            return False
    return set(options.haystacks) <= set(_HAYSTACKS)


def _file(options: RunOptions) -> Path:
    """Return the file of these options and of the package's files as they are.

    Their content counts: an image, or a package manager, may give all files one time, and a fix may keep a size.
    """
    digest = hashlib.sha256(repr(replace(options, out=Path())).encode())
    folders = {_PACKAGE, *(card.path.parent for card in known_models().values())}
    for folder in sorted(folders):
        for file in sorted(folder.rglob("*")):
            if "__pycache__" not in file.parts and file.is_file():
                digest.update(f"{file} {sha256_of(file)}\n".encode())
    return cache_folder() / "ended" / f"{digest.hexdigest()[:32]}.json"
