"""Haystacks of two runs, told apart by their content where both state it.

A row knows its haystack by name: `babble` may be one file here and another there, and one file may have two names. The
runs' `run.json` has the SHA-256 of what each name stands for, which includes the seed of noise where it is drawn.
"""

from collections.abc import Mapping
from typing import Any

from niah.compare.stored_run import StoredRun


def rename_alike(run: StoredRun, reference: StoredRun) -> None:
    """Give haystacks of `run` the name under which `reference` has the same content.

    A name that the reference uses for something else, or that is already of that content there, is left alone.
    """
    theirs = {sha256: name for name, sha256 in _contents(reference).items()}
    ours = _contents(run)
    names = {
        name: theirs[sha256]
        for name, sha256 in ours.items()
        if sha256 in theirs and theirs[sha256] not in ours
    }
    run.points = [
        {**point, "haystack": names.get(point["haystack"], point["haystack"])}
        for point in run.points
    ]


def other_contents(a: StoredRun, b: StoredRun) -> dict[str, str]:
    """Return the haystacks that have one name and two contents, each with a sentence about it.

    Under two seeds of noise the sounds are other ones by intention, and are not returned.
    """
    if noise_seed(a) != noise_seed(b):
        return {}
    ours, theirs = _contents(a), _contents(b)
    return {
        name: f"haystack '{name}' is not the same sound in both: SHA-256 {ours[name][:8]} in {a.path}, "
        f"{theirs[name][:8]} in {b.path}"
        for name in differing_contents(a, b)
    }


def differing_contents(a: StoredRun, b: StoredRun) -> list[str]:
    """Return the names that stand for different contents, for whatever reason."""
    ours, theirs = _contents(a), _contents(b)
    return [name for name in sorted(ours.keys() & theirs.keys()) if ours[name] != theirs[name]]


def noise_seed(run: StoredRun) -> Any:
    """Return the seed that a run's noise is drawn with, None where it is not stated."""
    return run.identity.get("noise_seed", run.identity.get("seed"))


def _contents(run: StoredRun) -> dict[str, str]:
    """SHA-256 by name, of the haystacks for which run.json has one."""
    stated = run.run_json.get("haystacks")
    if not isinstance(stated, Mapping):
        return {}
    return {
        str(name): str(entry["sha256"])
        for name, entry in stated.items()
        if isinstance(entry, Mapping) and entry.get("sha256")
    }
