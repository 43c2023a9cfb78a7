"""Outcomes of tests are written as they end: a session that is killed leaves those of the tests before."""

import csv
import subprocess
import sys
from pathlib import Path

from tests.helpers import tiny

TESTS = """
import os, pytest

def test_passes(): pass

def test_fails(): assert 1 == 2, "more"

@pytest.fixture
def broken(): raise ValueError("no device")

def test_cannot_begin(broken): pass

@pytest.mark.skip(reason="not here")
def test_skips(): pass

def test_is_killed(): os._exit(9)

def test_never_begins(): pass
"""


def test_a_killed_session_leaves_the_rows_of_what_ended(tmp_path: Path) -> None:
    (tmp_path / "test_made.py").write_text(TESTS)
    out = tmp_path / "new" / "outcomes.csv"
    session = ["-p", "tests.helpers.outcomes", "--outcomes", str(out), "-c", "none.ini", "."]
    environment = {**tiny.environment(tmp_path), "PYTHONPATH": str(tiny.REPOSITORY)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *session]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert ended.returncode == 9
    with out.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["test"].partition("::")[2], row["outcome"], row["why"]) for row in rows] == [
        ("test_passes", "passed", ""),
        ("test_fails", "failed", "AssertionError: more"),
        ("test_cannot_begin", "failed", "ValueError: no device"),
        ("test_skips", "skipped", "Skipped: not here"),
    ]
