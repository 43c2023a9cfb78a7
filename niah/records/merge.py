"""Merging run directories of one identity into one: shards that were made in folders of their own, or apart.

Cells are joined by their keys. A cell that two runs have must be the same in both: its ids, labels, classes and logits.
Damaged cells are left out, with a note; the same `niah run` in the merged directory makes them again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.records.identity import identity_differences
from niah.records.model_entries import merged_models
from niah.records.row_files import DamagedRowError, read_row, row_files
from niah.records.run_directory import RunDirectory
from niah.records.run_json import lost_run_json
from niah.records.run_parts import DIAGNOSES, lacks_rows
from niah.records.schema import Row
from niah.records.summarise import summarise

Note = Callable[[str], None]
_SHOWN = 3
_OF_THE_RUN = ("niah_version", "arguments", "hardware", "versions", "git")
_OF_THE_BEGINNING = {"schema_version", "identity"}
_OF_THE_MACHINE = ("niah_version", "hardware", "versions", "git")


@dataclass(frozen=True)
class MergeResult:
    """The merged run; how many cells came from each directory; how many are in it now."""

    run: Path
    taken: dict[str, int]
    cells: int


@dataclass
class _Merge:
    """Cells by key, each from the first run that has it whole."""

    rows: dict[str, tuple[Row, RunDirectory]] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)

    def add(self, run: RunDirectory, row: Row) -> None:
        """Take a cell, unless an equal one is there; note one that differs."""
        cell = str(row["cell"])
        if cell not in self.rows:
            self.rows[cell] = row, run
            return
        before, other = self.rows[cell]
        if row["status"] != "ok":
            return
        if before["status"] != "ok":
            self.rows[cell] = row, run
        elif not _same_scores(cell, run, other):
            name = f"{row['model']}, {row['haystack']}, {row['length_s']:g} s"
            self.conflicts.append(f"{cell} ({name}) in {other.path} and {run.path}")


def merge(directories: Sequence[Path | str], out: Path, note: Note = lambda _: None) -> MergeResult:
    """Join run directories into `out`, a new run or one of the same identity, and compute its metrics.

    Args:
        directories: runs of one identity.
        out: directory of the merged run.
        note: called with each note for the user.

    Raises:
        NiahError: runs of different identity, a cell of two contents, two sounds under one haystack's name.
    """
    if not directories:
        raise NiahError("give at least one run directory to merge")
    runs = [_readable(directory) for directory in directories]
    identity = _check_alike(runs)
    if (out / "run.json").is_file():
        there = _readable(out)
        identity = _check_alike([there, *runs])
        runs = [there, *(run for run in runs if not run.path.samefile(out))]
    merged = _Merge()
    for run in runs:
        if run.path != out and (left := [name for name in DIAGNOSES if (run.path / name).is_dir()]):
            note(
                f"{run.path} has diagnoses ({', '.join(left)}), which are not merged: `niah locate` or `niah stream` "
                f"{out} makes them for all cells"
            )
        for row in _whole_rows(run, note):
            merged.add(run, row)
    if merged.conflicts:
        shown = "; ".join(merged.conflicts[:_SHOWN])
        more = (
            f" and {len(merged.conflicts) - _SHOWN} more" if len(merged.conflicts) > _SHOWN else ""
        )
        raise NiahError(
            f"{len(merged.conflicts)} cells have different scores in two runs: {shown}{more}. Remove one of each "
            "pair, or merge only one of the runs"
        )
    taken = {str(run.path): 0 for run in runs}
    with RunDirectory.create_or_open(out, identity) as result:
        result.write_run_json(_record(runs))
        new = [(row, run) for row, run in merged.rows.values() if run.path != result.path]
        for row, run in new:
            if row["status"] == "ok":
                result.copy_scores(str(row["cell"]), run)
            taken[str(run.path)] += 1
        result.write_rows((row, None) for row, _ in new)
        for text in (*result.warnings, *summarise(result)):
            note(text)
        return MergeResult(out, taken, len(merged.rows))


def _readable(directory: Path | str) -> RunDirectory:
    run = RunDirectory(directory)
    if reason := lost_run_json(run.path):
        raise NiahError(reason)
    if lacks_rows(run.path) or not run.run_json():
        raise NiahError(
            f"{run.path} is a published table without rows and scores: only whole run directories can be merged"
        )
    if "measures" in run.run_json()["identity"]:
        raise NiahError(f"{run.path} is of `niah causes`, which is not merged")
    return run


def _check_alike(runs: Sequence[RunDirectory]) -> dict[str, Any]:
    """Check that all are parts of one run, each with every other, and return what they say of its identity together."""
    contents = [run.run_json() for run in runs]
    for (one, first), (other, second) in combinations(zip(runs, contents, strict=True), 2):
        clips = (content.get("needles", {}).get("clips") for content in (first, second))
        if differences := identity_differences(_identity(first), _identity(second), *clips):
            raise NiahError(
                f"{one.path} and {other.path} are different runs, {'; '.join(differences)} (there is the first)"
            )
        for name, haystack in second.get("haystacks", {}).items():
            before = first.get("haystacks", {}).get(name, haystack)
            if before.get("sha256") != haystack.get("sha256"):
                raise NiahError(
                    f"the haystack '{name}' of {one.path} is another sound than that of {other.path}: their cells "
                    "would be one row of tables and figures"
                )
    return {name: value for each in reversed(contents) for name, value in _identity(each).items()}


def _identity(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's identity, with the hash of the clips' content where an earlier version had none before a merge."""
    stated = content.get("needles", {}).get("content_sha256")
    return {**({"content_sha256": stated} if stated else {}), **content["identity"]}


