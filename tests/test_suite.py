"""The tests themselves: a folder for each folder of the package, and benchmarks apart."""

from tests.conftest import REPOSITORY

BESIDE = {
    "fuzz",
    "helpers",
    "golden",
    "results",
}  # inputs for every loader, shared code, stored values, tests of results/ and its scripts


def test_folders_mirror_the_package() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "tests").glob("*/__init__.py")}
    package = {path.parent.name for path in (REPOSITORY / "niah").glob("*/__init__.py")}
    assert folders - BESIDE <= package
    untested = package - folders
    assert untested == {"vocabularies"}  # one file: tests/test_vocabularies.py


def test_benchmarks_run_by_their_mark_alone() -> None:
    """`make test` takes none of them, `make bench` all."""
    files = sorted((REPOSITORY / "benchmarks").glob("test_*.py"))
    assert len(files) >= 5
    for path in files:
        assert "pytestmark = pytest.mark.bench" in path.read_text("utf-8"), path.name
