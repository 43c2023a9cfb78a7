"""Recall at false alarms an hour: planted behaviours over length, from stored scores to tables, figure and board."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from niah.diagnosis.controls.table import control_tables
from niah.diagnosis.events.rows import EventScores
from niah.diagnosis.false_alarms.measure import Allowance, measure
from niah.diagnosis.false_alarms.rows import CSV_FILE, read
from niah.diagnosis.false_alarms.rows import write as store
from niah.diagnosis.false_alarms.table import recall_table, recall_text
from niah.errors import NiahError
from niah.metrics.average_precision import Scores
from niah.pages import leaderboard
from niah.pages.leaderboard.markdown import recall_at_alarms_table
from niah.pages.leaderboard.payload import payload
from niah.pages.run_report import write
from niah.records.run_directory import RunDirectory
from niah.records.schema import Value
from niah.records.summarise import summarise
from niah.system import spreadsheet
from tests.helpers import examples

NOISE: dict[str, Value] = {"haystack": "babble", "snr_db": 0.0}


def add(run: RunDirectory, logits: Any, *, recording: str = "", **values: Value) -> None:
    """One cell; a control has no labels. Clips are of one `recording`, or each is its own."""
    row = examples.row(**values)
    labels = [()] * examples.CLIPS if row.get("control") else examples.LABELS
    groups = [recording] * examples.CLIPS if recording else []
    cell, classes = str(row["cell"]), examples.CLASSES
    run.write_scores(cell, examples.IDS, labels, logits, classes=classes, groups=groups)
    run.write_rows([(row, None)])


def make(
    folder: Path,
    gain_at_300_s: float = 8.0,
    drift: float = 0.0,
    recording: str = "",
    **further: Any,
) -> RunDirectory:
    """A run whose needles stand out by 8 at 10 s and 100 s; `drift` is added to every logit at 300 s."""
    with RunDirectory.create_or_open(folder, examples.IDENTITY) as run:
        run.write_run_json({"models": {}, **further})
        of: dict[str, Any] = {**NOISE, "recording": recording}
        add(run, examples.logits(8.0), recording=recording, haystack="none", position=None)
        for length_s, gain, shift in ((100.0, 8.0, 0.0), (300.0, gain_at_300_s, drift)):
            add(run, examples.logits(gain, seed=int(length_s)) + shift, length_s=length_s, **of)
            empty: Scores = examples.logits(0.0, seed=int(length_s) + 1) + shift
            place: dict[str, Value] = {"length_s": length_s, "position": None, **NOISE}
            add(run, empty, control="needle-free", recording=recording, **place)
        summarise(run)
    return RunDirectory(folder)


@pytest.mark.parametrize(
    ("per_hour", "scenes", "length_s", "outcome", "alarms"),
    [
        (10.0, 100, 10.0, "too few hours", 2),
        (10.0, 200, 10.0, "resolved", 5),
        (1.0, 100, 3600.0, "every scene", 100),
        (0.5, 100, 3600.0, "resolved", 50),
        (0.01, 100, 9000.0, "too few hours", 2),
    ],
)
def test_hours_and_decisions_limit_the_rates(
    per_hour: float, scenes: int, length_s: float, outcome: str, alarms: int
) -> None:
    allowance = Allowance.of(per_hour, scenes, length_s, is_constant=False)
    assert (allowance.outcome, allowance.alarms) == (outcome, alarms)
    low, high = allowance.rate_interval
    assert low <= per_hour <= high or outcome == "every scene"
    more = allowance.more_hours
    assert (more > 0) == (outcome == "too few hours")
    if more:
        longer = scenes + int(np.ceil(more * 3600 / length_s))
        assert Allowance.of(per_hour, longer, length_s, is_constant=False).outcome == "resolved"


def test_one_that_loses_the_needle_with_length_loses_recall(tmp_path: Path) -> None:
    run = make(tmp_path / "run", gain_at_300_s=0.0)
    rows = {(row.length_s, row.per_hour): row for row in measure(run, run.cells(), (0.1, 4, 8))}
    assert set(rows) == {(s, r) for s in (100.0, 300.0) for r in (0.1, 4.0, 8.0)}
    assert rows[300.0, 0.1].more_hours == pytest.approx(36.89 - 2.0, abs=0.01)  # 24 x 300 s
    assert rows[100.0, 8.0].recall == 1.0
    lost = rows[300.0, 4.0]
    assert (lost.alarms, lost.outcome) == (8, "resolved")
    assert lost.recall is not None
    assert lost.recall_hi is not None
    assert lost.recall < 0.7  # a third of all scenes may be alarms
    assert lost.recall_hi < 1.0


def test_recall_of_one_recording_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    """Its bounds are none in the file: the terminal and the board said "no class" of what the report had."""
    run = make(tmp_path / "run", recording="one")
    made = measure(run, run.cells(), (4.0,))
    store(tmp_path, made)
    texts = [recall_text(each) for each in made]
    assert [recall_text(each) for each in read(tmp_path)] == texts
    assert "1.000" in texts
    assert not any("[" in text for text in texts)


def test_one_whose_scores_drift_with_length_is_told_from_one_that_loses_needles(
    tmp_path: Path,
) -> None:
    """Thresholds of the same length follow the drift; those of 10 s do not, and raise alarms."""
    run = make(tmp_path / "run", drift=12.0)
    (row,) = [r for r in measure(run, run.cells(), [4.0]) if r.length_s == 300.0]
    assert row.recall == 1.0
    (table,) = control_tables(run, run.cells())
    alarms = {row[1]: (float(row[3]), float(row[5])) for row in table.rows}
    assert alarms["100 s"] == (0.0, 0.0)
    assert alarms["300 s"][0] > 0.9  # alarms a scene and class
    assert alarms["300 s"][1] > 6  # log odds, as far as probabilities in float16 reach


def test_labels_of_the_haystack_are_no_alarms(tmp_path: Path) -> None:
    contains: dict[str, Any] = {"haystacks": {"babble": {"contains": list(examples.CLASSES[:2])}}}
    run = make(tmp_path / "run", **contains)
    assert {row.classes for row in measure(run, run.cells(), [4.0])} == {4}


def test_a_constant_has_one_scene_for_every_rate(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        add(run, examples.logits(8.0), haystack="none", position=None)
        add(run, examples.logits(8.0), length_s=20.0)
        same = np.broadcast_to(examples.logits(0.0)[:1], examples.TARGETS.shape)
        add(run, same, length_s=20.0, position=None, control="needle-free")
        summarise(run)
    (row,) = measure(RunDirectory(tmp_path / "run"), run.cells(), [0.1])
    assert (row.outcome, row.scenes, row.alarms, row.rate_hi) == ("one scene", 1, 0, 0.0)
    assert row.recall is not None
    assert row.recall > 0.95


def test_report_writes_it_again_and_the_board_shows_it(tmp_path: Path) -> None:
    """In csv, tables, LaTeX, figure and board; the rates of the last report stay; a published run keeps its numbers."""
    run = make(tmp_path / "run")
    write(run.path, rates=[0.1, 4.0, 8.0, 20.0])
    rows = read(run.path)
    assert rows == measure(run, run.cells(), [0.1, 4.0, 8.0, 20.0])
    table = recall_table(rows)
    assert table is not None
    named = {row[2]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert named["0.1/h"]["300 s"] == "needs 35 h more"
    assert named["20/h"]["300 s"] == "at most 12/h"
    assert named["4/h"]["300 s"].startswith("1.000 [0.")
    assert "1.000" in (run.path / "tables.tex").read_text().split("Recall at false alarms")[1]
    assert (run.path / "figures" / "false-alarms-babble-0dB.png").is_file()
    before = (run.path / CSV_FILE).read_bytes()
    for folder in ("cells", "scores"):
        for file in (run.path / folder).iterdir():
            file.unlink()
        (run.path / folder).rmdir()
    texts = ("ear", "f" * 64, "windows", "babble", 0.0, 100.0, 0.5, 1, 10.0, 5.0, 5.0, 1.0, 4, 4)
    scores = (0.5, 0.5, 0.4, 0.6, 0.5, 0.5, 1.0, 1.0, 1.0, 0.0, 0.0, 0.2)
    events = spreadsheet.rows_text(EventScores, [EventScores(*texts, *scores)])
    (run.path / "events.csv").write_text(events)
    write(run.path)
    assert (run.path / CSV_FILE).read_bytes() == before
    text = (run.path / "tables.md").read_text()
    assert "Recall at false alarms" in text
    assert "windows of 10 s, every 5 s" in text.split("## Sound events")[1]
    with pytest.raises(NiahError, match="--false-alarms"):
        write(run.path, rates=[4.0])
    (board,) = leaderboard.boards(leaderboard.read([run.path]))
    shown = recall_at_alarms_table(board)
    assert shown is not None
    assert [row[2] for row in shown.rows] == ["0.1/h", "4/h", "8/h", "20/h"]
    (data,) = payload([board], [])["boards"]
    assert data["rates"] == ["0.1", "4", "8", "20"]
    cells = {cell["s"]: cell["recalls"] for cell in data["entries"][0]["cells"]}
    assert cells[300]["4"]["recall"] == 1.0
    assert "0.1" not in cells[300]
    json.dumps(data, allow_nan=False)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    store(run.path, measure(run, run.cells(), [4.0]))
    file = run.path / CSV_FILE
    file.write_text(file.read_text().replace("300.0", "x", 1))
    with pytest.raises(NiahError, match=r"false_alarms\.csv cannot be read"):
        read(run.path)
    with pytest.raises(NiahError, match="run `niah report --false-alarms RATES` again"):
        write(run.path)  # at which rates it does not know
    notes: list[str] = []
    write(run.path, notes.append, rates=[4.0])  # as the message says
    assert any(text.endswith("it is made again") for text in notes)
    assert read(run.path) == measure(run, run.cells(), [4.0])
