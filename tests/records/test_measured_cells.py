"""Measures stored beside scores: computed once, again where what they depend on changes, and read without scores."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from niah.diagnosis.controls import calibration, overlap
from niah.diagnosis.controls.calibration import calibration_table
from niah.errors import NiahError
from niah.records.checksums import ROWS_COLUMN
from niah.records.row_files import read_row, write_row
from niah.records.run_directory import RunDirectory
from niah.records.score_files import ScoreFiles
from niah.records.scores import ClipScores
from niah.records.summarise import NO_METRICS, summarise
from niah.records.verify import verify
from niah.system import side_processes
from niah.tables.table import Table
from tests.helpers import examples

CELL = "model == 'dass-nano' and length_s == 300"


class Reads(list[str]):
    """The cells whose scores are read while it is in place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = ScoreFiles.read_scores

        def read(files: ScoreFiles, cell: str) -> ClipScores:
            self.append(cell)
            return plain(files, cell)

        monkeypatch.setattr(ScoreFiles, "read_scores", read)


def table_of(path: Path) -> Table:
    run = RunDirectory(path)
    return shown(calibration_table(run, run.cells()))


def shown(table: Table | None) -> Table:
    assert table is not None
    return table


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return examples.make(tmp_path / "run").path


def test_scores_are_read_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = table_of(run)
    reads = Reads(monkeypatch)
    content = (run / calibration.CSV_FILE).read_bytes()
    assert table_of(run) == first
    assert reads == []
    assert (run / calibration.CSV_FILE).read_bytes() == content


def test_a_cell_whose_scores_change_is_measured_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = table_of(run)
    opened = RunDirectory(run)
    cell = opened.cells().query(CELL).iloc[0]["cell"]
    examples.replace_scores(opened, cell, examples.IDS, examples.LABELS, examples.logits(2.0, 5))
    summarise(opened)
    reads = Reads(monkeypatch)
    later = table_of(run)
    assert reads == [cell]
    differing = [a for a, b in zip(first.rows, later.rows, strict=True) if a != b]
    assert [row[:4] for row in differing] == [("dass-nano", "zero", "0.5", "300 s")]


def test_a_base_whose_scores_change_measures_its_model_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_of(run)
    opened = RunDirectory(run)
    cells = opened.cells()
    own = cells[(cells["model"] == "dass-nano") & (cells["status"] == "ok")]
    base = own[own["length_s"] == 10.0].iloc[0]["cell"]
    examples.replace_scores(opened, base, examples.IDS, examples.LABELS, examples.logits(2.5, 5))
    summarise(opened)
    reads = Reads(monkeypatch)
    table_of(run)
    assert sorted(reads) == sorted(own["cell"])


def test_another_version_of_the_formulas_measures_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_of(run)
    monkeypatch.setattr(calibration, "VERSION", calibration.VERSION + 1)
    reads = Reads(monkeypatch)
    table_of(run)
    scored = RunDirectory(run).cells().query("status == 'ok'")
    assert sorted(reads) == sorted(scored["cell"])


