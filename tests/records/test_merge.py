"""Merging, verifying and watching run directories."""

import json
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from niah.errors import NiahError
from niah.records.claims import Claim
from niah.records.merge import merge
from niah.records.run_directory import RunDirectory
from niah.records.schema import METRIC_COLUMNS, OPTIONAL_METRICS
from niah.records.status import status
from niah.records.summarise import summarise
from niah.records.verify import verify
from tests.helpers import examples


def split(whole: RunDirectory, folder: Path, count: int) -> list[Path]:
    """The cells of a run dealt out to `count` runs, each with the metrics that it can have alone."""
    runs = [folder / f"shard{number}" for number in range(count)]
    rows = sorted(whole.rows(), key=lambda each: str(each[0]["cell"]))
    for number, path in enumerate(runs):
        with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
            run.write_run_json({"models": {"dass-nano": {"parameters": number}}})
            for row, _ in rows[number::count]:
                if row["status"] == "ok":
                    run.copy_scores(str(row["cell"]), whole)
                run.write_rows([(row, None)])
            summarise(run)
    return runs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return examples.make(tmp_path_factory.mktemp("made") / "run")


def copied(run: RunDirectory, folder: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(run.path, folder / "copy"))


def test_shards_become_the_run_they_are_of(made: RunDirectory, tmp_path: Path) -> None:
    shards = split(made, tmp_path, 3)
    result = merge(shards, tmp_path / "all")
    merged = RunDirectory(tmp_path / "all")
    pd.testing.assert_frame_equal(merged.cells(), made.cells())
    assert (tmp_path / "all" / "cells.csv").read_bytes() == (made.path / "cells.csv").read_bytes()
    assert sum(result.taken.values()) == result.cells == len(made.cells())
    assert [each["run"] for each in merged.run_json()["merged"]] == ["shard0", "shard1", "shard2"]
    before = {f: f.read_bytes() for f in (tmp_path / "all").rglob("*.parquet")}
    again = merge([*shards, made.path, tmp_path / "all"], tmp_path / "all")  # nothing is new
    assert {f: f.read_bytes() for f in (tmp_path / "all").rglob("*.parquet")} == before
    assert again.cells == result.cells
    origins = [each["run"] for each in merged.run_json()["merged"]]
    assert origins == ["shard0", "shard1", "shard2", made.path.name]
    assert verify(tmp_path / "all").is_good


def test_a_merge_that_was_stopped_at_once_is_gone_on_with(
    made: RunDirectory, tmp_path: Path
) -> None:
    """Its folder has an identity alone, and is the first of the runs: what the others say of themselves counts."""
    first, second = split(made, tmp_path, 2)
    for number, path in enumerate((first, second)):
        with RunDirectory(path).join() as run:
            run.write_run_json({"arguments": {"limit": number}, "hardware": {"cores": number}})
    merge([first, second], tmp_path / "quiet")
    RunDirectory.create_or_open(tmp_path / "cut", examples.IDENTITY).close()
    merge([first, second], tmp_path / "cut")
    quiet, cut = (RunDirectory(tmp_path / name).run_json() for name in ("quiet", "cut"))
    assert cut == quiet
    assert cut["arguments"] == {"limit": 0}


