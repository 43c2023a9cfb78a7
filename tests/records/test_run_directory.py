"""Run directories: whole or not at all, resumable."""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.records.run_json import SCHEMA_VERSION
from niah.records.summarise import summarise
from niah.records.verify import verify
from tests.helpers import examples
from tests.helpers.preloaded import Preloaded

CELL = "0123456789abcdef0123"


def files_of(run: RunDirectory) -> dict[str, bytes]:
    files = [path for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files}


def test_another_run_is_refused_and_told_apart(tmp_path: Path) -> None:
    examples.make(tmp_path / "run")
    with pytest.raises(NiahError, match="needles is made there, other now"):
        RunDirectory.create_or_open(tmp_path / "run", {**examples.IDENTITY, "needles": "other"})
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        assert len(run.completed()) == (run.cells()["status"] == "ok").sum()


@pytest.mark.parametrize("moment", ["glob", "iterdir"])
def test_a_run_that_another_process_is_beginning_is_joined(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever look at the folder falls before the other's first files: a shard of a job array had ended so."""
    examples.make(tmp_path / "made")
    out, look = tmp_path / "out", getattr(Path, moment)
    out.mkdir()

    def looks(folder: Path, *arguments: str) -> Iterator[Path]:
        if not (out / "run.json").exists():
            shutil.copytree(tmp_path / "made", out, dirs_exist_ok=True)
        return iter(list(look(folder, *arguments)))

    monkeypatch.setattr(Path, moment, looks)
    with RunDirectory.create_or_open(out, examples.IDENTITY) as run:
        assert run.completed()


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(NiahError, match=r"thesis\.tex"):
        RunDirectory.create_or_open(tmp_path, examples.IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(NiahError, match="is a file"):
        RunDirectory.create_or_open(tmp_path / "thesis.tex", examples.IDENTITY)
    with pytest.raises(NiahError, match="cannot write"):
        RunDirectory.create_or_open(tmp_path / "thesis.tex" / "run", examples.IDENTITY)
    with pytest.raises(NiahError, match="not a run directory"):
        RunDirectory(tmp_path)


def test_newer_schema_and_broken_run_json_are_refused(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    file = run.path / "run.json"
    content = json.loads(file.read_text())
    assert content["schema_version"] == SCHEMA_VERSION
    file.write_text(json.dumps({**content, "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(NiahError, match="update niah"):
        RunDirectory(run.path)
    for text in ("{", "[]", "{}"):
        file.write_text(text)
        with pytest.raises(NiahError, match=r"run\.json"):
            RunDirectory.create_or_open(run.path, examples.IDENTITY)


def test_a_run_of_schema_1_is_read_and_becomes_one_of_2_when_it_is_written(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    file = run.path / "run.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "schema_version": 1}))
    pd.testing.assert_frame_equal(RunDirectory(run.path).cells(), run.cells())
    assert json.loads(file.read_text())["schema_version"] == 1  # reading changes nothing
    with RunDirectory.create_or_open(run.path, examples.IDENTITY) as opened:
        assert len(opened.completed()) == (run.cells()["status"] == "ok").sum()
    assert json.loads(file.read_text()) == content
    for older in (0, -1):
        file.write_text(json.dumps({**content, "schema_version": older}))
        with pytest.raises(NiahError, match="older than 1"):
            RunDirectory(run.path)


def test_amending_keeps_the_models_there(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        run.write_run_json({"models": {"a": {"parameters": 1}}, "notes": ["x"]})
        run.write_run_json({"models": {"b": {"parameters": 2}}, "identity": {"seed": 9}})
        content = run.run_json()
    assert set(content["models"]) == {"a", "b"}
    assert content["identity"] == examples.IDENTITY
    assert content["notes"] == ["x"]


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 1.0)
        run.publish(wait=True)
        before = files_of(run)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(NiahError, match=r"no space left for .*scores"):
            run.write_scores(
                CELL, examples.IDS, examples.LABELS, examples.logits(1.0), classes=examples.CLASSES
            )
        with pytest.raises(NiahError, match="no space left"):
            run.write_rows([(examples.row(length_s=20.0), None)])
        assert files_of(run) == before


@pytest.mark.parametrize("folders", [(), ("cells", "scores")])
def test_a_published_table_is_not_written_over(folders: tuple[str, ...], tmp_path: Path) -> None:
    """A run in its folder kept the rows that it made, and the table lost all others; so did a report."""
    run = examples.make(tmp_path / "run")
    shutil.rmtree(run.path / "cells")
    shutil.rmtree(run.path / "scores")
    before = {file: file.read_bytes() for file in run.path.iterdir()}
    for folder in folders:  # as a copy leaves them that takes no .json
        (run.path / folder).mkdir()
    with pytest.raises(NiahError, match=r"published table.*remove cells\.csv"):
        RunDirectory.create_or_open(run.path, examples.IDENTITY)
    assert len(run.cells()) > 0
    with pytest.raises(NiahError, match="published table"):
        verify(run.path)
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("part", ["run.json", "cells.csv", ".lock"])
def test_a_part_that_is_deleted_meanwhile_is_written_again(tmp_path: Path, part: str) -> None:
    path = tmp_path / "run"
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        run.write_run_json({"models": {"dass-nano": {"parameters": 1}}})
        examples.add(run, 3.0, haystack="none", position=None)
        (path / part).unlink(missing_ok=True)
        examples.add(run, 2.0, length_s=20.0)
        run.write_run_json({"models": {"aum-nano": {"parameters": 2}}})
        summarise(run)
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        assert len(run.completed()) == len(run.cells()) == 2
        assert "aum-nano" in run.run_json()["models"]


def write_cells(path: Path, count: int) -> None:
    """Start or take up a run of `count` cells."""
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        done = run.completed()
        for index in range(count):
            if str(examples.row(length_s=10.0 + index)["cell"]) not in done:
                examples.add(run, 1.0, length_s=10.0 + index)


WRITER = """
import sys
from pathlib import Path
from tests.records.test_run_directory import write_cells
write_cells(Path(sys.argv[1]), 10_000)
"""


def test_kill_9_loses_at_most_the_cell_in_work(preloaded: Preloaded, tmp_path: Path) -> None:
    path = tmp_path / "run"
    n_before = 0
    for _ in range(2):
        process = preloaded.start(WRITER, path)
        while len(list(path.glob("cells/*.json"))) <= n_before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(0.25)
        process.kill()
        process.communicate()
        run = RunDirectory(path)
        rows = {str(row["cell"]) for row, _ in run.rows()}
        assert rows == run.completed()
        written = {file.stem for file in (path / "scores").glob("*.parquet")}
        assert rows <= written
        assert len(written - rows) <= 1
        n_before = len(rows)
    many = len(run.completed())
    undisturbed = tmp_path / "undisturbed"
    for folder in (path, undisturbed):
        write_cells(folder, many + 2)
    assert files_of(run) == files_of(RunDirectory(undisturbed))
