"""A report is left as it is only where it was made from what its run holds now."""

from pathlib import Path

import pytest

from niah.pages.made_from import WRITTEN, is_made, mark


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with the parts of a run, and a page with its mark."""
    for folder in ("scores", "figures", "workers"):
        (tmp_path / folder).mkdir()
    for name in (*WRITTEN, "cells.csv", "run.json", "scores/a.parquet", "figures/a.png"):
        (tmp_path / name).write_text(name)
    with (tmp_path / "report.html").open("a") as page:
        page.write(mark(tmp_path, "s"))
    return tmp_path


def test_a_report_of_the_same_run_is_made(run: Path) -> None:
    assert is_made(run, "s")
    (run / "workers" / "me.json").write_text("a process at work is no part of a report")
    assert is_made(run, "s")


@pytest.mark.parametrize(
    "name", ["cells.csv", "run.json", "tables.md", "figures/a.png", "figures/b.png", "false.csv"]
)
def test_another_content_is_another_report(run: Path, name: str) -> None:
    (run / name).write_text("other")
    assert not is_made(run, "s")


@pytest.mark.parametrize("name", [*WRITTEN, "scores/a.parquet", "figures/a.png"])
def test_what_is_missing_is_made_again(run: Path, name: str) -> None:
    (run / name).unlink()
    assert not is_made(run, "s")


def test_other_settings_and_pages_without_a_mark_are_made_again(run: Path) -> None:
    assert not is_made(run, "t")
    (run / "report.html").write_text("<html></html>")
    assert not is_made(run, "s")