def test_runs_are_compared_each_with_every_other(tmp_path: Path) -> None:
    """A run of an earlier version, or without a haystack, came between two that contradict each other."""

    def run(name: str, content: str | None, street: str | None) -> Path:
        identity = {**examples.IDENTITY, **({"content_sha256": content} if content else {})}
        with RunDirectory.create_or_open(tmp_path / name, identity) as each:
            if street:
                sound = {"street": {"contains": [], "sha256": street}}
                each.write_run_json({"haystacks": sound})
            each.write_run_json({"needles": {"clips": 3, **({"marks": "ab"} if content else {})}})
        return tmp_path / name

    old, new = run("old", None, None), run("new", "one", "north")
    with pytest.raises(NiahError, match=r"new and .*other are .*labels of its clips"):
        merge([old, new, run("other", "two", "north")], tmp_path / "all")
    with pytest.raises(NiahError, match=r"'street' of .*new is another sound than that of .*south"):
        merge([old, new, run("south", "one", "south")], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    for number, order in enumerate(([old, new], [new, old])):  # either may come first
        merge(order, tmp_path / str(number))
        merged = RunDirectory(tmp_path / str(number)).run_json()
        assert merged["identity"]["content_sha256"] == "one"
        assert merged["needles"] == {"clips": 3, "marks": "ab"}


def test_the_report_has_the_rates_of_false_alarms_of_every_run(
    made: RunDirectory, tmp_path: Path
) -> None:
    """Only the first run's: the tables of a merged run depended on the order of its parts."""
    runs = split(made, tmp_path, 3)
    for path, rates in zip(runs, ([], [10.0, 1.0], [10.0, 60.0]), strict=True):
        with RunDirectory(path).join() as run:
            run.write_run_json({"arguments": {"false_alarms": rates}})
    for number, order in enumerate((runs, runs[::-1])):
        merge(order, tmp_path / f"all{number}")
        arguments = RunDirectory(tmp_path / f"all{number}").run_json()["arguments"]
        assert arguments["false_alarms"] == [1.0, 10.0, 60.0]


def test_a_cell_of_two_contents_is_named_and_refused(made: RunDirectory, tmp_path: Path) -> None:
    other = copied(made, tmp_path)
    cell = str(other.cells().query("status == 'ok'")["cell"].iloc[0])
    clips = other.read_scores(cell)
    logits = clips.logits.copy()
    logits[0, 0] += 1
    examples.replace_scores(other, cell, clips.ids, clips.labels, logits)
    with pytest.raises(NiahError, match=rf"1 cells have different scores in two runs: {cell} \("):
        merge([made.path, other.path], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_diagnoses_that_are_left_behind_are_noted(made: RunDirectory, tmp_path: Path) -> None:
    first, second = split(made, tmp_path, 2)
    (first / "localisation").mkdir()
    notes: list[str] = []
    merge([first, second], tmp_path / "all", notes.append)
    (text,) = (note for note in notes if "diagnoses" in note)
    assert text.startswith(f"{first} has diagnoses (localisation), which are not merged")


def test_equal_scores_in_other_bytes_are_equal(made: RunDirectory, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    other = copied(made, tmp_path)
    cell = str(other.cells().query("status == 'ok'")["cell"].iloc[0])
    file = other.path / "scores" / f"{cell}.parquet"
    pq.write_table(pq.read_table(file), file, compression="none")
    (row,) = (row for row, _ in other.rows() if row["cell"] == cell)
    other.write_rows([({**row, "scores_sha256": None}, None)])
    assert merge([made.path, other.path], tmp_path / "all").cells == len(made.cells())


def test_a_result_takes_the_place_of_a_failure(made: RunDirectory, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    cell = made.cells().query("status == 'ok'").iloc[0].to_dict()
    with RunDirectory.create_or_open(failed, examples.IDENTITY) as run:
        run.write_rows([(examples.row(cell=cell["cell"], status="error", error="x"), None)])
    for order in ([failed, made.path], [made.path, failed]):
        out = tmp_path / f"out-{order[0].name}"
        merge(order, out)
        rows = RunDirectory(out).cells().set_index("cell")
        assert rows["status"][cell["cell"]] == "ok"


def test_runs_of_different_identity_or_sound_are_not_merged(
    made: RunDirectory, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    RunDirectory.create_or_open(other, {**examples.IDENTITY, "seed": 1}).close()
    with pytest.raises(NiahError, match="seed is 0 there, 1 now"):
        merge([made.path, other], tmp_path / "all")
    sounds = [tmp_path / name for name in ("a", "b")]
    for path in sounds:
        with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
            run.write_run_json({"haystacks": {"street": {"contains": [], "sha256": path.name}}})
    with pytest.raises(NiahError, match=r"'street' of .* is another sound"):
        merge(sounds, tmp_path / "all")
    table = tmp_path / "table"
    table.mkdir()
    shutil.copy(made.path / "cells.csv", table)
    with pytest.raises(NiahError, match="published table"):
        merge([made.path, table], tmp_path / "all")
    with pytest.raises(NiahError, match="published table"):
        verify(table)
    assert not (tmp_path / "all").exists()


def test_damaged_cells_are_left_out_with_a_note(made: RunDirectory, tmp_path: Path) -> None:
    other = copied(made, tmp_path)
    victim = sorted((other.path / "scores").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:-9])
    notes: list[str] = []
    merge([other.path], tmp_path / "all", notes.append)
    assert len(RunDirectory(tmp_path / "all").cells()) == len(made.cells()) - 1
    assert any(victim.name in note and "left out" in note for note in notes)
    merge([made.path], tmp_path / "all")  # the other copy of the cell is whole
    assert verify(tmp_path / "all").whole == (made.cells()["status"] == "ok").sum()


def test_verify_finds_what_is_wrong_and_writes_nothing(made: RunDirectory, tmp_path: Path) -> None:
    run = copied(made, tmp_path)
    verdict = verify(run.path)
    assert verdict.is_good
    ok = int((made.cells()["status"] == "ok").sum())
    assert (verdict.whole, verdict.failed, verdict.recomputed) == (ok, 1, ok)
    assert verdict.foreign + verdict.unfinished == []
    scores = sorted((run.path / "scores").iterdir())
    scores[0].write_bytes(scores[0].read_bytes()[:-9])
    row = run.path / "cells" / f"{scores[1].stem}.json"
    row.write_text(row.read_text()[:50])
    (run.path / "scores" / f"{'0' * 20}.parquet").touch()
    (run.path / "cells" / "notes.txt").touch()
    (run.path / "thesis.tex").touch()
    before = {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()}
    verdict = verify(run.path)
    assert {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()} == before
    assert not verdict.is_good
    damaged = " ".join(verdict.damaged)
    assert scores[0].name in damaged
    assert row.name in damaged
    assert verdict.whole == ok - 2
    assert {name.partition(":")[0] for name in verdict.foreign} == {"cells/notes.txt", "thesis.tex"}
    unfinished = " ".join(verdict.unfinished)
    assert f"{'0' * 20}.parquet: scores without a row" in unfinished
    assert scores[1].name in unfinished  # its row is damaged


def test_verify_computes_metrics_again(made: RunDirectory, tmp_path: Path) -> None:
    run = copied(made, tmp_path)
    rows = [(row, scored_from) for row, scored_from in run.rows() if row["status"] == "ok"]
    row, scored_from = rows[0]
    assert isinstance(row["mAP"], float)
    run.write_rows([({**row, "mAP": row["mAP"] - 0.01}, scored_from)])
    verdict = verify(run.path)
    assert not verdict.is_good
    (line,) = verdict.metrics
    assert str(row["cell"]) in line
    assert "mAP is" in line


def test_verify_of_a_run_at_work_calls_nothing_wrong(made: RunDirectory, tmp_path: Path) -> None:
    path = copied(made, tmp_path).path
    without = dict.fromkeys((*METRIC_COLUMNS, *OPTIONAL_METRICS))
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        row, _ = next((row, of) for row, of in run.rows() if row["status"] == "ok")
        run.write_rows([({**row, **without}, None)])
        other, _ = next((r, of) for r, of in run.rows() if of and r["mAP"] is not None)
        run.write_rows([({**other, "drop": 0.5}, "before its base was made")])
        (path / "scores" / f"{'0' * 20}.parquet").touch()
        (path / "scores" / ".half.1.ab.tmp").touch()
        verdict = verify(path)
        assert verdict.is_good
        assert sorted(verdict.unfinished) == [
            "metrics of 2 cells are not computed yet: the run does so at its end, or `niah report`",
            "scores/.half.1.ab.tmp: being written",
            f"scores/{'0' * 20}.parquet: scores without a row (of a process at work)",
        ]
    verdict = verify(path)
    assert not verdict.is_good  # nobody is there who would compute it again
    assert all(str(other["cell"]) in each for each in verdict.metrics)
    assert any("a stopped writer's" in each for each in verdict.unfinished)


def test_verify_names_other_versions_runs_and_stale_tables(
    made: RunDirectory, tmp_path: Path
) -> None:
    run = copied(made, tmp_path)
    row, scored_from = run.rows()[0]
    run.write_rows([({**row, "niah_version": "0.0.1", "seed": 3}, scored_from)])
    (run.path / "cells.csv").write_text("cell\n")
    verdict = verify(run.path)
    assert any("1 cells by niah 0.0.1" in each for each in verdict.versions)
    assert any("its seed is 3, not 0" in each for each in verdict.foreign)
    assert any(each.startswith("cells.csv is not the table") for each in verdict.unfinished)


def test_a_clock_that_is_set_back_does_not_change_the_pace(
    made: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(made, tmp_path).path
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        assert run.me is not None
        run.me.times()
        set_back, passed = time.time() - 3600.0, time.monotonic() + 100.0
        monkeypatch.setattr(time, "time", lambda: set_back)
        monkeypatch.setattr(time, "monotonic", lambda: passed)
        run.me.report(**run.me.times(), scored_clips=200)
        assert status(path).clips_per_s == pytest.approx(2.0, rel=0.01)
        monkeypatch.undo()


def test_status_tells_cells_processes_and_pace(made: RunDirectory, tmp_path: Path) -> None:
    path = copied(made, tmp_path).path
    idle = status(path)
    assert idle.stored.total() == len(made.cells())
    assert idle.left_s is None
    assert idle.workers == ()
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        assert run.me is not None
        assert run.claims is not None
        stored_s = idle.stored_audio_s
        run.me.report(planned_cells=100, planned_audio_s=stored_s + 500.0, began_s=0.0)
        assert status(path).left_s is None  # it has scored nothing yet
        now = time.time()
        run.me.report(began_s=now - 70, reported_s=now - 20, scored_clips=100)
        run.me.report(scored_audio_s=5000.0, open_audio_s=200.0)
        claim = run.claims.claim("a-unit", "dass-nano, zero, 20 s")
        assert isinstance(claim, Claim)
        state = status(path)
        assert state.planned_cells == 100
        assert state.clips_per_s == pytest.approx(2.0, rel=0.1)
        assert state.left_s == pytest.approx(3.0, rel=0.1)  # what is begun counts
        assert [each.title for each in state.working] == ["dass-nano, zero, 20 s"]
        assert [worker.is_working for worker in state.workers] == [True]
        content = json.loads(run.me.file.read_text())
        run.me.file.write_text(json.dumps({**content, "pid": 2**22 + 1}))
        dead = status(path)
        assert [worker.is_alive for worker in dead.workers] == [False]
        assert dead.working == ()
