"""The haystacks of a run: loaded, with names that are not those of other haystacks in its directory."""

from pathlib import Path

from niah.haystacks import Haystack, distinct_names, load_haystack
from niah.records.run_directory import RunDirectory
from niah.sweep.options import RunOptions


def named_haystacks(options: RunOptions) -> tuple[dict[str, Haystack], list[str]]:
    """Load the haystacks of a run.

    Args:
        options: of the run, with its directory.

    Returns:
        Haystacks by what the user typed; sentences on those whose name in tables is not their own, and their notes.

    Raises:
        NiahError: a haystack is unknown, or its sound cannot be read.
    """
    loaded = {
        spec: load_haystack(spec, babble=options.babble, seed=options.seed_of_noise)
        for spec in options.haystacks
    }
    named = distinct_names(loaded, _stored(options.out))
    renamed = [
        f"haystack {spec} is called '{named[spec].name}' in tables: another one is '{haystack.name}'"
        for spec, haystack in loaded.items()
        if named[spec].name != haystack.name
    ]
    levels = [
        f"haystack {haystack.name}: {note}"
        for haystack in named.values()
        for note in haystack.notes
    ]
    return named, [*renamed, *levels]


def _stored(out: Path) -> dict[str, str]:
    """Return {name: fingerprint} of the haystacks in a run directory; "" for those of runs that did not store it."""
    if not (out / "run.json").is_file():
        return {}
    stored = RunDirectory(out).run_json().get("haystacks", {})
    return {name: str(entry.get("sha256", "")) for name, entry in stored.items()}
