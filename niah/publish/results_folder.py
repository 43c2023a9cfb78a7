"""A run for a repository of results: its files without figures, and the workflow that checks and shows all of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from niah.errors import NiahError
from niah.records.identity import identity_differences
from niah.records.row_files import row_files
from niah.records.run_directory import RunDirectory
from niah.system import atomic
from niah.system.plurals import plural

FILES = ("run.json", "cells.csv", "tables.md")
FOLDERS = ("cells", "scores")
WORKFLOW = """# Checks every run below runs/ and shows them as one page.
name: results
on:
  push:
    branches: [main]
  pull_request:
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install --find-links wheels audio-niah  # wheels/: the wheel that `make build` made
      - run: niah leaderboard runs --verify --out site  # a damaged run is named, exit status 2
      - uses: actions/upload-pages-artifact@v3
        with:
          path: site
  deploy:
    if: github.ref == 'refs/heads/main'
    needs: check
    runs-on: ubuntu-latest
    permissions:
      pages: write
      id-token: write
    environment:
      name: github-pages
    steps:
      - uses: actions/deploy-pages@v4
"""


WORKFLOW_FILE = Path(".github", "workflows", "results.yml")


def folder_in(out: Path) -> Path:
    """Return the repository of results: `out` itself where it is one already, else its folder `results`."""
    return out if (out / WORKFLOW_FILE).is_file() else out / "results"


def copy_run(run: Path, folder: Path) -> Iterator[Path]:
    """Copy a run into `folder`/runs/NAME, and write the workflow beside it.

    Args:
        run: the run directory.
        folder: of the results.

    Yields:
        What was written.

    Raises:
        NiahError: the run is damaged; another run of that name lies there, or one with cells that this one lacks; it
            cannot be written.
    """
    _refuse_damaged(RunDirectory(run))
    name = run.resolve().name
    target = folder / "runs" / name
    _refuse_other(run, target)
    with atomic.one_line_os_errors(folder):
        target.mkdir(parents=True, exist_ok=True)
        for file in _files(run):
            place = target / file.relative_to(run)
            place.parent.mkdir(exist_ok=True)
            with atomic.atomic_write(place) as stream:
                stream.write(file.read_bytes())
        yield target
        workflow = folder / WORKFLOW_FILE
        workflow.parent.mkdir(parents=True, exist_ok=True)
        with atomic.atomic_write(workflow) as stream:
            stream.write(WORKFLOW.encode())
        yield workflow


def _refuse_damaged(run: RunDirectory) -> None:
    """Check that the scores are those of the rows: the check of the repository refuses others; a run may have none."""
    if not (run.path / "scores").is_dir():
        return
    for row, _ in run.rows():
        if row["status"] == "ok" and (reason := run.scores_problem(row)):
            raise NiahError(
                f"{reason}, so it is not published: the same `niah run` makes it again (`niah verify {run.path}`)"
            )


def _refuse_other(run: Path, target: Path) -> None:
    """Check that what a published run's folder holds is an earlier state of the run, none of whose cells get lost."""
    if not (target / "run.json").is_file():
        return
    own, other = RunDirectory(run).run_json(), RunDirectory(target).run_json()
    clips = (each.get("needles", {}).get("clips") for each in (other, own))
    differences = identity_differences(other.get("identity", {}), own.get("identity", {}), *clips)
    if differences:
        raise NiahError(
            f"{target} is another run of that name ({'; '.join(differences)}): rename {run}, or give another --out"
        )
    known = {file.name for file in row_files(run / "cells")}
    lost = [file for file in row_files(target / "cells") if file.name not in known]
    if lost:
        raise NiahError(
            f"{target} has {plural(len(lost), 'cell')} that {run} lacks: `niah merge` both, rename {run}, or give "
            "another --out"
        )


def _files(run: Path) -> Iterable[Path]:
    for name in FILES:
        if (run / name).is_file():
            yield run / name
    for folder in FOLDERS:
        yield from (f for f in sorted((run / folder).glob("*")) if f.is_file() and f.name[0] != ".")
