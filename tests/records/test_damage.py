"""Parts that were changed since they were written are not believed: reports say so, runs make them again."""

import errno
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from niah.compare.check import check
from niah.compare.paired import compare
from niah.errors import NiahError
from niah.pages import run_report
from niah.records import diagnosis_files, scores
from niah.records.merge import merge
from niah.records.run_directory import RunDirectory
from niah.records.run_parts import DIAGNOSES
from niah.records.summarise import summarise
from niah.records.verify import verify
from niah.system import shortage
from niah.system.unreadable import UnreadableError
from tests.helpers import examples


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A base and a longer cell, summarised."""
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as made:
        examples.add(made, 3.0, haystack="none", position=None)
        examples.add(made, 1.5, length_s=50.0)
        assert summarise(made) == []
    return RunDirectory(tmp_path / "run")


def cell_of(run: RunDirectory, length_s: float = 50.0) -> str:
    return str(run.cells().set_index("length_s")["cell"][length_s])


def scores_file(run: RunDirectory) -> Path:
    return run.path / "scores" / f"{cell_of(run)}.parquet"


def mended(run: RunDirectory) -> bool:
    """Return whether the run would make the cell again."""
    cell = cell_of(run)
    with RunDirectory.create_or_open(run.path, examples.IDENTITY) as opened:
        return cell not in opened.completed()


def test_every_flipped_bit_of_a_score_file_is_noticed(run: RunDirectory) -> None:
    file, cell = scores_file(run), cell_of(run)
    whole = file.read_bytes()
    for bit in range(0, 8 * len(whole), 977):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        assert cell not in run.completed()
        assert not run.has_scores(cell)
        with pytest.raises(NiahError, match=rf"{cell}\.parquet is damaged"):
            run.read_scores(cell)
    file.write_bytes(whole)
    assert cell in run.completed()


@pytest.mark.parametrize("gone", [False, True])
def test_a_changed_or_deleted_score_file_is_told_and_its_metrics_go(
    run: RunDirectory, gone: bool
) -> None:
    before, file = run.cells(), scores_file(run)
    content = file.read_bytes()
    if gone:
        file.unlink()
    else:
        file.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    said: list[str] = []
    page = run_report.write(run.path, said.append)
    assert len(said) == 1
    assert file.name in said[0]
    assert file.name in page.read_text()
    row = run.cells().set_index("length_s").loc[50.0]
    assert row[["mAP", "relative", "drop", "adjusted"]].isna().all()
    assert str(run.path) not in page.read_text()
    assert mended(run)
    file.write_bytes(content)  # brought back: nothing is lost
    assert summarise(run) == []
    assert run.cells().equals(before)


def test_rows_that_are_gone_are_named(run: RunDirectory) -> None:
    """Their numbers left cells.csv without a word."""
    cell = cell_of(run)
    (run.path / "cells" / f"{cell}.json").unlink()
    notes: list[str] = []
    run_report.write(run.path, note=notes.append)
    assert [cell in note for note in notes] == [True]
    with RunDirectory.create_or_open(run.path, examples.IDENTITY) as opened:
        assert opened.warnings == []  # once: the table is without it now


def test_an_edited_row_is_refused_and_made_again(run: RunDirectory) -> None:
    cell = cell_of(run)
    file = run.path / "cells" / f"{cell}.json"
    content = json.loads(file.read_text())
    content["row"]["mAP"] = 0.123
    file.write_text(json.dumps(content))
    with pytest.raises(NiahError, match=rf"{cell}\.json was edited or damaged"):
        run_report.write(run.path)
    with RunDirectory.create_or_open(run.path, examples.IDENTITY) as opened:
        assert cell not in opened.completed()
        assert len(opened.warnings) == 1
        assert file.name in opened.warnings[0]
    assert not file.exists()


def test_a_torn_row_is_made_again(run: RunDirectory) -> None:
    cell = cell_of(run)
    file = run.path / "cells" / f"{cell}.json"
    file.write_text(file.read_text()[:40])
    with RunDirectory.create_or_open(run.path, examples.IDENTITY) as opened:
        assert cell not in opened.completed()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("folder", ["cells", "scores", "."])
def test_a_part_that_the_system_does_not_give_is_no_damage_and_stays(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, folder: str, code: int
) -> None:
    """A file of a user with another umask was removed, or "the same command" was said to make it again."""
    file = {"cells": run.path / "cells" / f"{cell_of(run)}.json", "scores": scores_file(run)}.get(
        folder, run.path / "run.json"
    )
    openers = {name: getattr(Path, name) for name in ("open", "read_text")}

    def refused(name: str, path: Path, *arguments: Any, **options: Any) -> Any:
        if path == file:
            raise OSError(code, os.strerror(code), str(path))
        return openers[name](path, *arguments, **options)

    for name in openers:
        monkeypatch.setattr(
            Path, name, lambda path, *a, name=name, **o: refused(name, path, *a, **o)
        )
    with pytest.raises(UnreadableError, match=re.escape(str(file))) as error:
        mended(run)
    assert "damaged" not in str(error.value)
    assert "makes it again" not in str(error.value)
    with pytest.raises(UnreadableError):
        verify(run.path)
    assert file.is_file()


def test_rows_under_each_other_s_names_are_made_again(run: RunDirectory) -> None:
    first, second = sorted((run.path / "cells").glob("*.json"))
    first_content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_content)
    with pytest.raises(NiahError, match="is another cell's row, or was renamed"):
        run_report.write(run.path)
    with RunDirectory.create_or_open(run.path, examples.IDENTITY) as opened:
        assert opened.completed() == set()
        assert len(opened.warnings) == 2


def test_what_other_systems_leave_beside_and_in_json_is_no_damage(run: RunDirectory) -> None:
    before = run.cells()
    for file in (*(run.path / "cells").glob("*.json"), run.path / "run.json"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    for name in ("cells/._x.json", "cells/.DS_Store", "scores/._x.parquet", "cells/Thumbs.db"):
        (run.path / name).write_bytes(b"\0\5\x16\7")
    assert RunDirectory(run.path).cells().equals(before)
    assert summarise(RunDirectory(run.path)) == []
    assert verify(run.path).is_good
    assert not mended(run)


def test_rows_of_earlier_versions_have_no_checksum_and_are_read(run: RunDirectory) -> None:
    for file in (run.path / "cells").iterdir():
        content = json.loads(file.read_text())
        del content["sha256"], content["row"]["scores_sha256"]
        file.write_text(json.dumps(content))
    assert len(run.completed()) == 2
    assert len(run.cells()) == 2
    assert summarise(run) == []
    run.read_scores(cell_of(run))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(11, "Resource temporarily unavailable"),
        OSError(12, "Cannot allocate memory"),
        OSError("Failed to launch worker thread: Resource temporarily unavailable"),
    ],
)
def test_want_of_memory_is_not_called_damage(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def starved(*_: object, **__: object) -> None:
        raise error

    assert shortage.is_shortage(error)
    assert not shortage.is_shortage(OSError(5, "Input/output error"))
    for name in ("ParquetFile", "read_metadata"):
        monkeypatch.setattr(pq, name, starved)
    for read in (scores.read, scores.count):
        with pytest.raises(NiahError, match="want of memory") as told:
            read(scores_file(run))
        assert "damaged" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"models": {"dass-nano": 1}}, r"models\.dass-nano' must be an object"),
        ({"models": []}, "'models' must be an object"),
        ({"notes": "x"}, "'notes' must be a list"),
        ({"notes": [1]}, "'an entry of notes' must be text"),
        ({"presets": {}}, "'presets' must be a list"),
        ({"haystacks": {"babble": {"contains": "x"}}}, "contains' must be a list"),
        ({"excluded_clips": [{"id": 1}]}, "id of an entry of excluded_clips"),
    ],
)
def test_what_run_json_may_not_hold(
    run: RunDirectory, change: dict[str, object], reason: str
) -> None:
    file = run.path / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(NiahError, match=rf"run\.json.*{reason}"):
        RunDirectory(run.path)


def test_run_json_that_is_short_for_a_while_is_read_again(run: RunDirectory) -> None:
    """As through a cache of attributes, while another machine replaces it by a longer one."""
    file = run.path / "run.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with pytest.raises(NiahError, match=r"run\.json cannot be read"):  # nobody is at work
        RunDirectory(run.path)
    (run.path / "workers").mkdir()
    (run.path / "workers" / "other.json").touch()
    timer = threading.Timer(0.3, file.write_text, [whole])
    timer.start()
    assert RunDirectory(run.path).run_json() == json.loads(whole)
    timer.join()


def test_half_surrogates_are_spelt_out(run: RunDirectory) -> None:
    file = run.path / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "notes": ["a\udcffb"]}))
    assert RunDirectory(run.path).run_json()["notes"] == [r"a\udcffb"]


def test_deep_json_is_refused(run: RunDirectory) -> None:
    for depth in (100, 200_000):
        (run.path / "run.json").write_text('{"a":' * depth + "1" + "}" * depth)
        with pytest.raises(NiahError, match=r"run\.json"):
            RunDirectory(run.path)


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("id", [None], "must be texts"),
        ("id", [["a"]], "must be texts"),
        ("labels", None, "no column labels"),
        ("labels", [[None, "c1"]], "a label that is none"),
        ("labels", ["c1"], "must be lists of texts"),
        ("group", [["a"]], "must be texts"),
        ("logits", [[float("inf")] * 6], "NaN or infinite"),
        ("logits", [[1] * 6], "must be floats"),
        ("logits", [[None] * 6], "must be floats"),
    ],
)
def test_what_a_score_file_may_not_hold(
    run: RunDirectory, column: str, values: list[Any] | None, reason: str
) -> None:
    file = next((run.path / "scores").iterdir())
    table = pq.read_table(file)
    columns = {name: table.column(name) for name in table.column_names if name != column}
    if values is not None:
        columns[column] = pa.array(values * len(table))
    pq.write_table(pa.table(columns).replace_schema_metadata(table.schema.metadata), file)
    with pytest.raises(NiahError, match=f"is damaged.*{reason}"):
        scores.read(file)


@pytest.mark.parametrize("classes", [b"{}", b"[1]", b'["a", "a"]', b'["\\ud800"]', b"[" * 100_000])
def test_the_classes_of_a_score_file_are_different_texts(run: RunDirectory, classes: bytes) -> None:
    file = next((run.path / "scores").iterdir())
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({"niah.classes": classes}), file)
    with pytest.raises(NiahError, match="is damaged"):
        scores.read(file)


def test_a_table_in_another_encoding_is_no_damage(run: RunDirectory) -> None:
    text = (run.path / "cells.csv").read_text()
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):  # as spreadsheets save it
        (run.path / "cells.csv").write_bytes(text.encode(encoding))
        verdict = verify(run.path)
        assert verdict.is_good
        assert any("cells.csv is not the table" in each for each in verdict.unfinished)


def test_a_run_without_its_run_json_is_told(run: RunDirectory) -> None:
    (run.path / "run.json").unlink()
    verdict = verify(run.path)
    assert any("run.json is missing" in each for each in verdict.damaged)
    assert verdict.metrics == []
    other = examples.make(run.path.with_name("other"))
    refused: list[Callable[[], object]] = [
        lambda: merge([run.path, other.path], run.path.with_name("all")),
        lambda: merge([other.path], run.path),
        lambda: RunDirectory.create_or_open(run.path, examples.IDENTITY),
        lambda: compare(run.path, other.path, models=("dass-nano",)),
        lambda: check(run.path, other.path),
        lambda: check(other.path, run.path),
    ]
    for command in refused:
        with pytest.raises(NiahError, match=r"run\.json is missing.*Take it from a copy"):
            command()
    for name in ("cells.csv", "tables.md"):  # rows and scores alone are no new folder either
        (run.path / name).unlink(missing_ok=True)
    with pytest.raises(NiahError, match=r"run\.json is missing"):
        RunDirectory.create_or_open(run.path, examples.IDENTITY)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ('{"schema_version": "2", "identity": {}}', "no whole number schema_version"),
    ],
)
def test_a_damaged_run_json_says_what_to_do(run: RunDirectory, text: str, reason: str) -> None:
    (run.path / "run.json").write_text(text)
    with pytest.raises(NiahError, match=rf"{reason}.*Take it from a copy of the run"):
        RunDirectory(run.path).run_json()


def test_what_a_sync_tool_leaves_in_the_cells_is_foreign(run: RunDirectory) -> None:
    row = (run.path / "cells" / f"{cell_of(run)}.json").read_bytes()
    (run.path / "cells" / "x (conflicted copy).json").write_bytes(row)
    verdict = verify(run.path)
    assert verdict.is_good
    assert verdict.foreign == ["cells/x (conflicted copy).json: no part of a run"]
    (run.path / "cells" / f"{'0' * 20}.json").mkdir()
    assert any("delete it and run again" in each for each in verify(run.path).damaged)


@pytest.mark.parametrize("folder", DIAGNOSES)
def test_an_edited_measurement_is_named_and_made_again(run: RunDirectory, folder: str) -> None:
    content = {"row": {"hit_rate": 0.875}, "pairs": [1.5]}
    diagnosis_files.write(run.path, folder, "a", content)
    assert diagnosis_files.is_whole(run.path, folder, "a")
    assert not diagnosis_files.is_whole(run.path, folder, "b")
    assert verify(run.path).is_good
    file = run.path / folder / "a.json"
    for text in (file.read_text().replace("0.875", "0.975"), file.read_text()[:20], ""):
        file.write_text(text)
        command = diagnosis_files.COMMANDS[folder]
        with pytest.raises(NiahError, match=rf"a\.json is damaged .*: the same `{command}` again"):
            diagnosis_files.read(file)
        assert not diagnosis_files.is_whole(run.path, folder, "a")
        (damage,) = verify(run.path).damaged
        assert str(file) in damage
    file.write_text(json.dumps(content))  # of a version without checksums
    assert diagnosis_files.read(file) == content
