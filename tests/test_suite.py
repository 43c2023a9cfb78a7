"""The tests themselves: a folder for each folder of the package, and benchmarks apart."""

import subprocess
import sys

from tests.conftest import REPOSITORY

BESIDE = {
    "helpers",
    "golden",
    "results",
}  # shared code, stored values, tests of results/ and its scripts


def test_folders_mirror_the_package() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "tests").glob("*/__init__.py")}
    package = {path.parent.name for path in (REPOSITORY / "niah").glob("*/__init__.py")}
    assert folders - BESIDE <= package
    untested = package - folders
    assert untested == {"vocabularies"}  # one file: tests/test_vocabularies.py


def test_benchmarks_are_collected_by_their_mark_alone() -> None:
    def collected(*arguments: str) -> int:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:xdist",
            "benchmarks",
            *arguments,
        ]
        ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        return sum("::" in line for line in ran.stdout.splitlines())

    assert collected("-m", "bench") > 20
    assert collected() == 0
