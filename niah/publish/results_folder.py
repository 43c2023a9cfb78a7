"""A run for a repository of results: its files without figures, and the workflow that checks and shows all of them."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from niah.system import atomic

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
    """
    name = run.resolve().name
    target = folder / "runs" / name
    with atomic.one_line_os_errors(folder):
        target.mkdir(parents=True, exist_ok=True)
        for file in _files(run):
            place = target / file.relative_to(run)
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, place)
        yield target
        workflow = folder / WORKFLOW_FILE
        workflow.parent.mkdir(parents=True, exist_ok=True)
        with atomic.atomic_write(workflow) as stream:
            stream.write(WORKFLOW.encode())
        yield workflow


def _files(run: Path) -> Iterable[Path]:
    for name in FILES:
        if (run / name).is_file():
            yield run / name
    for folder in FOLDERS:
        yield from (f for f in sorted((run / folder).glob("*")) if f.is_file() and f.name[0] != ".")