def test_processes_measure_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics, calibrations and their files, to the byte."""
    names = ("cells.csv", calibration.CSV_FILE)

    def made() -> list[bytes]:
        opened = RunDirectory(run)
        for file in (run / "cells").iterdir():
            row, _ = read_row(file)
            write_row(file, {**row, **NO_METRICS}, None)
        (run / calibration.CSV_FILE).unlink(missing_ok=True)
        summarise(opened)
        table_of(run)
        return [(run / name).read_bytes() for name in names]

    alone = made()
    monkeypatch.setattr(side_processes, "PATIENCE_S", -1.0)
    monkeypatch.setattr(side_processes, "WORTH_S", -1.0)
    monkeypatch.setattr(side_processes, "cores", lambda: 2)
    monkeypatch.setattr(side_processes, "usable_bytes", lambda: 1 << 50)
    reads = Reads(monkeypatch)
    assert made() == alone
    assert len(reads) < 10  # the others were read elsewhere


def test_a_published_run_has_its_stored_rows(run: Path, tmp_path: Path) -> None:
    first, published = table_of(run), tmp_path / "published"
    published.mkdir()
    for name in ("cells.csv", "run.json", calibration.CSV_FILE):
        (run / name).rename(published / name)
    content = (published / calibration.CSV_FILE).read_bytes()
    assert table_of(published) == first
    assert (published / calibration.CSV_FILE).read_bytes() == content


def test_scores_that_are_not_the_row_s_have_no_measures(run: Path) -> None:
    first, opened = table_of(run), RunDirectory(run)
    cell = opened.cells().query(CELL).iloc[0]["cell"]
    cells = opened.cells()
    opened.write_scores(
        cell, examples.IDS, examples.LABELS, examples.logits(1.0, 7), classes=examples.CLASSES
    )
    later = shown(calibration_table(RunDirectory(run), cells))
    assert len(later.rows) == len(first.rows) - 1


def test_a_damaged_file_is_made_again(run: Path, tmp_path: Path) -> None:
    first = table_of(run)
    file = run / calibration.CSV_FILE
    whole = file.read_text()
    for damaged in (whole[: len(whole) // 2], "cell\n../x\n", whole.replace("0.", "x."), "\0"):
        file.write_text(damaged)
        assert table_of(run) == first
        assert file.read_text() == whole
    bare = tmp_path / "bare"
    bare.mkdir()
    (run / "cells.csv").rename(bare / "cells.csv")
    (bare / calibration.CSV_FILE).write_text("cell\n../x\n")
    with pytest.raises(NiahError, match=r"calibration\.csv.*`niah report`"):
        table_of(bare)


def test_overlap_is_stored_with_the_labels_of_the_haystack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def labelled(*labels: str) -> dict[str, object]:
        return {"haystacks": {"babble": {"contains": [*labels]}}}

    run = examples.make(tmp_path / "run", labelled("c0"))
    first = shown(overlap.overlap_table(run, run.cells()))
    reads = Reads(monkeypatch)
    assert overlap.overlap_table(run, run.cells()) == first
    assert reads == []
    run.write_run_json(labelled("c0", "c1"))
    later = shown(overlap.overlap_table(run, run.cells()))
    assert sorted(set(reads)) == sorted(reads)  # the 10 s cells, shared by two curves, once
    assert later != first
    stored = (run.path / overlap.CSV_FILE).read_text().splitlines()
    assert len(stored) == len(reads) + 1
    assert all(np.isfinite([*map(float, line.split(",")[2:-1])]).all() for line in stored[1:])


def _without_scores(run: Path) -> None:
    for file in (run / "scores").iterdir():
        file.unlink()
    (run / "scores").rmdir()


def _edited(text: str) -> str:
    return text.replace(",0.", ",7.", 1)


def _cut(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize("change", [_edited, _cut])
def test_an_edited_file_is_noticed(run: Path, change: Callable[[str], str]) -> None:
    """A number that was changed, or a row that was deleted, went into tables and `niah verify` was content."""
    first = table_of(run)
    file = run / calibration.CSV_FILE
    whole = file.read_text()
    file.write_text(change(whole))
    found = verify(run)
    assert not found.is_good
    assert "calibration.csv is damaged or was edited" in found.damaged[0]
    assert "niah report" in found.damaged[0]
    assert table_of(run) == first
    assert file.read_text() == whole
    file.write_text(change(whole))
    _without_scores(run)
    with pytest.raises(NiahError, match=r"calibration\.csv cannot be read: its checksum"):
        table_of(run)


def test_a_file_that_a_spreadsheet_saved_again_is_whole(run: Path) -> None:
    first = table_of(run)
    file = run / calibration.CSV_FILE
    frame = pd.read_csv(file, dtype={"cell": str, "scored_from": str})[::-1]
    frame.to_csv(file, index=False, sep=";", float_format="%.16g")
    _without_scores(run)
    assert table_of(run) == first


def test_a_file_of_an_earlier_version_has_no_checksums(run: Path) -> None:
    first = table_of(run)
    file = run / calibration.CSV_FILE
    pd.read_csv(file, dtype=str).drop(columns=ROWS_COLUMN).to_csv(file, index=False)
    assert verify(run).is_good
    _without_scores(run)
    assert table_of(run) == first