def _whole_rows(run: RunDirectory, note: Note) -> list[Row]:
    rows = []
    for file in row_files(run.path / "cells"):
        try:
            row, _ = read_row(file)
        except DamagedRowError as error:
            note(f"{error}; left out")
            continue
        if row["status"] == "ok" and (reason := run.scores_problem(row)):
            note(f"{reason}; left out")
            continue
        rows.append(row)
    return rows


def _same_scores(cell: str, run: RunDirectory, other: RunDirectory) -> bool:
    if run.scores_sha256(cell) == other.scores_sha256(cell):
        return True
    a, b = run.read_scores(cell), other.read_scores(cell)  # written by two versions of a library
    names = ("ids", "labels", "classes", "distractors", "groups")
    same = all(getattr(a, name) == getattr(b, name) for name in names)
    return same and bool((a.logits == b.logits).all())


def _record(runs: Sequence[RunDirectory]) -> dict[str, Any]:
    """Return run.json's content: what the first run has of it, the models and haystacks of all, where each was made."""
    contents = [_content(run) for run in runs]
    record = {
        name: content[name]
        for content in reversed(contents)
        for name in _OF_THE_RUN
        if name in content
    }
    record["haystacks"], record["models"] = {}, {}
    for content in reversed(contents):
        if needles := content.get("needles"):  # an earlier version has no marks of clips
            record["needles"] = {**record.get("needles", {}), **needles}
        record["haystacks"] |= content.get("haystacks", {})
        record["models"] = merged_models(record["models"], content.get("models", {}))
    if rates := {rate for content in contents for rate in _alarm_rates(content)}:
        record["arguments"] = {**record["arguments"], "false_alarms": sorted(rates)}
    record["presets"] = [preset for content in contents for preset in content.get("presets", [])]
    for name in ("notes", "excluded_clips", "merged"):
        entries: list[Any] = []
        for content in contents:
            entries += [entry for entry in content.get(name, []) if entry not in entries]
        record[name] = entries
    return record


def _alarm_rates(content: Mapping[str, Any]) -> list[float]:
    """Return the rates of false alarms that the report of a run shows."""
    rates = content.get("arguments", {}).get("false_alarms")
    return (
        [float(rate) for rate in rates if isinstance(rate, int | float)]
        if isinstance(rates, list)
        else []
    )


def _content(run: RunDirectory) -> dict[str, Any]:
    """Return a run's run.json with `merged`: where and by what it was made, or its parts were."""
    content = run.run_json()
    if set(content) <= _OF_THE_BEGINNING:  # of a merge that was stopped at once
        return content
    made = {"run": run.path.name, **{n: content[n] for n in _OF_THE_MACHINE if n in content}}
    return {"merged": [made], **content}
